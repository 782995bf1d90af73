"""Arrow arrays from buffers.

`pyarrow.array` loads pandas to check its argument, half a second for each process that has no other use for it, and it
takes ten times as long to encode text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def text(values: Sequence[str] | pa.StringArray) -> pa.StringArray:
    """An array of strings without nulls, 2 GiB at most; one that is such already as it is.

    Raises `UnicodeEncodeError`.
    """
    if isinstance(values, pa.StringArray):
        return values
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.Array.from_buffers(pa.string(), len(values), [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))])


def numbers(values: npt.ArrayLike, kind: pa.DataType) -> pa.Array:
    """An array of numbers of that type without nulls."""
    array = np.ascontiguousarray(values, kind.to_pandas_dtype())
    return pa.Array.from_buffers(kind, len(array), [None, pa.py_buffer(array)])
