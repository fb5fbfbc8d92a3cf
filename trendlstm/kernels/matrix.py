"""Products of small matrices, tile by tile (see `simd`).

The number of columns of `out` and `b` must be a multiple of the vector width; `buffers` pads every layer for that.
All arrays are C-contiguous and of one dtype.
"""

from .compile import inlined, kernel
from .simd import TILE_ROWS, VECTOR_BYTES, full_tile, narrow_row_tile, narrow_tile, row_tile, transpose_tile

# A block of this many rows of b, one tile wide, stays in the first-level cache while it meets every tile of a.
_DEPTH_BLOCK = 128


@kernel
def _product(out, a, b, transposed, accumulate):
    rows, columns = out.shape
    depth = b.shape[0]
    lanes = VECTOR_BYTES // out.itemsize
    for first in range(0, depth, _DEPTH_BLOCK):
        last = min(first + _DEPTH_BLOCK, depth)
        add = accumulate or first > 0
        for j in range(0, columns, 2 * lanes):
            wide = j + 2 * lanes <= columns
            i = 0
            while i + TILE_ROWS <= rows:
                if wide:
                    full_tile(out, a, b, i, j, first, last, transposed, add)
                else:
                    narrow_tile(out, a, b, i, j, first, last, transposed, add)
                i += TILE_ROWS
            while i < rows:
                if wide:
                    row_tile(out, a, b, i, j, first, last, transposed, add)
                else:
                    narrow_row_tile(out, a, b, i, j, first, last, transposed, add)
                i += 1


@inlined
def multiply(out, a, b):
    """Out = a b."""
    _product(out, a, b, False, False)


@inlined
def multiply_add(out, a, b):
    """Out += a b."""
    _product(out, a, b, False, True)


@inlined
def transposed_multiply_add(out, a, b):
    """Out += a^T b: the gradient of a weight matrix, from all the rows it has seen."""
    _product(out, a, b, True, True)


@kernel
def transpose(out, a):
    """Set out = a^T; both sides are multiples of the vector width."""
    rows, columns = a.shape
    lanes = VECTOR_BYTES // a.itemsize
    for i in range(0, rows, lanes):
        for j in range(0, columns, lanes):
            transpose_tile(out, a, i, j)
