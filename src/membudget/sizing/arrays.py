"""Buffers that other libraries hold outside Python objects: NumPy, PyTorch, Arrow.

A library is looked up in `sys.modules` and never imported: a program that has not imported it
cannot hold its objects. DataFrames and Series need nothing of their own, since the walk finds the
arrays they consist of; asking pandas would run its Python code and make its indexes grow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from membudget.sizing.blocks import allocated, malloced, own_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Parts: TypeAlias = "tuple[int, Sequence[Any], int, Sequence[Any]]"
"""Bytes of an object itself; what it refers to, or the first of that, and how many that is in
truth; what it may only have borrowed."""

Reader: TypeAlias = "Callable[[Any, int], Parts]"
"""Takes an object and how many of its parts are wanted at most."""


def _read_numpy(array: Any, room: int) -> Parts:
    # Shape and strides, and the data where they are its own, are blocks that malloc gave.
    size = allocated(type(array).__basicsize__) + malloced(16 * array.ndim)
    if not array.flags.owndata:
        # The items of a view belong to what it looks at.
        return size, (), 0, () if array.base is None else (array.base,)
    items = array.flat[:room].tolist() if array.dtype == object else ()
    return size + malloced(array.nbytes), items, array.size if items else 0, ()


def _read_torch(tensor: Any, _room: int) -> Parts:
    size = own_bytes(tensor, type(tensor))
    if tensor._is_view():  # noqa: SLF001  # how PyTorch's documentation asks for it
        return size, (), 0, (tensor._base,)  # noqa: SLF001  # likewise
    if tensor.device.type == "cpu":
        size += allocated(tensor.untyped_storage().nbytes())
    return size, (), 0, ()


def _read_arrow(array: Any, _room: int) -> Parts:
    return own_bytes(array, type(array)) + array.nbytes, (), 0, ()


ARRAYS: tuple[tuple[str, str, Reader], ...] = (
    ("numpy", "ndarray", _read_numpy),
    ("torch", "Tensor", _read_torch),
    ("pyarrow", "ChunkedArray", _read_arrow),
    ("pyarrow", "Array", _read_arrow),
    ("pyarrow", "Table", _read_arrow),
    ("pyarrow", "RecordBatch", _read_arrow),
)
"""Module, type and what reads objects of that type."""
