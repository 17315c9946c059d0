"""Records are read without unpickling: what is published comes out right, what is hostile does nothing."""

from __future__ import annotations

import pickle
import pickletools
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlpatterns.training.cifar10.pickled import dump, load
from mlpatterns.user_errors import UserError

RECORD = {
    b"batch_label": b"training batch 1 of 5",
    b"labels": [6, 9, 0],
    b"data": np.arange(9216, dtype=np.int64).astype(np.uint8).reshape(3, 3072),
    b"filenames": [b"leptodactylus_pentadactylus_s_000004.png", b"n" * 300, b""],
}
# The meta record of CIFAR-10 is of pickle's oldest protocol: text, line by line.
PROTOCOL_0 = b"(dp1\nS'num_cases_per_batch'\np2\nI10000\nsS'label_names'\np3\n(lp4\nS'airplane'\np5\naS'cat'\np6\nas."


def same(left: Any, right: Any) -> bool:
    return left.keys() == right.keys() and all(np.array_equal(left[key], right[key]) for key in left)


def test_what_is_written_is_read() -> None:
    assert same(load(dump(RECORD), "data_batch_1"), RECORD)


def test_what_is_written_is_what_python_reads_as_the_archive_s_page_says() -> None:
    assert same(pickle.loads(dump(RECORD), encoding="bytes"), RECORD)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_records_that_a_later_python_pickled_are_read(protocol: int) -> None:
    content = pickle.dumps(RECORD, protocol=protocol)
    if protocol == 5:  # its arrays come through functions of their own, which are not allowed
        with pytest.raises(UserError):
            load(content, "data_batch_1")
    else:
        assert same(load(content, "data_batch_1"), RECORD)


def test_the_oldest_protocol_is_read() -> None:
    assert load(PROTOCOL_0, "batches.meta") == {b"num_cases_per_batch": 10000, b"label_names": [b"airplane", b"cat"]}


def test_the_array_may_be_stored_by_columns() -> None:
    record = {b"data": np.asfortranarray(RECORD[b"data"])}
    assert same(load(pickle.dumps(record, protocol=4), "data_batch_1"), record)


class Hostile:
    """Unpickled, it would run a command."""

    def __init__(self, called: Any, *arguments: Any) -> None:
        self.called, self.arguments = called, arguments

    def __reduce__(self) -> tuple[Any, Any]:
        return self.called, self.arguments


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("place", ["alone", "inside"])
def test_a_pickle_that_would_run_something_runs_nothing(protocol: int, place: str, tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    hostile = Hostile(subprocess.getoutput, f"touch {trap}")
    content = pickle.dumps(hostile if place == "alone" else {b"data": hostile}, protocol=protocol)
    with pytest.raises(UserError, match="is not allowed in it"):
        load(content, "data_batch_1")
    assert not trap.exists()
    pickle.loads(content)
    assert trap.exists()  # the trap would have worked


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "it is damaged"),
        (b"nonsense", "it is damaged"),
        (b"K\x01.", "it holds no dict"),
        (b"}K\x01K\x02\x86.", "it holds no dict"),
        (b"cbuiltins\neval\n.", "'builtins eval' is not allowed"),
        (b"cnumpy\nndarray\n.", "it holds no dict"),
        (b"K\x05(K\x00tR.", "it calls something"),
        (b"cnumpy\ndtype\n(U\x02O8K\x00K\x01tR.", "not of bytes"),
        (b"}U\x01aK\x01b.", "sets the state of something other"),
        (b"(U\x01aK\x02U\x01bd.", "it is damaged"),
        (b"K\x01e.", "it ends a list that did not begin"),
        (b"}(]K\x01u.", "text is missing in it"),
        (b"})" + b"\x85" * 1_000_000 + b"K\x01s.", "text is missing in it"),
        (b"\x80\x02}q\x00(U\x01ah\x05u.", "it is damaged"),
        (b"}P1\n.", "PERSID is not allowed"),
        (b"\x82\x01.", "EXT1 is not allowed"),
        (b"(i__main__\nX\n.", "INST is not allowed"),
        (b"cnumpy\nndarray\n)\x81.", "NEWOBJ is not allowed"),
        (b"L" + b"9" * 10_000 + b"L\n.", "it is damaged"),
    ],
    ids=lambda value: repr(value)[:40],  # a megabyte is no name
)
def test_what_is_no_record_is_refused_in_one_sentence(content: bytes, text: str) -> None:
    with pytest.raises(UserError, match=text) as caught:
        load(content, "data_batch_1")
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("data_batch_1 is not a record of a CIFAR archive: ")


@pytest.mark.parametrize("shape", [(2, 3072), (3, 3071), (-3, -3072), (3, 3072, 2)])
def test_an_array_that_is_not_whole_is_refused(shape: tuple[int, ...]) -> None:
    content = dump({b"data": RECORD[b"data"]})
    written, claimed = (b"(" + b"".join(dump_number(size) for size in sizes) + b"t" for sizes in ((3, 3072), shape))
    assert written in content
    with pytest.raises(UserError, match="an array in it is not whole"):
        load(content.replace(written, claimed), "data_batch_1")


def dump_number(value: int) -> bytes:
    return dump({b"": value})[6:-2]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_record_that_was_damaged_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    content = bytearray(dump({b"labels": [1, 2], b"data": np.zeros((1, 12), np.uint8), b"name": b"x"}))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(UserError):
        load(bytes(content), "data_batch_1")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([code.code.encode("latin-1") for code in pickletools.opcodes]), max_size=40))
def test_operations_in_any_order_end_in_a_record_or_a_refusal(operations: list[bytes]) -> None:
    try:
        found = load(b"".join(operations) + b".", "data_batch_1")
    except UserError:
        return
    assert isinstance(found, dict)
