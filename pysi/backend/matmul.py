"""Products of matrices and of stacks of matrices, which may be any views, without a copy.

NumPy multiplies any views. CuPy, above two axes, first copies whatever is not contiguous: a
transposed weight matrix, or the columns of a table that belong to one layer. BLAS itself needs no
copies: its arguments say how far apart the rows of a matrix are, whether it is transposed, and how
far apart the matrices of a stack are. This module finds these arguments.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

from pysi.backend.arrays import namespace
from pysi.typing import Array, Device, Shape

FULL, TF32 = 0, 3
"""cuBLAS' modes CUBLAS_DEFAULT_MATH and CUBLAS_TF32_TENSOR_OP_MATH."""
ONE_AND_ZERO = {char: np.array([1, 0], char) for char in "fd"}


@dataclass(frozen=True)
class Plan:
    """The arguments of BLAS for c = a b, where a, b and c are stacks of matrices.

    Attributes
    ----------
    transposed : (bool, bool)
        Whether a lies in memory column by column, and whether b does.
    rows : (int, int, int)
        Distance from one row (or column) in memory to the next in a, b and c, in entries.
    count : int
        How many matrices are reached in steps of one size.
    steps : (int, int, int)
        Distance from one of them to the next, in entries.
    starts : tuple of (int, int, int)
        Where each such range begins, in bytes.
    """

    transposed: tuple[bool, ...]
    rows: tuple[int, ...]
    count: int
    steps: tuple[int, ...]
    starts: tuple[tuple[int, ...], ...]


@lru_cache(maxsize=1024)
def plan(
    a: tuple[Shape, Shape], b: tuple[Shape, Shape], c: tuple[Shape, Shape], itemsize: int
) -> Plan | None:
    """Return the plan for three arrays (shape, strides), or None if one of them must be copied."""
    orders = [order(*array, itemsize) for array in (a, b, c)]
    known = [each for each in orders if each is not None]
    if len(known) < 3 or known[2][0]:
        return None
    axes: list[tuple[int, list[int]]] = []
    lead = c[0][:-2]
    for i, size in enumerate(lead, start=-len(lead)):
        steps = [
            strides[i - 2] if len(shape) >= 2 - i and shape[i - 2] > 1 else 0
            for shape, strides in (a, b, c)
        ]
        if size > 1 and axes and axes[-1][1] == [size * step for step in steps]:
            axes[-1] = axes[-1][0] * size, steps
        elif size != 1:
            axes.append((size, steps))
    longest = max(axes, default=(1, [0, 0, 0]))
    if axes:
        axes.remove(longest)
    if min(longest[1]) < 0:
        return None  # the manual of cuBLAS does not mention negative steps
    starts = tuple(
        tuple(sum(i * steps[k] for i, (_, steps) in zip(at, axes, strict=True)) for k in range(3))
        for at in product(*(range(size) for size, _ in axes))
    )
    return Plan(
        tuple(transposed for transposed, _ in known[:2]),
        tuple(distance for _, distance in known),
        longest[0],
        tuple(step // itemsize for step in longest[1]),
        starts,
    )


def order(shape: Shape, strides: Shape, itemsize: int) -> tuple[bool, int] | None:
    """Return how matrices lie in memory, or None if neither row by row nor column by column.

    The first value says whether they lie column by column, the second the distance from one row
    (or column) to the next, in entries.
    """
    (rows, columns), (down, across) = shape[-2:], (step // itemsize for step in strides[-2:])
    for transposed, inner, size, step, count in (
        (False, columns, columns, down, rows), (True, rows, rows, across, columns)
    ):  # fmt: skip
        near = down if transposed else across
        if (near == 1 or inner == 1) and (step >= size or count == 1):
            return transposed, step if count > 1 else size
    return None


def matmul(a: Array, b: Array, *, out: Array | None = None) -> Array:
    """Return a @ b, the product of the last two axes, of arrays that broadcast over all others.

    Parameters
    ----------
    a, b : array, (..., m, k), (..., k, n)
        Arrays of one dtype, float32 or float64.
    out : array, (..., m, n), optional
        Where to write the product.
    """
    xp = namespace(a)
    if xp is np:
        return np.matmul(a, b, out=out)
    (m, k), n = a.shape[-2:], b.shape[-1]
    if out is None:
        out = xp.empty((*np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), m, n), a.dtype)
    if 0 in (k, out.size):
        out[...] = 0
        return out
    how = plan(*((x.shape, x.strides) for x in (a, b, out)), a.itemsize)
    if how is None:
        out[...] = matmul(xp.ascontiguousarray(a), xp.ascontiguousarray(b))
        return out
    cublas, handle = xp.cuda.cublas, xp.cuda.device.get_cublas_handle()
    char, (a_t, b_t) = a.dtype.char, how.transposed
    (lda, ldb, ldc), (step_a, step_b, step_c) = how.rows, how.steps
    one = ONE_AND_ZERO[char].ctypes.data
    zero = one + a.itemsize
    arrays: list[Any] = [a, b, out]  # of CuPy, whose `data` have an address
    for at in how.starts:
        # BLAS reads matrices by columns: our rows are its columns, and it computes cᵀ = bᵀ aᵀ
        x, y, z = (array.data.ptr + start for array, start in zip(arrays, at, strict=True))
        if how.count == 1:
            gemm = cublas.sgemm if char == "f" else cublas.dgemm
            gemm(handle, b_t, a_t, n, m, k, one, y, ldb, x, lda, zero, z, ldc)
        else:
            gemm = cublas.sgemmStridedBatched if char == "f" else cublas.dgemmStridedBatched
            gemm(
                handle, b_t, a_t, n, m, k, one, y, ldb, step_b, x, lda, step_a, zero, z, ldc,
                step_c, how.count,
            )  # fmt: skip
    return out


@contextmanager
def tensor_float_32(xp: Device, on: bool) -> Iterator[None]:
    """Decide for this context whether a GPU may round the factors of float32 products to TF32.

    TF32 keeps 10 of the 23 bits of the mantissa and is faster; sums are still in float32. On a CPU
    the context does nothing.
    """
    if xp is np:
        yield
        return
    cublas, handle = xp.cuda.cublas, xp.cuda.device.get_cublas_handle()
    before = cublas.getMathMode(handle)
    cublas.setMathMode(handle, TF32 if on else FULL)
    try:
        yield
    finally:
        cublas.setMathMode(handle, before)
