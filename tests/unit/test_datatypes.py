"""The datatypes of the protocol and numpy's are one to one."""

import numpy as np
import pytest

from mlpatterns.metadata import DTYPES, datatype_of
from mlpatterns.user_errors import UserError


@pytest.mark.parametrize("name", DTYPES)
def test_a_datatype_comes_back_from_its_dtype(name: str) -> None:
    assert datatype_of(DTYPES[name]) == name


def test_there_are_thirteen_and_all_are_little_endian() -> None:
    assert len(DTYPES) == 13
    assert all(dtype.str[0] in "<|" for dtype in DTYPES.values())


@pytest.mark.parametrize(("dtype", "name"), [(">f4", "FP32"), (">i8", "INT64"), ("S3", "BYTES"), ("U5", "BYTES")])
def test_byte_order_and_string_width_do_not_change_the_name(dtype: str, name: str) -> None:
    assert datatype_of(np.dtype(dtype)) == name


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]"])
def test_a_dtype_that_the_protocol_lacks_is_refused(dtype: str) -> None:
    with pytest.raises(UserError, match="cannot be served"):
        datatype_of(np.dtype(dtype))
