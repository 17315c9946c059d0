"""Route: rules decide which of several predictors answers a request."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import NoneType

from msgspec.structs import replace

from mlpatterns.base import BasePredictor
from mlpatterns.context import Context
from mlpatterns.errors import InternalError, NotFound, NotStarted, PredictionError
from mlpatterns.metadata import ModelMetadata
from mlpatterns.pieces import piece
from mlpatterns.pieces.calls import PartHealth, answer_of, ask_within
from mlpatterns.pieces.combined import CombinedMetadata, require_same_inputs
from mlpatterns.pieces.route.rules import Rule, read_rules
from mlpatterns.predictor import (
    Caller,
    Health,
    InferenceRequest,
    InferenceResponse,
    Operation,
    Predictor,
    Runtime,
)
from mlpatterns.user_errors import CompositionError, UnknownName

__all__ = ["Route"]

log = logging.getLogger("mlpatterns")


@piece(
    lambda inner, _: Route({"inner": inner}, rules=[Rule(to="inner", headers={"x-rule": "met"})], default="inner"),
    by_caller=True,
)
class Route(BasePredictor):
    """Chooses one of several predictors by rules, e.g. ``Route({"animals": a, "plants": b}, rules=[Rule(to="plants",
    headers={"target": "mountain"})], default="animals")``.

    The first rule that matches decides. This also applies to requests about the model: `/label`, `/metadata`,
    `/predict/test` and the query ``health/pred``, which returns whether the part for this caller can answer now. The
    note `route`, which the caller gets as ``x-mlp-route``, names the part. The field `described` of the response has
    the metadata of the part.

    Args:
        parts: the predictors by name; all take the same inputs.
        rules: the rules in order, or the path of a YAML file with rules, which is read at construction.
        default: the part for a request that no rule matches; without a default such a request is NOT_FOUND.
        timeout: the seconds that a part may take, if its rule has no timeout.

    Raises:
        CompositionError: a rule cannot be used; at the start: the parts do not take the same inputs.
        UnknownName: a rule or the default names a part that does not exist.
        MissingExtra: PyYAML is not installed.
        NotFound: `predict` and `describe`: no rule matches, and there is no default.
    """

    depends_on_caller = True

    def __init__(
        self,
        parts: Mapping[str, Predictor],
        *,
        rules: Sequence[Rule] | str | Path,
        default: str | None = None,
        timeout: float | None = None,
        name: str = "route",
    ) -> None:
        super().__init__(name, parts)
        if isinstance(rules, str | Path):
            found = read_rules(Path(rules))
            if default is not None and found.default is not None:
                raise CompositionError(f"the default of {name!r} is given twice: here, and in {rules}")
            rules, default = found.rules, default or found.default
        self.rules, self.default, self.timeout = tuple(rules), default, timeout
        if timeout is not None and not timeout > 0:
            raise CompositionError(f"the timeout of {name!r} must be more than 0 seconds")
        if not self.rules:
            raise CompositionError(f"{name!r} needs at least one rule")
        for rule in self.rules:
            rule.check()
        for part in (*(rule.to for rule in self.rules), *([default] if default is not None else [])):
            if part not in self.children:
                raise UnknownName(f"part of {name!r}", part, self.children)
        self.reads_headers = tuple(dict.fromkeys(header.lower() for rule in self.rules for header in rule.headers))
        self._on_data = any(rule.data for rule in self.rules)
        self._on_time = any(rule.between for rule in self.rules)
        self._first = default or next(iter(self.children))
        self._described = CombinedMetadata(name, self.children, self._describe)
        self.operations = (Operation("health/pred", "query", "public", NoneType, PartHealth, self._health),)

    @property
    def metadata(self) -> ModelMetadata:
        """The metadata of the default part or, without a default, of the first; while it is unknown, of another."""
        with suppress(NotStarted):
            return self._described.once_ready()
        for part in self.children.values():
            with suppress(NotStarted):
                return replace(part.metadata, name=self.name, platform="route")
        raise NotStarted(self.name)

    def describe(self, context: Context) -> ModelMetadata:
        return self.children[self._choose(context, None)[0]].describe(context)

    def identity(self) -> str | None:
        """The identity of the parts if all have the same; otherwise None, because the part depends on the request."""
        found = {part.identity() for part in self.children.values()}
        return found.pop() if len(found) == 1 else None

    def overall_health(self, below: Sequence[Health]) -> Health:
        """Ready if at least one part is ready; the reason names what is wrong with the others."""
        whole = super().overall_health(below)
        return Health(whole.ready or any(health.ready for health in below), whole.reason)

    async def _health(self, _: None, caller: Caller) -> PartHealth:
        """Whether the part that the rules choose for this caller can answer now.

        Raises:
            NotFound: no rule matches.
        """
        part = self.children[self._choose(Context("", caller.headers, caller.principal), None)[0]]
        return PartHealth("ok" if (await part.check()).ready else "ng")

    async def start(self, runtime: Runtime) -> None:
        self._path, self._clock = runtime.path, runtime.clock
        self._described.forget()
        self._chosen = {
            part: runtime.metrics.counter(
                "mlpatterns_route_requests_total", "Requests, by the part that a route chose.",
                piece=runtime.path, part=part,
            )
            for part in self.children
        }  # fmt: skip
        with suppress(NotStarted):  # a remote part may not be available yet
            inputs = self._described.of_all().inputs
            for rule in self.rules:
                for one in rule.data:
                    one.check(rule.to, inputs)

    async def predict(self, request: InferenceRequest) -> InferenceResponse:
        context = request.context.at(self._path)
        name, timeout = self._choose(context, request)
        context.note("route", name, public=True)
        self._chosen[name].inc()
        part = self.children[name]
        with context.step(name) as inside:
            answer = await ask_within(part.predict, request.within(inside), timeout, self._clock)
        return answer_of(self.name, answer, part, request.context)

    def _choose(self, context: Context, request: InferenceRequest | None) -> tuple[str, float | None]:
        """The name of the chosen part, and the seconds that it may take, or None."""
        now = self._clock.time() if self._on_time else 0.0
        try:
            inputs = self.metadata.inputs if self._on_data and request is not None else ()
            for rule in self.rules:
                if rule.meets(context, request, inputs, now):
                    return rule.to, rule.timeout or self.timeout
        except (NotStarted, PredictionError):
            raise
        except Exception as error:
            log.exception("a rule of %r failed", self.name)
            raise InternalError("a rule that chooses the model failed", logged=True) from error
        if self.default is None:
            raise NotFound(f"no rule of {self.name!r} chooses a model for this request, and it has no default")
        return self.default, self.timeout

    def _describe(self, parts: Mapping[str, ModelMetadata]) -> ModelMetadata:
        require_same_inputs(self.name, parts)
        return replace(parts[self._first], name=self.name, platform="route")
