"""One operation over HTTP: reads its input from the path and the query string or body, and writes JSON or HTML."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from msgspec import inspect

from mlpatterns.errors import InternalError, InvalidInput
from mlpatterns.oip.limits import RequestLimits
from mlpatterns.oip.wire import parse, sentence
from mlpatterns.predictor import Caller, Operation, Streamed
from mlpatterns.runtime import AppRuntime
from mlpatterns.server.buffers import Buffers
from mlpatterns.server.exchange import Answer, Call, encode
from mlpatterns.server.simple_api import OFFLOAD_BYTES
from mlpatterns.user_errors import CompositionError

__all__ = ["OperationCall", "fields_of"]

MOST_FIELDS = 256  # of a query string
_objects = msgspec.json.Decoder(dict[str, Any])

# A page may use inline styles, images of its own server and data images. It may not run scripts, load anything else or
# appear in a frame.
_POLICY = (
    b"default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-cache"),
)


def fields_of(kind: Any) -> dict[str, inspect.Field] | None:
    """The fields of a record by their JSON names; empty for the type None. Returns None for a type without fields."""
    info = inspect.type_info(kind)
    if isinstance(info, inspect.NoneType):
        return {}
    fields = getattr(info, "fields", None)
    return None if fields is None else {field.encode_name: field for field in fields}


class OperationCall:
    """Answers requests for one operation.

    Args:
        names: the parameters in the path of the operation.

    Raises:
        CompositionError: the input has no field for a parameter, or the input is not a record although the operation is
            no command or has parameters.
    """

    def __init__(self, operation: Operation, names: Sequence[str], runtime: AppRuntime, buffers: Buffers) -> None:
        self._operation, self._runtime, self._buffers = operation, runtime, buffers
        known = fields_of(operation.input)
        if known is None and (operation.kind != "command" or names):
            raise CompositionError(f"the input of the operation {operation.name!r} must be a record: a msgspec.Struct")
        missing = sorted(set(names) - set(known or ()))
        if missing:
            raise CompositionError(f"the input of the operation {operation.name!r} has no field {missing[0]!r}")
        self._lists = {name for name, field in (known or {}).items() if _is_list(field.type)}
        hints = typing.get_type_hints(operation.input, include_extras=True) if names else {}
        self._in_path = {name: hints[known[name].name] for name in names} if known else {}
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(operation.input)
        self.handler = {"query": self._query, "command": self._command, "page": self._page}[operation.kind]

    async def _query(self, call: Call) -> Answer:
        return self._json(await self._operation.handler(self._input_of_get(call), _caller(call)))

    async def _page(self, call: Call) -> Answer:
        page = await self._operation.handler(self._input_of_get(call), _caller(call))
        return Answer(page.encode() if isinstance(page, str) else page, _PAGE)

    async def _command(self, call: Call) -> Answer:
        body = await self._buffers.read(call)
        if len(body) <= OFFLOAD_BYTES:
            sent = self._input_of_post(body, call.context.path)
        else:
            sent = await self._runtime.offload_codec(lambda: self._input_of_post(body, call.context.path))
        return self._json(await self._operation.handler(sent, _caller(call)))

    def _json(self, output: Any) -> Answer:
        if isinstance(output, Streamed):
            return Answer(b"", chunks=self._buffers.counted(output.chunks))
        try:
            return Answer(encode(output))
        except (TypeError, ValueError) as error:
            raise InternalError(f"the answer of {self._operation.name!r} cannot be written as JSON") from error

    # ---- input ----

    def _input_of_get(self, call: Call) -> Any:
        """The input of a GET. All its values are text, so numbers are parsed from text."""
        if self._operation.input is NoneType:
            return None
        return _convert({**self._query_fields(call.scope.get("query_string", b"")), **call.context.path},
                        self._operation.input, strict=False)  # fmt: skip

    def _query_fields(self, query: bytes) -> dict[str, Any]:
        try:
            pairs = parse_qsl(query.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
        except ValueError:
            raise InvalidInput(f"the query string must be UTF-8 and have at most {MOST_FIELDS} fields") from None
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in self._lists:
                found.setdefault(name, []).append(value)
            elif name in found:
                raise InvalidInput(f"the parameter {name[:64]!r} is given twice")
            else:
                found[name] = value
        return found

    def _input_of_post(self, body: bytes, parameters: Mapping[str, str]) -> Any:
        """The input of a POST. The body is strict JSON; only values in the path are parsed from text. An empty body
        counts as `{}`."""
        if self._operation.input is NoneType:
            return None
        text = body or b"{}"
        if not self._in_path:
            return parse(self._decoder, text, "the body", RequestLimits().max_nesting)
        sent = parse(_objects, text, "the body", RequestLimits().max_nesting)
        for name, kind in self._in_path.items():
            sent[name] = _convert(parameters[name], kind, strict=False, root=name)
        return _convert(sent, self._operation.input, strict=True)


def _caller(call: Call) -> Caller:
    return Caller(call.context.principal, call.context.headers, call.deadline)


def _convert(value: Any, kind: Any, *, strict: bool, root: str = "") -> Any:
    try:
        return msgspec.convert(value, kind, strict=strict)
    except (msgspec.ValidationError, RecursionError) as error:
        where = f"the parameter {root!r}" if root else "the request"
        raise InvalidInput(f"{where} is not right: {sentence(error)}") from None


def _is_list(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.UnionType):
        return any(_is_list(part) for part in kind.types)
    return isinstance(kind, inspect.ListType | inspect.SetType | inspect.FrozenSetType | inspect.VarTupleType)
