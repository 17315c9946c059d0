"""PredictionCache: answers repeated requests without the model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import NoneType

from msgspec.structs import replace

from mlpatterns.base import Wrapper
from mlpatterns.errors import PredictionError
from mlpatterns.pieces import piece
from mlpatterns.pieces.cache.common import CacheStats, Cleared, check_options, directives_of
from mlpatterns.pieces.cache.guarded_store import GuardedStore
from mlpatterns.pieces.cache.keys import CacheKey, RequestKeys
from mlpatterns.pieces.flights import Flight, Flights
from mlpatterns.predictor import Caller, InferenceRequest, InferenceResponse, Operation, Predictor, Runtime
from mlpatterns.stores.cache import CacheEntry, CacheStore

__all__ = ["PredictionCache"]


Found = tuple[InferenceResponse, str]  # the answer, and its state, one of STATES


@piece(lambda inner, _: PredictionCache(inner), detaches=True, needs_identity=True)
class PredictionCache(Wrapper):
    """Caches the answers of `predictor`.

    The identity of the model is part of the key, so a new model never answers from the cache of the old one. Only
    complete answers that are not degraded are kept. Of several equal requests at the same time, one reaches the model,
    and all get its answer. The note `cache`, which the caller gets as `x-mlp-cache`, is ``hit``, ``miss``, ``joined``,
    ``stale`` or ``bypass``; with several caches, it is the note of the last one.

    A request with the header `cache-control: no-cache` goes to the model, and its answer is kept. With `no-store` its
    answer is not kept either. If the store fails or is slow, the model answers, and a metric counts the failure.

    Args:
        predictor: answers what is not in the cache; it needs an identity.
        store: the URL of a CacheStore; by default the setting `cache`.
        ttl: the seconds for which an answer is fresh.
        stale_if_error: the further seconds for which an answer may be used if the model fails; it is then marked as
            degraded.
        max_entry_bytes: a larger answer is not kept.
        store_timeout: the seconds that a look-up in the store may take.
        name: the name of this piece; by default that of `predictor`.

    Raises:
        CompositionError: an option is out of its range; at the start: `predictor` has no identity.
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        store: str | None = None,
        ttl: float = 3600.0,
        stale_if_error: float = 0.0,
        max_entry_bytes: int = 2**20,
        store_timeout: float = 0.05,
        name: str | None = None,
    ) -> None:
        super().__init__(predictor, name)
        check_options(ttl, stale_if_error, max_entry_bytes, store_timeout)
        self.store, self.ttl, self.stale_if_error = store, ttl, stale_if_error
        self.max_entry_bytes, self.store_timeout = max_entry_bytes, store_timeout
        self._stops: Sequence[Callable[[], Awaitable[None]]] = ()
        self.operations = (
            Operation("cache", "query", "public", NoneType, CacheStats, self._stats),
            Operation("cache/clear", "command", "token", NoneType, Cleared, self._clear),
        )

    async def start(self, runtime: Runtime) -> None:
        self._path = runtime.path
        self._keys = RequestKeys("PredictionCache", self.inner, runtime)
        url = self.store or runtime.settings.cache
        store = await runtime.store(CacheStore, url)  # type: ignore[type-abstract]
        self._clock = runtime.clock
        self._store = GuardedStore(store, url, self.ttl + self.stale_if_error, self.store_timeout, runtime)
        self._flights: Flights[Found] = Flights(runtime.clock)
        self._metrics = self._store.metrics
        self._stops = (self._flights.stop, self._store.stop)
        self._hits = self._metrics.states["hit"]

    async def stop(self) -> None:
        for stop in self._stops:  # empty if start() failed
            await stop()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        directives = directives_of(request.context.headers)
        key = await self._keys.key_of(request)
        if key is None or directives:
            return await self._past(request, key, directives)
        entry = None
        if self._store.instant:
            entry = await self._store.get(key[0])
            if entry is not None and self._clock.time() < entry.fresh_until:
                self._hits.inc()
                request.context.at(self._path).note("cache", "hit", public=True)
                return entry.response
        work = partial(self._answer, request, key, entry)
        notes = request.context.notes
        (response, state), joined = await self._flights.ask(key[0], work, request.deadline, notes)
        self._note(request, "joined" if joined and state == "miss" else state)
        return response

    def _note(self, request: InferenceRequest, state: str) -> None:
        self._metrics.states[state].inc()
        request.context.at(self._path).note("cache", state, public=True)

    # ---- asking ----

    async def _past(
        self, request: InferenceRequest, key: CacheKey | None, directives: frozenset[str]
    ) -> InferenceResponse:
        """Calls the model with the caller's own context, without a look-up; the answer may be kept."""
        self._note(request, "bypass")
        clears = self._store.clears
        response = await self.inner.predict(request)
        if key is None or "no-store" in directives:
            return response
        return await self._keep(key, response, clears)

    async def _answer(
        self, request: InferenceRequest, key: CacheKey, entry: CacheEntry | None, flight: Flight[Found]
    ) -> Found:
        """Makes the answer for all callers with this key: looks in the store, then calls the model with a detached
        context.
        """
        clears = self._store.clears
        if not self._store.instant:
            entry = await self._store.get(key[0], flight.deadline)
        if entry is not None:
            if entry.response.identity != key[1]:
                entry = None
            elif self._clock.time() < entry.fresh_until:
                return entry.response, "hit"
        context = request.context.detached()
        flight.notes = context.notes
        asked = InferenceRequest(
            request.inputs, context, None, request.parameters, request.outputs, flight.take_deadline()
        )
        try:
            response = await self.inner.predict(asked)
        except Exception as error:
            if entry is None or not self._may_stand_in(entry, error):
                raise
            return replace(entry.response, degraded=True), "stale"
        return await self._keep(key, response, clears), "miss"

    def _may_stand_in(self, entry: CacheEntry, error: Exception) -> bool:
        fault = not isinstance(error, PredictionError) or error.code.is_fault
        return fault and self._clock.time() < entry.fresh_until + self.stale_if_error

    # ---- keeping ----

    async def _keep(self, key: CacheKey, response: InferenceResponse, clears: int) -> InferenceResponse:
        """Keeps the response if it may be kept; returns it in a form that several callers can share."""
        digest, identity = key
        return await self._store.keep(
            digest, response, identity, most=self.max_entry_bytes, fresh=self.ttl, clears=clears
        )

    # ---- operations ----

    async def _stats(self, _: None, caller: Caller) -> CacheStats:
        """Hits, misses and failures in this worker since its start; entries and bytes of the entire store."""
        return self._store.stats(model=self.name, identity=self.inner.identity(), in_flight=len(self._flights))

    async def _clear(self, _: None, caller: Caller) -> Cleared:
        """Deletes all answers of the current model.

        Raises:
            Unavailable: the model is not known yet, or the store did not answer in time.
        """
        return await self._store.clear(self._keys.of_model())
