"""Operations on arrays for server, cache, jobs, log and batching: check, stack, encode, convert to JSON values."""

from mlpatterns.tensors.allowed import allow_missing, full_columns, may_miss, required
from mlpatterns.tensors.batches import batch_size, check_rows, read_only, stack, unstack
from mlpatterns.tensors.checks import finite, validate, validate_heads
from mlpatterns.tensors.codec import (
    DamagedData,
    Unstorable,
    decode_description,
    decode_request,
    decode_response,
    encode_description,
    encode_request,
    encode_response,
)
from mlpatterns.tensors.shown import (
    LISTED_LABELS,
    NOT_FINITE,
    best_labels,
    is_label,
    listed,
    one_or_all,
    shortest,
    structure,
)

__all__ = [
    "LISTED_LABELS",
    "NOT_FINITE",
    "DamagedData",
    "Unstorable",
    "allow_missing",
    "batch_size",
    "best_labels",
    "check_rows",
    "decode_description",
    "decode_request",
    "decode_response",
    "encode_description",
    "encode_request",
    "encode_response",
    "finite",
    "full_columns",
    "is_label",
    "listed",
    "may_miss",
    "one_or_all",
    "read_only",
    "required",
    "shortest",
    "stack",
    "structure",
    "unstack",
    "validate",
    "validate_heads",
]
