"""Products of small matrices, tile by tile (see `simd`).

The number of columns of `out` and `b` must be a multiple of the vector width; `buffers` pads every layer for that.
All arrays are C-contiguous and of one dtype.
"""

import numpy as np

from .compile import compiled, inlined
from .simd import (
    TILE_ROWS,
    VECTOR_BYTES,
    full_tile,
    narrow_row_tile,
    narrow_tile,
    transpose_tile,
    wide_row_tile,
)

# A block of this many rows of b, one tile wide, stays in the first-level cache while it meets every tile of a.
_DEPTH_BLOCK = 128


@inlined
def product(out, a, b, transposed, accumulate):
    """out = a b, or a^T b if `transposed`, added to what `out` holds if `accumulate`: code for a kernel of its own."""
    rows, columns = out.shape
    depth = b.shape[0]
    lanes = VECTOR_BYTES // out.itemsize
    tiled_rows = rows - rows % TILE_ROWS
    for first in range(0, depth, _DEPTH_BLOCK):
        last = min(first + _DEPTH_BLOCK, depth)
        add = accumulate or first > 0
        for j in range(0, columns, 2 * lanes):
            for i in range(0, tiled_rows, TILE_ROWS):
                if j + 2 * lanes <= columns:
                    full_tile(out, a, b, i, j, first, last, transposed, add)
                else:
                    narrow_tile(out, a, b, i, j, first, last, transposed, add)
        for i in range(tiled_rows, rows):
            j = 0
            while j + 4 * lanes <= columns:
                wide_row_tile(out, a, b, i, j, first, last, transposed, add)
                j += 4 * lanes
            while j < columns:
                narrow_row_tile(out, a, b, i, j, first, last, transposed, add)
                j += lanes


@compiled
def _product(out, a, b, transposed, accumulate):
    product(out, a, b, transposed, accumulate)


# np.bool_: Numba would compile `_product` once more for every combination of literals
@inlined
def multiply(out, a, b):
    """out = a b."""
    _product(out, a, b, np.bool_(False), np.bool_(False))


@inlined
def multiply_add(out, a, b):
    """out += a b."""
    _product(out, a, b, np.bool_(False), np.bool_(True))


@inlined
def transposed_multiply_add(out, a, b):
    """out += a^T b: the gradient of a weight matrix, from all the rows it has seen."""
    _product(out, a, b, np.bool_(True), np.bool_(True))


@compiled
def transpose(out, a):
    """out = a^T; both sides are multiples of the vector width."""
    rows, columns = a.shape
    lanes = VECTOR_BYTES // a.itemsize
    for i in range(0, rows, lanes):
        for j in range(0, columns, lanes):
            transpose_tile(out, a, i, j)
