"""DataCache: prepares the row of each key once, and keeps it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from types import NoneType

from mlpatterns.base import Wrapper
from mlpatterns.errors import ErrorCode, NotStarted, PredictionError, Unavailable
from mlpatterns.pieces import piece
from mlpatterns.pieces.cache.common import STATES, CacheStats, Cleared, check_options, directives_of
from mlpatterns.pieces.cache.group_flights import GroupFlights
from mlpatterns.pieces.cache.guarded_store import GuardedStore
from mlpatterns.pieces.cache.keys import RequestKeys
from mlpatterns.pieces.cache.rows import WarmRequest, WarmResult, joined, split, warm
from mlpatterns.pieces.flights import Flight
from mlpatterns.predictor import Caller, InferenceRequest, InferenceResponse, Operation, Predictor, Runtime
from mlpatterns.stores.cache import CacheEntry, CacheStore, shareable_view
from mlpatterns.tensors import batch_size, read_only
from mlpatterns.user_errors import CompositionError

__all__ = ["DataCache"]

OF_ONE = {ErrorCode.INVALID, ErrorCode.NOT_FOUND, ErrorCode.TOO_LARGE}  # one row may cause them for the entire request

Found = tuple[InferenceResponse, str]  # the answer for one row, and its state, one of STATES


@piece(lambda inner, _: DataCache(inner), detaches=True, needs_identity=True)
class DataCache(Wrapper):
    """Caches each row that `loader` prepares, by the key of the row.

    Put it before a model: ``Pipeline(DataCache(Pipeline(GoldenImages(m), ImageDecoder(m))), OnnxModel(m))``. The
    rows of a request are looked up in one round trip, and the missing ones are loaded together. A row that several
    callers need at the same time is loaded once. The identity of the loader is part of the key, so a loader that
    prepares rows differently uses other keys. The note `data-cache`, which the caller gets as `x-mlp-data-cache`, is
    ``hit``, ``miss``, ``joined`` or ``bypass``; if the rows differ, it has the number of each.

    It handles `cache-control` and failing stores as PredictionCache does.

    Args:
        loader: prepares rows from keys, one row for each key; it needs an identity.
        store: the URL of a CacheStore; by default the setting `cache`.
        ttl: the seconds for which a row is kept; changed data under the same key is visible only after that.
        max_entry_bytes: a larger row is not kept.
        store_timeout: the seconds that a look-up in the store may take.
        name: the name of this piece; by default that of `loader`.

    Raises:
        CompositionError: an option is out of its range; at the start: `loader` has no identity, or does not take rows.
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
        self._stops: Sequence[Callable[[], Awaitable[None]]] = ()
        self.operations = (
            Operation("data_cache", "query", "public", NoneType, CacheStats, self._stats),
            Operation("data_cache/clear", "command", "token", NoneType, Cleared, self._clear),
            Operation("data_cache/warm", "command", "token", WarmRequest, WarmResult, self._warm),
        )

    async def start(self, runtime: Runtime) -> None:
        self._path = runtime.path
        self._keys = RequestKeys("DataCache", self.inner, runtime)
        with suppress(NotStarted):
            if any(spec.shape[:1] != (-1,) for spec in self.inner.metadata.inputs):
                raise CompositionError(f"a DataCache keeps rows; the inputs of {self.inner.name!r} have no row axis")
        url = self.store or runtime.settings.cache
        store = await runtime.store(CacheStore, url)  # type: ignore[type-abstract]
        self._clock = runtime.clock
        self._store = GuardedStore(store, url, self.ttl, self.store_timeout, runtime)
        self._flights: GroupFlights[Found] = GroupFlights(runtime.clock)
        self._metrics = self._store.metrics
        self._stops = (self._flights.stop, self._store.stop)

    async def stop(self) -> None:
        for stop in self._stops:  # empty if start() failed
            await stop()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        directives = directives_of(request.context.headers)
        keyed = await self._keys.keys_of_rows(request)
        if keyed is None or not keyed[0] or directives:
            return await self._past(request, keyed, directives)
        keys = keyed[0]
        found = await self._found(request, *keyed)
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
            self._metrics.states[state].inc(count)
        said = states[0] if len(counted) == 1 else ", ".join(f"{count} {state}" for state, count in counted.items())
        request.context.at(self._path).note("data-cache", said, public=True)

    # ---- looking up, and loading what is missing ----

    async def _found(
        self, request: InferenceRequest, keys: Sequence[str], identity: str
    ) -> dict[str, Found | Exception]:
        """The row of each key, or its error; `keys` has the key of each row of `request`, in order."""
        places = {key: place for place, key in enumerate(keys)}
        found: dict[str, Found | Exception] = {}
        if self._store.instant:
            found |= self._fresh(await self._store.get_many(list(places)))
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
        """Loads the rows of a group of keys: looks in the store, then calls the loader with a detached context."""
        found: dict[str, Found | Exception] = {}
        if not self._store.instant:
            found |= self._fresh(await self._store.get_many(keys, flight.deadline))
        missing = [key for key in keys if key not in found]
        context = request.context.detached()
        flight.notes = context.notes

        async def prepare(chosen: Sequence[str]) -> None:
            rows = [places[key] for key in chosen]
            inputs = {name: read_only(value[rows]) for name, value in request.inputs.items()}
            asked = InferenceRequest(inputs, context, None, request.parameters, request.outputs, flight.take_deadline())
            clears = self._store.clears
            response = await self.inner.predict(asked)
            for key, row in zip(chosen, split(response, self.inner.name, len(rows)), strict=True):
                found[key] = await self._keep(key, row, identity, clears), "miss"

        try:
            await prepare(missing) if missing else None
        except PredictionError as error:
            found |= dict.fromkeys(missing, error)
            if len(missing) > 1 and error.code in OF_ONE:  # so that the other keys get their rows
                for key in missing:
                    try:
                        await prepare([key])
                    except PredictionError as own:
                        found[key] = own
        return found

    async def _past(
        self, request: InferenceRequest, keyed: tuple[list[str], str] | None, directives: frozenset[str]
    ) -> InferenceResponse:
        """Calls the loader with the caller's own context, without a look-up; the rows may be kept."""
        self._note(request, ["bypass"] * batch_size(request.inputs) or ["bypass"])
        clears = self._store.clears
        response = await self.inner.predict(request)
        if keyed is None or "no-store" in directives or response.status != "done":
            return response
        keys, identity = keyed
        for key, row in zip(keys, split(response, self.inner.name, len(keys)), strict=True):
            await self._keep(key, row, identity, clears)
        return shareable_view(response)

    async def _keep(self, key: str, row: InferenceResponse, identity: str, clears: int) -> InferenceResponse:
        """Keeps the row if it may be kept; returns it in a form that several callers can share."""
        return await self._store.keep(key, row, identity, most=self.max_entry_bytes, fresh=self.ttl, clears=clears)

    # ---- operations ----

    async def _stats(self, _: None, caller: Caller) -> CacheStats:
        """Hits, misses and failures in this worker since its start; entries and bytes of the entire store."""
        return self._store.stats(model=self.name, identity=self.inner.identity(), in_flight=len(self._flights))

    async def _clear(self, _: None, caller: Caller) -> Cleared:
        """Deletes all rows of the current loader.

        Raises:
            Unavailable: the loader is not known yet, or the store did not answer in time.
        """
        return await self._store.clear(self._keys.of_model())

    async def _warm(self, command: WarmRequest, caller: Caller) -> WarmResult:
        """Prepares the row of each key before the first request for it, within the time of one request.

        Raises:
            Unsupported: the loader does not take keys.
            Unavailable: the loader is not known yet.
        """
        return await warm(command.keys, self.inner, self._outcomes, caller, self._clock)

    async def _outcomes(self, request: InferenceRequest) -> list[str | Exception]:
        """The state of each row of `request`, or its error."""
        keyed = await self._keys.keys_of_rows(request)
        if keyed is None:
            raise Unavailable("the loader is not ready yet", retry_after=1)
        found = await self._found(request, *keyed)
        outcomes = [found[key] for key in keyed[0]]
        return [outcome if isinstance(outcome, Exception) else outcome[1] for outcome in outcomes]


def _of_row(error: Exception, number: int, rows: int) -> Exception:
    """The error for the caller, with the number of the row, because the loader may have received only that row."""
    if rows > 1 and isinstance(error, PredictionError) and error.code in OF_ONE:
        return error.about(f"row {number} of {rows}")
    return error
