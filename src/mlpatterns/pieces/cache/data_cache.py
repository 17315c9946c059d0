"""DataCache: what was prepared for a key is not prepared again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import NoneType

from mlpatterns.base import Wrapper
from mlpatterns.errors import CompositionError, ErrorCode, NotStarted, PredictionError, Unavailable
from mlpatterns.pieces.cache.figures import STATES, CacheFigures, Cleared
from mlpatterns.pieces.cache.group_flights import GroupFlights
from mlpatterns.pieces.cache.keys import Questions
from mlpatterns.pieces.cache.options import check_options, wishes_of
from mlpatterns.pieces.cache.row_answers import joined, split
from mlpatterns.pieces.cache.shelf import Shelf
from mlpatterns.pieces.cache.warming import Warmed, Warming, warm
from mlpatterns.pieces.flights import Flight
from mlpatterns.predictor import Caller, InferenceRequest, InferenceResponse, Operation, Predictor, Runtime
from mlpatterns.stores.cache import CacheEntry, CacheStore, sealed
from mlpatterns.tensors import batch_size, read_only

__all__ = ["DataCache"]

OF_ONE = {ErrorCode.INVALID, ErrorCode.NOT_FOUND, ErrorCode.TOO_LARGE}  # what one row may do to all that go with it

Found = tuple[InferenceResponse, str]  # of one row, and which of STATES it is


class DataCache(Wrapper):
    """Rows that `loader` prepared, each kept by what it was asked for, for a while.

    It goes in front of a model: ``Pipeline(DataCache(Pipeline(GoldenImages(m), ImageDecoder(m))), OnnxModel(m))``. A
    request's keys are looked up in one round trip, and those that are missing are loaded together; a key that several
    ask for is loaded once. A row is kept under the loader's identity: what is prepared otherwise has other keys, and
    so has a PredictionCache on the same store. The note `data-cache`, sent as `x-mlp-data-cache`, says how it went:
    ``hit``, ``miss``, ``joined`` or ``bypass``, or how many of each.

    `cache-control` and failing stores are treated as a PredictionCache treats them.

    Args:
        loader: makes rows of keys, one row for each; it has an identity.
        store: URL of a CacheStore; by default the setting `cache`.
        ttl: seconds a row is kept; an image that changes under its key is seen after them.
        max_entry_bytes: a larger row is not kept.
        store_timeout: seconds to wait for the store.
        name: by default that of `loader`.

    Raises:
        CompositionError: at start: `loader` has no identity, or no row for each row it is asked for.
    """

    def __init__(
        self,
        loader: Predictor,
        *,
        store: str | None = None,
        ttl: float = 86_400.0,
        max_entry_bytes: int = 8 * 2**20,
        store_timeout: float = 0.05,
        name: str | None = None,
    ) -> None:
        super().__init__(loader, name)
        check_options(ttl, 0, max_entry_bytes, store_timeout)
        self.store, self.ttl, self.max_entry_bytes, self.store_timeout = store, ttl, max_entry_bytes, store_timeout
        self.operations = (
            Operation("data_cache", "query", "public", NoneType, CacheFigures, self._figures),
            Operation("data_cache/clear", "command", "token", NoneType, Cleared, self._clear),
            Operation("data_cache/warm", "command", "token", Warming, Warmed, self._warm),
        )

    async def start(self, runtime: Runtime) -> None:
        self._path = runtime.path
        self._questions = Questions("DataCache", self.inner, runtime)
        with suppress(NotStarted):
            if any(spec.shape[:1] != (-1,) for spec in self.inner.metadata.inputs):
                raise CompositionError(f"a DataCache keeps rows, and {self.inner.name!r} takes inputs without any")
        url = self.store or runtime.settings.cache
        store = await runtime.store(CacheStore, url)  # type: ignore[type-abstract]
        self._clock = runtime.clock
        self._shelf = Shelf(store, url, self.ttl, self.store_timeout, runtime)
        self._flights: GroupFlights[Found] = GroupFlights(runtime.clock)
        self._counts = self._shelf.counts

    async def stop(self) -> None:
        if hasattr(self, "_counts"):  # else its start failed
            await self._flights.stop()
            await self._shelf.stop()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        wishes = wishes_of(request.context.headers)
        questions = await self._questions.of_rows(request)
        if questions is None or not questions[0] or wishes:
            return await self._past(request, questions, wishes)
        keys = questions[0]
        found = await self._found(request, *questions)
        rows, states = [], []
        for number, key in enumerate(keys, 1):
            outcome = found[key]
            if isinstance(outcome, Exception):
                raise _of_row(outcome, number, len(keys))
            rows.append(outcome[0])
            states.append(outcome[1])
        self._note(request, states)
        return joined(rows)

    def _note(self, request: InferenceRequest, states: Sequence[str]) -> None:
        counted = {state: states.count(state) for state in STATES if state in states}
        for state, count in counted.items():
            self._counts.states[state].inc(count)
        said = states[0] if len(counted) == 1 else ", ".join(f"{count} {state}" for state, count in counted.items())
        request.context.at(self._path).note("data-cache", said, public=True)

    # ---- looking up, and loading what is missing ----

    async def _found(
        self, request: InferenceRequest, keys: Sequence[str], identity: str
    ) -> dict[str, Found | Exception]:
        """The row of each key, or why there is none; `keys` are of the rows of `request`, in their order."""
        places = {key: place for place, key in enumerate(keys)}
        found: dict[str, Found | Exception] = {}
        if self._shelf.instant:
            found |= self._fresh(await self._shelf.get_many(list(places)))
        missing = [key for key in places if key not in found]
        if missing:
            work = partial(self._load, request, places, identity)
            outcomes = await self._flights.ask(missing, work, request.deadline, request.context.notes)
            for key, outcome in zip(missing, outcomes, strict=True):
                if isinstance(outcome, Exception):
                    found[key] = outcome
                else:
                    (row, state), shared = outcome
                    found[key] = row, "joined" if shared and state == "miss" else state
        return found

    def _fresh(self, entries: Mapping[str, CacheEntry]) -> dict[str, Found]:
        now = self._clock.time()
        return {key: (entry.response, "hit") for key, entry in entries.items() if now < entry.fresh_until}

    async def _load(
        self,
        request: InferenceRequest,
        places: Mapping[str, int],
        identity: str,
        keys: Sequence[str],
        flight: Flight[Mapping[str, Found | Exception]],
    ) -> Mapping[str, Found | Exception]:
        """The work of a group of flights: look in the store, then ask the loader, in a context that is nobody's."""
        found: dict[str, Found | Exception] = {}
        if not self._shelf.instant:
            found |= self._fresh(await self._shelf.get_many(keys, flight.deadline))
        missing = [key for key in keys if key not in found]
        context = request.context.detached()
        flight.notes = context.notes

        async def prepare(chosen: Sequence[str]) -> None:
            rows = [places[key] for key in chosen]
            inputs = {name: read_only(value[rows]) for name, value in request.inputs.items()}
            asked = InferenceRequest(inputs, context, None, request.parameters, request.outputs, flight.tell())
            clears = self._shelf.clears
            response = await self.inner.predict(asked)
            for key, row in zip(chosen, split(response, self.inner.name, len(rows)), strict=True):
                found[key] = await self._keep(key, row, identity, clears), "miss"

        try:
            await prepare(missing) if missing else None
        except PredictionError as error:
            found |= dict.fromkeys(missing, error)
            if len(missing) > 1 and error.code in OF_ONE:  # so that the others get theirs
                for key in missing:
                    try:
                        await prepare([key])
                    except PredictionError as own:
                        found[key] = own
        return found

    async def _past(
        self, request: InferenceRequest, questions: tuple[list[str], str] | None, wishes: frozenset[str]
    ) -> InferenceResponse:
        """Past the cache, with the caller's own context; the rows may be kept all the same."""
        self._note(request, ["bypass"] * batch_size(request.inputs) or ["bypass"])
        clears = self._shelf.clears
        response = await self.inner.predict(request)
        if questions is None or "no-store" in wishes or response.status != "done":
            return response
        keys, identity = questions
        for key, row in zip(keys, split(response, self.inner.name, len(keys)), strict=True):
            await self._keep(key, row, identity, clears)
        return sealed(response)

    async def _keep(self, key: str, row: InferenceResponse, identity: str, clears: int) -> InferenceResponse:
        """The row, which others may be given too, kept if it may be."""
        return await self._shelf.keep(key, row, identity, most=self.max_entry_bytes, fresh=self.ttl, clears=clears)

    # ---- operations ----

    async def _figures(self, _: None, caller: Caller) -> CacheFigures:
        return self._shelf.figures(model=self.name, identity=self.inner.identity(), in_flight=len(self._flights))

    async def _clear(self, _: None, caller: Caller) -> Cleared:
        """Forgets all rows of the loader as it is now.

        Raises:
            Unavailable: the loader is not known yet, or the store did not do it.
        """
        return await self._shelf.clear(self._questions.keys())

    async def _warm(self, asked: Warming, caller: Caller) -> Warmed:
        """Prepares what is kept under each key ahead of the first who asks for it, within the time of a request.

        Raises:
            Unsupported: the loader takes something else than keys.
            Unavailable: the loader is not known yet.
        """
        return await warm(asked.keys, self.inner, self._outcomes, caller, self._clock)

    async def _outcomes(self, request: InferenceRequest) -> list[str | Exception]:
        """How each row of `request` was come by, or why not."""
        questions = await self._questions.of_rows(request)
        if questions is None:
            raise Unavailable("the loader is not ready yet", retry_after=1)
        found = await self._found(request, *questions)
        outcomes = [found[key] for key in questions[0]]
        return [outcome if isinstance(outcome, Exception) else outcome[1] for outcome in outcomes]


def _of_row(error: Exception, number: int, rows: int) -> Exception:
    """The error as the caller is told it: the loader may have been asked for that row alone, so it cannot say which."""
    if rows > 1 and isinstance(error, PredictionError) and error.code in OF_ONE:
        return error.about(f"row {number} of {rows}")
    return error
