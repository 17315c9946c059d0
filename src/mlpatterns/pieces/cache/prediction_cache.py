"""PredictionCache: what was asked before is answered without asking the model."""

from __future__ import annotations

from functools import partial
from types import NoneType

from msgspec.structs import replace

from mlpatterns.base import Wrapper
from mlpatterns.errors import PredictionError
from mlpatterns.pieces import piece
from mlpatterns.pieces.cache.figures import CacheFigures, Cleared
from mlpatterns.pieces.cache.keys import Question, Questions
from mlpatterns.pieces.cache.options import check_options, wishes_of
from mlpatterns.pieces.cache.shelf import Shelf
from mlpatterns.pieces.flights import Flight, Flights
from mlpatterns.predictor import Caller, InferenceRequest, InferenceResponse, Operation, Predictor, Runtime
from mlpatterns.stores.cache import CacheEntry, CacheStore

__all__ = ["PredictionCache"]


Found = tuple[InferenceResponse, str]  # the answer, and which of STATES it is


@piece(lambda inner, _: PredictionCache(inner), detaches=True, needs_identity=True)
class PredictionCache(Wrapper):
    """Answers of `predictor`, kept for a while.

    An answer is kept under the identity of the model that gave it, and only if that is the one asked, the answer is
    final and not degraded: a new model never answers from the old one's cache. Equal questions at the same time reach
    the model once. The note `cache`, sent as `x-mlp-cache`, says how it went: ``hit``, ``miss``, ``joined``,
    ``stale`` or ``bypass``; of several caches, the last one's.

    A request with the header `cache-control: no-cache` goes to the model, and its answer is kept; with `no-store` it
    is not. A store that fails or is slow is counted, and the model is asked instead.

    Args:
        predictor: is asked for what is not kept; it has an identity.
        store: URL of a CacheStore; by default the setting `cache`.
        ttl: seconds an answer is fresh.
        stale_if_error: seconds more that it may be given, marked degraded, where the model fails.
        max_entry_bytes: a larger answer is not kept.
        store_timeout: seconds to wait for the store.
        name: by default that of `predictor`.

    Raises:
        CompositionError: at start: `predictor` has no identity.
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
        self.operations = (
            Operation("cache", "query", "public", NoneType, CacheFigures, self._figures),
            Operation("cache/clear", "command", "token", NoneType, Cleared, self._clear),
        )

    async def start(self, runtime: Runtime) -> None:
        self._path = runtime.path
        self._questions = Questions("PredictionCache", self.inner, runtime)
        url = self.store or runtime.settings.cache
        store = await runtime.store(CacheStore, url)  # type: ignore[type-abstract]
        self._clock = runtime.clock
        self._shelf = Shelf(store, url, self.ttl + self.stale_if_error, self.store_timeout, runtime)
        self._flights: Flights[Found] = Flights(runtime.clock)
        self._counts = self._shelf.counts
        self._hits = self._counts.states["hit"]

    async def stop(self) -> None:
        if hasattr(self, "_counts"):  # else its start failed
            await self._flights.stop()
            await self._shelf.stop()

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        wishes = wishes_of(request.context.headers)
        question = await self._questions.name(request)
        if question is None or wishes:
            return await self._past(request, question, wishes)
        entry = None
        if self._shelf.instant:
            entry = await self._shelf.get(question[0])
            if entry is not None and self._clock.time() < entry.fresh_until:
                self._hits.inc()
                request.context.at(self._path).note("cache", "hit", public=True)
                return entry.response
        work = partial(self._answer, request, question, entry)
        notes = request.context.notes
        (response, state), joined = await self._flights.ask(question[0], work, request.deadline, notes)
        self._note(request, "joined" if joined and state == "miss" else state)
        return response

    def _note(self, request: InferenceRequest, state: str) -> None:
        self._counts.states[state].inc()
        request.context.at(self._path).note("cache", state, public=True)

    # ---- asking ----

    async def _past(
        self, request: InferenceRequest, question: Question | None, wishes: frozenset[str]
    ) -> InferenceResponse:
        """Past the cache, with the caller's own context; the answer may be kept all the same."""
        self._note(request, "bypass")
        clears = self._shelf.clears
        response = await self.inner.predict(request)
        if question is None or "no-store" in wishes:
            return response
        return await self._keep(question, response, clears)

    async def _answer(
        self, request: InferenceRequest, question: Question, entry: CacheEntry | None, flight: Flight[Found]
    ) -> Found:
        """The work of a flight: look in the store, then ask the model, in a context that is nobody's."""
        clears = self._shelf.clears
        if not self._shelf.instant:
            entry = await self._shelf.get(question[0], flight.deadline)
        if entry is not None:
            if entry.response.identity != question[1]:
                entry = None
            elif self._clock.time() < entry.fresh_until:
                return entry.response, "hit"
        context = request.context.detached()
        flight.notes = context.notes
        asked = InferenceRequest(request.inputs, context, None, request.parameters, request.outputs, flight.tell())
        try:
            response = await self.inner.predict(asked)
        except Exception as error:
            if entry is None or not self._may_stand_in(entry, error):
                raise
            return replace(entry.response, degraded=True), "stale"
        return await self._keep(question, response, clears), "miss"

    def _may_stand_in(self, entry: CacheEntry, error: Exception) -> bool:
        fault = not isinstance(error, PredictionError) or error.code.is_fault
        return fault and self._clock.time() < entry.fresh_until + self.stale_if_error

    # ---- keeping ----

    async def _keep(self, question: Question, response: InferenceResponse, clears: int) -> InferenceResponse:
        """The response, which others may be given too, kept if it may be."""
        key, identity = question
        return await self._shelf.keep(key, response, identity, most=self.max_entry_bytes, fresh=self.ttl, clears=clears)

    # ---- operations ----

    async def _figures(self, _: None, caller: Caller) -> CacheFigures:
        return self._shelf.figures(model=self.name, identity=self.inner.identity(), in_flight=len(self._flights))

    async def _clear(self, _: None, caller: Caller) -> Cleared:
        """Forgets all answers of the model as it is now.

        Raises:
            Unavailable: the model is not known yet, or the store did not do it.
        """
        return await self._shelf.clear(self._questions.keys())
