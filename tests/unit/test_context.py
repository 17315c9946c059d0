"""Contexts: under which path a note is written, and what goes along with work that is nobody's."""

from __future__ import annotations

import asyncio

import pytest

from mlpatterns.context import Context, Note


def test_a_note_stands_under_the_path_of_the_piece_that_runs_in_the_order_in_which_things_happened() -> None:
    context = Context("p", where="shop")
    context.note("arm", "b", public=True)
    context.at("shop/model").note("cache", "hit")
    context.note("arm", "c")
    assert context.notes == [
        Note("shop", "arm", "b", True), Note("shop/model", "cache", "hit"), Note("shop", "arm", "c"),
    ]  # fmt: skip


def test_at_another_path_it_is_the_same_caller_with_the_same_notes() -> None:
    context = Context("p", {"user-id": "u"}, "ann", "c", "replay", {"job_id": "7"}, "shop")
    there = context.at("shop/model")
    assert (there.prediction_id, there.headers, there.principal, there.caller_id, there.purpose, there.path) == (
        "p", {"user-id": "u"}, "ann", "c", "replay", {"job_id": "7"},
    )  # fmt: skip
    assert there.notes is context.notes
    assert (there.where, context.where) == ("shop/model", "shop")
    assert context.at("shop") is context


def test_a_step_prefixes_the_notes_of_its_part_and_notes_how_long_it_took() -> None:
    context = Context("p", where="shop")
    with context.step("prep") as inside:
        inside.note("rows", 3)
        with inside.step("resize"):
            pass
    assert [(note.path, note.key) for note in context.notes] == [
        ("shop/prep", "rows"), ("shop/prep/resize", "ms"), ("shop/prep", "ms"),
    ]  # fmt: skip
    assert context.notes[-1].value >= context.notes[1].value >= 0


def test_a_step_that_fails_has_its_time_noted_too() -> None:
    context = Context("p", where="shop")
    with pytest.raises(ValueError, match="no"), context.step("prep"):
        raise ValueError("no")
    assert [note.key for note in context.notes] == ["ms"]


def test_steps_that_run_at_once_do_not_mix_their_paths() -> None:
    context = Context("p", where="both")

    async def part(name: str) -> None:
        with context.step(name) as inside:
            await asyncio.sleep(0)
            inside.note("by", name)

    async def main() -> None:
        await asyncio.gather(part("a"), part("b"))

    asyncio.run(main())
    assert {(note.path, note.value) for note in context.notes if note.key == "by"} == {("both/a", "a"), ("both/b", "b")}


def test_detached_work_has_an_id_and_notes_of_its_own_and_nothing_of_the_caller_but_the_purpose() -> None:
    context = Context("p", {"user-id": "u"}, "ann", "c", "test", {"job_id": "7"}, "shop/cache")
    context.note("arm", "a")
    alone = context.detached()
    assert alone.prediction_id not in ("", "p")
    assert (dict(alone.headers), alone.principal, alone.caller_id, dict(alone.path)) == ({}, None, None, {})
    assert (alone.purpose, alone.where, alone.notes) == ("test", "shop/cache", [])
    alone.note("cache", "miss")
    assert [note.key for note in context.notes] == ["arm"]
