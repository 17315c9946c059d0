"""The contract of sources and sinks of batch runs. The test of a backend inherits a class and locates its tables."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from mlpatterns.errors import Conflict, Unavailable
from mlpatterns.stores import open_store
from mlpatterns.stores.batch import BatchItems, BatchRun, BatchSink, BatchSource, Column, Failure, Page, Results, cells
from mlpatterns.stores.batch.where import Comparison, matches, parse_where
from mlpatterns.user_errors import SettingsError, UnknownName, UserError

__all__ = ["BatchItemsContract", "BatchStoreContract"]

KEY = Column("id", "int")
ODD = ("a b", "we'ird", "100%", 'quo"te', "`tick`", "values", "select")
COLUMNS = (Column("score", "float"), Column("label", "text"), Column("count", "int"))
RUN = BatchRun("run", "identity", "model:1", began=1.0, at=2.0, page_rows=7)


@asynccontextmanager
async def opened(need: type[Any], url: str) -> Any:
    store = await open_store(need, url)
    try:
        yield store
    finally:
        await store.close()


def results(first: int, last: int) -> Results:
    keys = list(range(first, last + 1))
    return Results(
        keys,
        {
            "score": [key / 4 for key in keys],
            "label": ["it's" if key % 3 else "ünï, \"x\"\nline" for key in keys],
            "count": [key % 5 for key in keys],
        },
    )  # fmt: skip


async def written(url: str, rows: int, page: int = 7) -> None:
    """Writes a complete table or file with `rows` rows."""
    async with opened(BatchSink, url) as sink:
        run = await sink.begin(RUN, KEY, COLUMNS, anew=False)
        for first in range(1, rows + 1, page):
            last = min(rows, first + page - 1)
            run = await sink.write(replace(run, after=last, rows=last), results(first, last))
        await sink.finish(run)


async def pages(
    source: BatchSource, columns: Sequence[str], limit: int, where: Sequence[Comparison] = ()
) -> list[Page]:
    found, after = [], None
    while (page := await source.read(columns, after, limit, where)) is not None:
        found.append(page)
        after = msgspec.json.decode(msgspec.json.encode(page.after))  # as in a checkpoint
    return found


def read_rows(found: Sequence[Page]) -> list[tuple[Any, ...]]:
    """All cells as text, because a file has no numbers."""
    return [
        tuple(str(cell) for cell in row)
        for page in found
        for row in zip(page.keys, *map(cells, page.columns.values()), strict=True)
    ]


def rows_of(first: int, last: int) -> list[tuple[Any, ...]]:
    made = results(first, last)
    return [tuple(str(cell) for cell in row) for row in zip(made.keys, *made.columns.values(), strict=True)]


class BatchStoreContract:
    """Inherit it and define `url`, a fixture with the URL of a table or file that does not exist yet."""

    typed = True  # whether its columns have types

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError("a backend's test gives the URL of a table or file")

    @pytest.fixture
    def run(self) -> Callable[[Awaitable[None]], None]:
        def run(work: Any) -> None:
            asyncio.run(work)

        return run

    @pytest.mark.parametrize("limit", [1, 4, 100])
    def test_what_was_written_is_read_in_the_order_of_keys_each_row_once(self, run: Any, url: str, limit: int) -> None:
        async def work() -> None:
            await written(url, 25)
            async with opened(BatchSource, url) as source:
                shape = await source.shape()
                assert shape.key.name == "id"
                assert [column.name for column in shape.columns] == ["id", "score", "label", "count"]
                assert await source.count(None, ()) in (
                    25,
                    None,
                    25 + 8,
                )  # the lines of a file, in which some rows have two
                found = await pages(source, ["score", "label", "count"], limit)
                assert read_rows(found) == rows_of(1, 25)
                assert all(len(page.keys) <= limit for page in found)

        run(work())

    def test_a_page_can_be_read_again_from_where_the_one_before_ended(self, run: Any, url: str) -> None:
        async def work() -> None:
            await written(url, 20)
            async with opened(BatchSource, url) as source:
                first = await source.read(["count"], None, 6, ())
            async with opened(BatchSource, url) as source:
                for _ in range(2):
                    again = await source.read(["score", "label", "count"], first.after, 6, ())
                    assert read_rows([again]) == rows_of(7, 12)

        run(work())

    def test_the_run_is_kept_with_the_results(self, run: Any, url: str) -> None:
        async def work() -> None:
            async with opened(BatchSink, url) as sink:
                assert await sink.load() is None
                begun = await sink.begin(RUN, KEY, COLUMNS, anew=False)
                assert begun == replace(RUN, revision=1)
                after = await sink.write(replace(begun, after=3, rows=3), results(1, 3))
                assert after.revision == 2
            async with opened(BatchSink, url) as sink:
                assert await sink.load() == after
                going = await sink.begin(after, KEY, COLUMNS, anew=False)
                going = await sink.write(replace(going, after=5, rows=5), results(4, 5))
                done = await sink.finish(going)
                assert done.status == "finished"
                assert await sink.load() == done
            async with opened(BatchSink, url) as sink:
                assert await sink.load() == done
            async with opened(BatchSource, url) as source:
                assert read_rows(await pages(source, ["score", "label", "count"], 100)) == rows_of(1, 5)

        run(work())

    def test_of_two_runs_on_the_same_place_one_writes(self, run: Any, url: str) -> None:
        async def work() -> None:
            async with opened(BatchSink, url) as one, opened(BatchSink, url) as other:
                mine = await one.begin(RUN, KEY, COLUMNS, anew=False)
                with pytest.raises(Conflict):
                    await other.begin(RUN, KEY, COLUMNS, anew=False)
                mine = await one.write(mine, results(1, 2))
                try:  # for a table, a second run takes over and the first gets a Conflict; for a file, it is refused
                    theirs = await other.begin(mine, KEY, COLUMNS, anew=False)
                except Conflict:
                    theirs = await one.write(mine, results(3, 4))
                    await one.finish(theirs)
                else:
                    with pytest.raises(Conflict):
                        await one.write(mine, results(3, 4))
                    await other.finish(await other.write(theirs, results(3, 4)))
            async with opened(BatchSource, url) as source:
                assert read_rows(await pages(source, ["score", "label", "count"], 100)) == rows_of(1, 4)

        run(work())

    def test_a_run_that_begins_anew_drops_what_was_there(self, run: Any, url: str) -> None:
        async def work() -> None:
            await written(url, 9)
            async with opened(BatchSink, url) as sink:
                before = await sink.load()
                begun = await sink.begin(replace(RUN, run_id="next", revision=before.revision), KEY, COLUMNS, anew=True)
                await sink.finish(await sink.write(begun, results(5, 6)))
                assert (await sink.load()).run_id == "next"
            async with opened(BatchSource, url) as source:
                assert read_rows(await pages(source, ["score", "label", "count"], 100)) == rows_of(5, 6)

        run(work())

    def test_what_was_there_before_any_run_is_never_written_to(self, run: Any, url: str) -> None:
        async def work() -> None:
            await written(url, 3)
            await self.forget(url)
            async with opened(BatchSink, url) as sink:
                with pytest.raises(SettingsError):
                    await sink.begin(RUN, KEY, COLUMNS, anew=False)

        run(work())

    async def forget(self, url: str) -> None:
        """Deletes the run and keeps the results."""
        raise NotImplementedError

    def test_rows_that_failed_are_told_by_their_keys(self, run: Any, url: str) -> None:
        failures = [Failure(2, "INVALID", "the column 'x' is empty, \"so\"\nsaid"), Failure(3, "INTERNAL", "ü")]

        async def work() -> None:
            async with opened(BatchSink, url) as sink:
                assert await sink.failures(10) == []
                begun = await sink.begin(RUN, KEY, COLUMNS, anew=False)
                begun = await sink.write(begun, replace(results(1, 1), failures=failures[:1]))
                begun = await sink.write(begun, replace(results(1, 0), failures=failures[1:]))
            async with opened(BatchSink, url) as sink:
                found = await sink.failures(10)
                assert [(str(each.key), each.code, each.error) for each in found] == [
                    (str(each.key), each.code, each.error) for each in failures
                ]
                assert len(await sink.failures(1)) == 1

        run(work())

    @pytest.mark.parametrize("where", [
        "count = 3", "count != 3 and score >= 2.5", "label = 'it''s'", "label < 'j' and count <= 1",
        "label = '''; DROP TABLE x; --'", "score > 1e3", "label != null and count > 0", "count = null", '"count" < 2',
    ])  # fmt: skip
    def test_conditions_choose_as_they_do_in_python(self, run: Any, url: str, where: str) -> None:
        conditions = parse_where(where)
        made = results(1, 25)
        named = [dict(zip(made.columns, row, strict=True)) for row in zip(*made.columns.values(), strict=True)]
        wanted = [str(key) for key, row in zip(made.keys, named, strict=True) if matches(conditions, row)]

        async def work() -> None:
            await written(url, 25)
            async with opened(BatchSource, url) as source:
                found = await pages(source, ["score"], 4, conditions)
                assert [str(key) for page in found for key in page.keys] == wanted
                assert await source.count(None, conditions) in (len(wanted), None)

        run(work())

    def test_a_name_that_there_is_not_is_said(self, run: Any, url: str) -> None:
        async def work() -> None:
            async with opened(BatchSource, url) as source:
                with pytest.raises(UserError):
                    await source.shape()
            await written(url, 3)
            async with opened(BatchSource, url) as source:
                await source.shape()
                with pytest.raises(UnknownName, match="lenght"):
                    await source.read(["score"], None, 5, parse_where("lenght = 3"))
                if self.typed:
                    with pytest.raises(SettingsError, match="cannot be compared"):
                        await source.read(["score"], None, 5, parse_where("count = 'three'"))
            async with opened(BatchSource, f"{url}{'&' if '?' in url else '?'}key=number") as source:
                with pytest.raises(UserError):
                    await source.shape()

        run(work())

    def test_columns_may_have_any_names(self, run: Any, url: str) -> None:
        columns = [Column(name, "float") for name in ODD]

        async def work() -> None:
            async with opened(BatchSink, url) as sink:
                begun = await sink.begin(RUN, KEY, columns, anew=False)
                made = {name: [float(place), place + 0.5] for place, name in enumerate(ODD)}
                await sink.finish(await sink.write(begun, Results([1, 2], made)))
            async with opened(BatchSource, url) as source:
                where = tuple(Comparison(name, ">=", place) for place, name in enumerate(ODD))
                found = await source.read(ODD, None, 10, (*where, Comparison(ODD[0], ">", 0)))
                assert [str(key) for key in found.keys] == ["2"]
                assert {name: float(cells(column)[0]) for name, column in found.columns.items()} == {
                    name: place + 0.5 for place, name in enumerate(ODD)
                }

        run(work())


class BatchItemsContract(BatchStoreContract):
    """The same contract for a database, which may also have a table whose predictions are written into it."""

    @pytest.fixture
    def down(self) -> str:
        raise NotImplementedError("a backend's test gives the URL of a table in a database that does not answer")

    @pytest.fixture
    def items(self, url: str) -> str:
        return url.replace("table=results", "table=items")

    def test_many_who_fill_a_table_at_once_fill_it_once(self, run: Any, items: str) -> None:
        async def fill() -> bool:
            async with opened(BatchItems, items) as store:
                made: bool = await store.fill([[float(number), 0.5] for number in range(50)])
                return made

        async def work() -> None:
            assert sum(await asyncio.gather(*[fill() for _ in range(5)])) == 1
            assert not await fill()
            async with opened(BatchSource, items) as source:
                shape = await source.shape()
                assert [column.name for column in shape.columns] == [
                    "id", "values", "prediction", "created_datetime", "updated_datetime",
                ]  # fmt: skip
                (page,) = await pages(source, ["values", "prediction", "created_datetime"], 100)
                assert list(page.keys) == list(range(1, 51))
                assert [msgspec.json.decode(text) for text in page.columns["values"]] == [[n, 0.5] for n in range(50)]
                assert set(page.columns["prediction"]) == {None}
                assert all(len(str(text)) == 19 and str(text)[10] == "T" for text in page.columns["created_datetime"])

        run(work())

    def test_predictions_go_into_the_rows_themselves(self, run: Any, items: str) -> None:
        unpredicted = (Comparison("prediction", "=", None),)

        async def work() -> None:
            async with opened(BatchItems, items) as store:
                await store.fill([[1.0], [2.0], [3.0]])
            async with opened(BatchSink, f"{items}&into=prediction") as sink, opened(BatchSource, items) as source:
                assert await sink.load() is None
                begun = await sink.begin(RUN, KEY, [Column("prediction", "json")], anew=False)
                made = Results([1, 3], {"prediction": ["[0.5,1]", "[0.25]"]}, [Failure(2, "INVALID", "no")])
                begun = await sink.write(begun, made)
                (page,) = await pages(source, ["values", "prediction"], 9)
                assert list(page.columns["prediction"]) == ["[0.5,1]", None, "[0.25]"]
                assert [list((await source.read(["values"], None, 9, unpredicted)).keys)] == [[2]]
                assert await source.count(None, unpredicted) == 1
                assert [each.key for each in await sink.failures(5)] == [2]
                begun = await sink.write(begun, Results([2], {"prediction": ["[2]"]}))
                assert await sink.failures(5) == []
                await sink.finish(begun)
                assert await source.read(["values"], None, 9, unpredicted) is None

        run(work())

    def test_a_page_whose_run_is_not_the_newest_changes_nothing(self, run: Any, items: str) -> None:
        async def work() -> None:
            async with opened(BatchItems, items) as store:
                await store.fill([[1.0], [2.0]])
            place = f"{items}&into=prediction"
            async with opened(BatchSink, place) as one, opened(BatchSink, place) as other:
                mine = await one.begin(RUN, KEY, [Column("prediction", "json")], anew=False)
                await other.begin(mine, KEY, [Column("prediction", "json")], anew=False)
                with pytest.raises(Conflict):
                    await one.write(mine, Results([1], {"prediction": ["[1]"]}, [Failure(2, "INVALID", "no")]))
                assert await other.failures(5) == []
            async with opened(BatchSource, items) as source:
                assert await source.count(None, (Comparison("prediction", "!=", None),)) == 0

        run(work())

    def test_a_key_that_comes_twice_is_refused(self, run: Any, url: str) -> None:
        async def work() -> None:
            await written(url, 20)
            async with opened(BatchSource, f"{url}&key=count") as source:
                with pytest.raises(SettingsError, match="twice"):
                    await pages(source, ["score"], 4)

        run(work())

    def test_text_keys_are_read_once_each_too(self, run: Any, url: str) -> None:
        names = ["a", "B", "c'd", "É", "e", "zz"]

        async def work() -> None:
            async with opened(BatchSink, url) as sink:
                begun = await sink.begin(RUN, Column("name", "text"), [Column("score", "float")], anew=False)
                await sink.finish(await sink.write(begun, Results(names, {"score": [1.0] * len(names)})))
            async with opened(BatchSource, f"{url}&key=name") as source:
                found = await pages(source, ["score"], 2)
                assert sorted(key for page in found for key in page.keys) == sorted(names)

        run(work())

    def test_one_that_is_down_is_found_out_in_use(self, run: Any, down: str) -> None:
        async def work() -> None:
            for need, call in ((BatchSource, "shape"), (BatchSink, "load")):
                async with opened(need, down) as store:
                    with pytest.raises(Unavailable):
                        await getattr(store, call)()

        run(work())
