"""Outputs of steps: found by content, made once, whole or not at all."""

from __future__ import annotations

import errno
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from mlpatterns.training.step_cache import LOG, SCRATCH, StepCache, StepOutput
from mlpatterns.user_errors import UserError


class Step:
    """Writes its text, and counts."""

    def __init__(self, text: str = "made") -> None:
        self.text, self.runs = text, 0

    def __call__(self, work: Path) -> None:
        self.runs += 1
        (work / "output.txt").write_text(self.text)
        (work / LOG / "seconds.txt").write_text(f"run {self.runs}")
        (work / SCRATCH / "half.txt").write_text("half")


def run(cache: StepCache, make: Callable[[Path], None], *, size: int = 1, source: str = "a") -> StepOutput:
    return cache.run("fit", make, parameters={"size": size}, inputs={"data": source})


def test_the_second_time_an_output_is_found(tmp_path: Path) -> None:
    cache, make = StepCache(tmp_path), Step()
    first, second = run(cache, make), run(cache, make)
    assert (first.cached, second.cached, make.runs) == (False, True, 1)
    assert (second.folder, second.digest) == (first.folder, first.digest)
    assert (second.folder / "output.txt").read_text() == "made"


@pytest.mark.parametrize(("size", "source"), [(2, "a"), (1, "b")], ids=["another parameter", "another input"])
def test_what_goes_in_decides(size: int, source: str, tmp_path: Path) -> None:
    cache, make = StepCache(tmp_path), Step()
    first, other = run(cache, make), run(cache, make, size=size, source=source)
    assert make.runs == 2
    assert first.folder != other.folder
    assert run(cache, make).folder == first.folder  # both stay
    assert make.runs == 2


def test_equal_outputs_have_equal_digests_wherever_and_whenever_they_were_made(tmp_path: Path) -> None:
    here, there = Step(), Step()
    there.runs = 7  # its log says something else
    assert run(StepCache(tmp_path / "a"), here).digest == run(StepCache(tmp_path / "b"), there, size=2).digest
    assert run(StepCache(tmp_path / "c"), Step("other")).digest != run(StepCache(tmp_path / "a"), here).digest


@pytest.mark.parametrize("damage", [lambda path: path.write_text("mad"), Path.unlink], ids=["other bytes", "missing"])
def test_an_output_that_was_damaged_is_made_anew(damage: Callable[[Path], object], tmp_path: Path) -> None:
    cache, make = StepCache(tmp_path), Step()
    damage(run(cache, make).folder / "output.txt")
    again = run(cache, make)
    assert (again.cached, make.runs) == (False, 2)
    assert (again.folder / "output.txt").read_text() == "made"


def test_a_step_that_broke_off_leaves_no_output_and_goes_on_from_its_scratch(tmp_path: Path) -> None:
    cache = StepCache(tmp_path)

    def breaks(work: Path) -> None:
        (work / SCRATCH / "half.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(cache, breaks)
    assert not [path for path in (tmp_path / "fit").iterdir() if path.suffix == ""]

    def goes_on(work: Path) -> None:
        (work / "output.txt").write_text((work / SCRATCH / "half.txt").read_text() + " and half")

    made = run(cache, goes_on)
    assert (made.folder / "output.txt").read_text() == "half and half"
    assert not (made.folder / SCRATCH).exists()


def test_two_at_once_make_an_output_once(tmp_path: Path) -> None:
    make, both = Step(), Barrier(2)

    def work() -> StepOutput:
        both.wait(10)
        return run(StepCache(tmp_path), make)

    with ThreadPoolExecutor(2) as pool:
        outputs = [future.result(30) for future in [pool.submit(work), pool.submit(work)]]
    assert sorted(output.cached for output in outputs) == [False, True]
    assert make.runs == 1


def test_a_disk_that_is_full_is_one_sentence(tmp_path: Path) -> None:
    def full(work: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match=r"cannot write to .*: no space left on device; make room"):
        run(StepCache(tmp_path), full)
