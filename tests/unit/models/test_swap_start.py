"""A HotSwap that starts: what the alias names is held against what served before, as in processes that run already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from mlpatterns import Conflict, HotSwap, ModelMetadata, OnnxModel, TensorSpec, UnknownName, UserError
from mlpatterns.base import Wrapper
from mlpatterns.models.swap.checks import Contract, check_contract
from mlpatterns.models.swap.document import SwapDocument
from mlpatterns.models.swap.hot_swap import SwapTo
from mlpatterns.predictor import Health
from mlpatterns.registry.golden import Golden
from mlpatterns.settings import RESET
from mlpatterns.user_errors import ModelFileError
from releases import NAME, ROWS, Releases
from swapping import bench, run

BROKEN = Golden(1e-6, {"x": ROWS}, {"y": [[1.0], [1.0]]})
OTHER_LABELS = "version 2 is refused: its labels differ from those of version 1, so clients would break"


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    made = Releases(tmp_path)
    made.publish(10.0)
    return made


@pytest.mark.parametrize(
    ("release", "why"),
    [
        (lambda r: r.publish(20.0, labels=("a",)), OTHER_LABELS),
        (lambda r: r.publish(20.0, golden=BROKEN), "version 2 is refused: its output 'y' differs from"),
        (lambda r: (r.publish(20.0).folder / "model.onnx").write_bytes(b"other"), "does not match its SHA-256"),
    ],
    ids=["other labels", "other answers", "corrupt"],
)
def test_who_starts_refuses_what_those_refuse_that_run_and_serves_what_they_serve(
    releases: Releases, release: Any, why: str
) -> None:
    async def main() -> None:
        async with bench(releases) as one, bench(releases) as two:
            release(releases)
            for brother in (one, two):
                await brother.looked()
            async with bench(releases) as third:
                for each in (one, two, third):
                    assert await each.answer() == ("1", 30.0)
                    assert why in each.swap.health().reason
                    assert each.metric("mlpatterns_swap_trouble") == 1
                assert third.swap.health().ready
                assert (await third.state()).trouble == third.swap.health().reason
                releases.publish(30.0)
                await third.looked()
                assert (await third.answer(), third.swap.health()) == (("3", 90.0), Health())

    run(main)


def test_after_all_have_ended_the_next_still_refuses(releases: Releases) -> None:
    async def main() -> None:
        async with bench(releases):
            pass
        releases.publish(20.0, labels=("a",))
        async with bench(releases) as it:
            assert await it.answer() == ("1", 30.0)
            assert it.swap.health().reason.startswith(OTHER_LABELS)

    run(main)


def test_a_version_that_keeps_the_contract_serves_from_the_first_request(releases: Releases) -> None:
    async def main() -> None:
        async with bench(releases):
            pass
        releases.publish(20.0)
        async with bench(releases) as it:
            assert await it.answer() == ("2", 60.0)
            assert (await it.state()).previous == 1

    run(main)


@pytest.mark.parametrize("remains", [True, False])
def test_what_served_before_is_known_also_when_its_files_are_gone(releases: Releases, remains: bool) -> None:
    async def main() -> None:
        async with bench(releases):
            pass
        made = releases.publish(20.0, labels=() if remains else ("a",))
        for file in (made.folder.parent).glob("*/model.onnx"):
            if file.parent != made.folder:
                file.unlink()
        if remains:
            async with bench(releases) as it:
                assert await it.answer() == ("2", 60.0)
            return
        with pytest.raises(UserError, match=OTHER_LABELS):
            async with bench(releases):
                pass

    run(main)


def test_an_alias_that_is_gone_leaves_what_served(releases: Releases) -> None:
    async def main() -> None:
        releases.point(1, "blue")
        async with bench(releases, HotSwap(f"{NAME}@blue")):
            pass
        releases.unpoint("blue")
        async with bench(releases, HotSwap(f"{NAME}@blue")) as it:
            assert await it.answer() == ("1", 30.0)
            assert "there is no model alias" in it.swap.health().reason

    run(main)


def test_another_reference_is_a_decision_and_begins_anew(releases: Releases) -> None:
    async def main() -> None:
        async with bench(releases):
            pass
        releases.publish(20.0, promote=False, labels=("a",))
        async with bench(releases, HotSwap(f"{NAME}:2")) as it:
            assert (await it.answer(), it.swap.health()) == (("2", 60.0), Health())
        with pytest.raises(UnknownName, match="did you mean 'times@champion'"):
            async with bench(releases, HotSwap(f"{NAME}@champoin")):
                pass

    run(main)


def test_code_that_changes_what_all_versions_take_is_no_change_of_the_version(releases: Releases) -> None:
    class Renamed(Wrapper):
        @property
        def metadata(self) -> ModelMetadata:
            return replace(self.inner.metadata, labels=("new",))

    async def main() -> None:
        async with bench(releases):
            pass
        releases.publish(20.0)
        async with bench(releases, HotSwap(NAME, lambda reference: Renamed(OnnxModel(reference)))) as it:
            assert (await it.answer(), it.swap.health()) == (("2", 60.0), Health())

    run(main)


def test_reset_shared_forgets_what_served(releases: Releases, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with bench(releases):
            pass
        releases.publish(20.0, labels=("a",))
        monkeypatch.setenv(RESET, "this run")
        async with bench(releases) as it:
            assert (await it.answer(), it.swap.health()) == (("2", 60.0), Health())

    run(main)


# ---- a command that breaks the contract ----


def test_a_command_refuses_it_too_unless_it_is_forced_and_then_all_serve_it(releases: Releases) -> None:
    async def main() -> None:
        async with bench(releases) as one, bench(releases) as two:
            releases.publish(20.0, labels=("a",))
            for each in (one, two):
                await each.looked()
            with pytest.raises(Conflict, match=OTHER_LABELS):
                await one.command("swap", SwapTo(2))
            assert (await one.command("swap", SwapTo(2, force=True))).pinned == 2
            while await two.answer() != ("2", 60.0):
                await two.looked()
            async with bench(releases) as third:
                for each in (one, two, third):
                    await each.looked()
                    assert (await each.answer(), each.swap.health()) == (("2", 60.0), Health())
            assert (await two.command("swap/follow")).version == 2

    run(main)


def test_a_rollback_takes_back_what_was_forced_everywhere(releases: Releases) -> None:
    async def main() -> None:
        releases.publish(20.0, labels=("a",), promote=False)
        async with bench(releases) as one, bench(releases) as two:
            await one.command("swap", SwapTo(2, force=True))
            while await two.answer() != ("2", 60.0):
                await two.looked()
            assert (await two.command("swap/rollback")).version == 1
            while await one.answer() != ("1", 30.0):
                await one.looked()
            with pytest.raises(Conflict, match=r"or serve it by `mlpatterns swap URL --to 2 --force`"):
                await one.command("swap", SwapTo(2))

    run(main)


def test_force_does_not_let_wrong_answers_serve(releases: Releases) -> None:
    async def main() -> None:
        releases.publish(20.0, promote=False, golden=BROKEN)
        async with bench(releases) as it:
            with pytest.raises(Conflict, match="golden set"):
                await it.command("swap", SwapTo(2, force=True))
            assert await it.answer() == ("1", 30.0)

    run(main)


# ---- the contract, and the document that has it ----


def described(**other: Any) -> ModelMetadata:
    told = {"inputs": (TensorSpec("x", "FP32", (-1, 1)),), "outputs": (TensorSpec("y", "FP32", (-1, 1)),), **other}
    return ModelMetadata(NAME, "7", "onnx", primary_output="y", **told)


@pytest.mark.parametrize(
    ("other", "part"),
    [
        ({"inputs": (TensorSpec("x", "FP64", (-1, 1)),)}, "inputs"),
        ({"inputs": (TensorSpec("x", "FP32", (-1, 1), fields=("a",)),)}, "inputs"),
        ({"inputs": (TensorSpec("x", "FP32", (-1, 1), missing=True),)}, "inputs"),
        ({"outputs": ()}, "outputs"),
        ({"labels": ("a", "b")}, "labels"),
    ],
)
def test_what_differs_is_named(other: dict[str, Any], part: str) -> None:
    with pytest.raises(ModelFileError, match=f"its {part} differs? from (that|those) of version 7"):
        check_contract(Contract.of(described()), described(**other))
    check_contract(Contract.of(described(**other)), described(**other))


def test_a_document_stays_small_whatever_the_model(releases: Releases) -> None:
    labels = tuple(f"class {number}" for number in range(100_000))
    document = SwapDocument(None, tuple(range(20))).with_served(9, "x@champion", Contract.of(described(labels=labels)))
    assert len(msgspec.json.encode(document)) < 1000
    assert msgspec.json.decode(msgspec.json.encode(document), type=SwapDocument) == document


def test_a_document_of_an_earlier_mlpatterns_says_what_served() -> None:
    old = msgspec.convert({"pin": None, "served": [1, 2]}, SwapDocument)
    assert (old.last("x@champion"), old.before(2)) == (2, 1)
    check_contract(old.contract, described())
