"""Whatever is imported without being promoted, the champion stays what it became first."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.model_db.importing import import_file
from mlpatterns.registry.locate import locate
from mlpatterns.settings import Settings
from row_models import length, noise, weighted

MAKES = (
    weighted, length, noise,
    partial(weighted, columns=2), partial(weighted, weight=float("nan")), partial(weighted, weight=2.0),
)  # fmt: skip


@pytest.mark.slow  # each example makes a registry and loads some models
@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(MAKES), st.booleans()), min_size=1, max_size=5))
def test_without_promotion_the_champion_never_moves(imports: list[tuple[partial[Path], bool]]) -> None:
    with TemporaryDirectory() as folder:
        home = Path(folder)
        first = None
        for number, (make, force) in enumerate(imports, 1):
            made = import_file(make(home / "m.onnx"), "house", settings=Settings(home=home), force=force).made
            assert made.version == number
            if first is None and made.champion:
                first = made.version
            assert (made.released, made.champion) == (first, made.version == first)
            if first is not None:
                assert locate("house", Settings(home=home)).version == str(first)


def test_a_model_that_answers_otherwise_each_time_is_told_to_have_no_golden_set(tmp_path: Path) -> None:
    one = import_file(noise(tmp_path / "m.onnx"), "house", settings=Settings(home=tmp_path))
    assert one.made.champion
    assert (one.unfit, one.ungolden) == ("", "the model answers the same rows in another way each time")
    assert not (one.made.folder / "golden.json").exists()
