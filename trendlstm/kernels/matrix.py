"""Products of small matrices, tile by tile (see `simd`).

The number of columns of `out` and `b` must be a multiple of the vector width; `buffers` pads every layer for that.
All arrays are C-contiguous and of one dtype.
"""

import numpy as np

from .buffers import CHUNK_ROWS
from .compile import compiled, inlined
from .simd import (
    TILE_ROWS,
    VECTOR_BYTES,
    full_tile,
    narrow_row_tile,
    narrow_tile,
    transpose_tile,
    view,
    wide_row_tile,
)

# A block of this many rows of b, one tile wide, stays in the first-level cache while it meets every tile of a.
_DEPTH_BLOCK = 128


@inlined
def product(out, a, b, rows, transposed, accumulate, start):
    """out = a b, or a^T b if `transposed`, added to what `out` holds if `accumulate`: code for a kernel of its own.

    The first `start` rows of b meet zeros, and are left out; not all of them.
    With more than CHUNK_ROWS `rows` the sum goes over the first CHUNK_ROWS of every so many rows of b alone.
    """
    out_rows, columns, depth = out.shape[0], out.shape[1], b.shape[0]
    lanes = VECTOR_BYTES // out.itemsize
    tiled_rows = out_rows - out_rows % TILE_ROWS
    block = _DEPTH_BLOCK // CHUNK_ROWS * max(rows, CHUNK_ROWS)
    run = CHUNK_ROWS if rows > CHUNK_ROWS else block
    period = rows if rows > CHUNK_ROWS else block
    for first in range(start, depth, block):
        last = min(first + block, depth)
        run = min(run, last - first)
        add = accumulate or first > start
        for j in range(0, columns, 2 * lanes):
            for i in range(0, tiled_rows, TILE_ROWS):
                if j + 2 * lanes <= columns:
                    full_tile(out, a, b, i, j, first, last, run, period, transposed, add)
                else:
                    narrow_tile(out, a, b, i, j, first, last, run, period, transposed, add)
        for i in range(tiled_rows, out_rows):
            j = 0
            while j + 4 * lanes <= columns:
                wide_row_tile(out, a, b, i, j, first, last, run, period, transposed, add)
                j += 4 * lanes
            while j < columns:
                narrow_row_tile(out, a, b, i, j, first, last, run, period, transposed, add)
                j += lanes


@compiled
def _product(out, a, b, rows, transposed, accumulate, start):
    product(out, a, b, rows, transposed, accumulate, start)


# np.bool_: Numba would compile `_product` once more for every combination of literals
@inlined
def multiply(out, a, b):
    """out = a b."""
    _product(out, a, b, np.int64(CHUNK_ROWS), np.bool_(False), np.bool_(False), np.int64(0))


@inlined
def multiply_add(out, a, b):
    """out += a b."""
    _product(out, a, b, np.int64(CHUNK_ROWS), np.bool_(False), np.bool_(True), np.int64(0))


@inlined
def transposed_multiply_add(out, a, b):
    """out += a^T b: the gradient of a weight matrix, from all the rows it has seen."""
    _product(out, a, b, np.int64(CHUNK_ROWS), np.bool_(True), np.bool_(True), np.int64(0))


@inlined
def chunk_gradient(out, a, b, rows, chunk, accumulate, skipped):
    """out = a^T b over the rows of one chunk: CHUNK_ROWS of every `rows`, from row CHUNK_ROWS * chunk on.

    It is added to what `out` holds if `accumulate`. The first `skipped` rows of a, a multiple of `rows`, are 0.
    """
    first = CHUNK_ROWS * chunk
    left = b.shape[0] - first
    a, b = view(a, first * a.shape[1], (left, a.shape[1])), view(b, first * b.shape[1], (left, b.shape[1]))
    _product(out, a, b, np.int64(rows), np.bool_(True), np.bool_(accumulate), np.int64(skipped))


@compiled
def transpose(out, a):
    """out = a^T; both sides are multiples of the vector width."""
    rows, columns = a.shape
    lanes = VECTOR_BYTES // a.itemsize
    for i in range(0, rows, lanes):
        for j in range(0, columns, lanes):
            transpose_tile(out, a, i, j)
