"""Products of small matrices whose weights lie in registers, as LLVM code without a loop.

An array in registers has no addresses, so every index into it must be a constant, and the GPU's compiler does not
unroll loops of this length. In the simulator the same code is compiled for the CPU and called from Python.

The values of a chunk's R = 8 rows lie in two planes of four, each of which is read as one vector.
"""

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..kernels.buffers import CHUNK_ROWS
from .compile import SIMULATED

VECTOR = 4  # numbers: the most that a thread reads from shared memory at once
PLANES = CHUNK_ROWS // VECTOR


def _callable(function: Any) -> Callable:
    """The intrinsic itself, or in the simulator what Python can call."""
    if not SIMULATED:
        return function
    compiled = numba.njit(lambda *arguments: function(*arguments))

    def call(*arguments: Any) -> None:
        compiled(*map(_unwrapped, arguments))

    return call


def _unwrapped(argument: Any) -> Any:
    """The NumPy array that the simulator has wrapped, once or twice, for an array of the GPU's memory."""
    argument = getattr(argument, "_item", argument)
    return getattr(argument, "_ary", argument)


class _Code:
    """Shorthand for one intrinsic's code."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> None:
        self.context, self.builder, self.signature, self.arguments = context, builder, signature, arguments
        self.element = context.get_data_type(signature.args[0].dtype)

    def pointer(self, argument: int) -> ir.Value:
        array = self.context.make_array(self.signature.args[argument])
        return array(self.context, self.builder, self.arguments[argument]).data

    def at(self, pointer: ir.Value, offset: Any) -> ir.Value:
        return self.builder.gep(pointer, [self.index(offset)])

    def index(self, value: Any) -> ir.Value:
        return value if isinstance(value, ir.Value) else ir.Constant(ir.IntType(64), value)

    def vector(self, pointer: ir.Value, offset: int) -> list[ir.Value]:
        """The numbers of four rows, read at once."""
        itemsize = 4 if isinstance(self.element, ir.FloatType) else 8
        kind = ir.VectorType(self.element, VECTOR)
        loaded = self.builder.load(self.builder.bitcast(self.at(pointer, offset), kind.as_pointer()))
        loaded.align = VECTOR * itemsize
        return [self.builder.extract_element(loaded, ir.Constant(ir.IntType(32), r)) for r in range(VECTOR)]

    def multiply_add(self, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        name = f"llvm.fma.f{32 if isinstance(self.element, ir.FloatType) else 64}"
        kind = ir.FunctionType(self.element, [self.element] * 3)
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [a, b, c])


def make_multiply_add(count: int, outputs: int, stride: int, plane: int) -> Callable:
    """`f(sums, weight, values, start)`: sums[n, r] += sum over k < count of weight[k, n] values[start + k stride, r].

    `sums` (outputs, R) and `weight` (count, outputs) are in registers, `values` in shared memory.
    """

    @intrinsic
    def multiply_add(typing_context, sums, weight, values, start):
        def codegen(context, builder, signature, arguments):
            code = _Code(context, builder, signature, arguments)
            sums, weight, values = (code.pointer(argument) for argument in range(3))
            base = code.at(values, arguments[3])
            totals = [builder.load(code.at(sums, e)) for e in range(outputs * CHUNK_ROWS)]
            for k in range(count):
                rows = [value for p in range(PLANES) for value in code.vector(base, k * stride + p * plane)]
                for n in range(outputs):
                    factor = builder.load(code.at(weight, k * outputs + n))
                    for r in range(CHUNK_ROWS):
                        e = n * CHUNK_ROWS + r
                        totals[e] = code.multiply_add(factor, rows[r], totals[e])
            for e, total in enumerate(totals):
                builder.store(total, code.at(sums, e))
            return context.get_dummy_value()

        return types.void(sums, weight, values, types.int64), codegen

    return _callable(multiply_add)


def make_outer_product(count: int, outputs: int, stride: int, dz_stride: int, dz_plane: int) -> Callable:
    """`f(weight, values, start, dz, dz_start)`: weight[k, n] += sum over r of values[k, r] dz[n, r].

    `weight` (count, outputs) is in registers, the others in shared memory: value k begins at start + k stride, dz n at
    dz_start + n dz_stride.
    """

    @intrinsic
    def outer_product(typing_context, weight, values, start, dz, dz_start):
        def codegen(context, builder, signature, arguments):
            code = _Code(context, builder, signature, arguments)
            weight = code.pointer(0)
            values, dz = code.at(code.pointer(1), arguments[2]), code.at(code.pointer(3), arguments[4])
            for p in range(PLANES):  # one after the other: the dz of all rows would take twice the registers
                factors = [code.vector(dz, n * dz_stride + p * dz_plane) for n in range(outputs)]
                for k in range(count):
                    rows = code.vector(values, k * stride + p * VECTOR)
                    for n in range(outputs):
                        address = code.at(weight, k * outputs + n)
                        total = builder.load(address)
                        for factor, value in zip(factors[n], rows, strict=True):
                            total = code.multiply_add(factor, value, total)
                        builder.store(total, address)
            return context.get_dummy_value()

        return types.void(weight, values, types.int64, dz, types.int64), codegen

    return _callable(outer_product)


def make_load(offsets: list[int], certain: int) -> Callable:
    """`f(values, source, start, limit)`: values[k] = source[start + offsets[k]], or 0 where k >= limit >= `certain`.

    Reads beyond the limit too: every address is then a common one and a constant.
    """

    @intrinsic
    def load(typing_context, values, source, start, limit):
        def codegen(context, builder, signature, arguments):
            code = _Code(context, builder, signature, arguments)
            values, source = code.pointer(0), code.at(code.pointer(1), arguments[2])
            for k, offset in enumerate(offsets):
                value = builder.load(code.at(source, offset))
                if k >= certain:
                    within = builder.icmp_signed("<", code.index(k), arguments[3])
                    value = builder.select(within, value, ir.Constant(code.element, 0.0))
                builder.store(value, code.at(values, k))
            return context.get_dummy_value()

        return types.void(values, source, types.int64, types.int64), codegen

    return _callable(load)


def make_store(offsets: list[int], certain: int) -> Callable:
    """`f(values, target, start, limit)`: target[start + offsets[k]] = values[k], as far as `make_load` reads."""

    @intrinsic
    def store(typing_context, values, target, start, limit):
        def codegen(context, builder, signature, arguments):
            code = _Code(context, builder, signature, arguments)
            values, target = code.pointer(0), code.at(code.pointer(1), arguments[2])
            for k, offset in enumerate(offsets):
                value = builder.load(code.at(values, k))
                if k < certain:
                    builder.store(value, code.at(target, offset))
                else:
                    with builder.if_then(builder.icmp_signed("<", code.index(k), arguments[3])):
                        builder.store(value, code.at(target, offset))
            return context.get_dummy_value()

        return types.void(values, target, types.int64, types.int64), codegen

    return _callable(store)
