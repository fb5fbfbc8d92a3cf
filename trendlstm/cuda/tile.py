"""Products of small matrices whose weights lie in registers, as LLVM code without a loop.

An array in registers has no addresses, so every index into it must be a constant, and the GPU's compiler does not
unroll loops of this length. In the simulator the same code is compiled for the CPU and called from Python.

R = 8 rows of a chunk. Values of 8 rows lie in two runs of four, `plane` apart, each of which is read as one vector.
"""

from collections.abc import Callable
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ..kernels.buffers import CHUNK_ROWS
from .shim import SIMULATED

_VECTOR = 4  # numbers: the most that a thread reads from shared memory at once


def _callable(function: Any, arity: int) -> Callable:
    """The intrinsic itself, or in the simulator what Python can call."""
    if not SIMULATED:
        return function
    names = ", ".join("abcdef"[:arity])
    compiled = numba.njit(eval(f"lambda {names}: function({names})", {"function": function}))

    def call(*arguments: Any) -> None:
        # the simulator wraps the arrays of global memory
        compiled(*(value._item._ary if hasattr(value, "_item") else value for value in arguments))

    return call


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

    def rows(self, pointer: ir.Value, plane: int) -> list[ir.Value]:
        """The numbers of all rows, of which `pointer` is the first."""
        itemsize = 4 if isinstance(self.element, ir.FloatType) else 8
        vector = ir.VectorType(self.element, _VECTOR)
        values = []
        for first in range(0, CHUNK_ROWS, _VECTOR):
            address = self.builder.bitcast(self.at(pointer, first // _VECTOR * plane), vector.as_pointer())
            loaded = self.builder.load(address)
            loaded.align = _VECTOR * itemsize
            values += [
                self.builder.extract_element(loaded, ir.Constant(ir.IntType(32), r)) for r in range(_VECTOR)
            ]
        return values

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
                rows = code.rows(code.at(base, k * stride), plane)
                for n in range(outputs):
                    factor = builder.load(code.at(weight, k * outputs + n))
                    for r in range(CHUNK_ROWS):
                        e = n * CHUNK_ROWS + r
                        totals[e] = code.multiply_add(factor, rows[r], totals[e])
            for e, total in enumerate(totals):
                builder.store(total, code.at(sums, e))
            return context.get_dummy_value()

        return types.void(sums, weight, values, types.int64), codegen

    return _callable(multiply_add, 4)


def make_outer_product(count: int, outputs: int, stride: int, plane: int) -> Callable:
    """`f(weight, dz, values, start)`: weight[k, n] += sum over r of values[start + k stride, r] dz[n, r].

    `weight` (count, outputs) and `dz` (outputs, R) are in registers, `values` in shared memory.
    """

    @intrinsic
    def outer_product(typing_context, weight, dz, values, start):
        def codegen(context, builder, signature, arguments):
            code = _Code(context, builder, signature, arguments)
            weight, dz, values = (code.pointer(argument) for argument in range(3))
            base = code.at(values, arguments[3])
            for k in range(count):
                rows = code.rows(code.at(base, k * stride), plane)
                for n in range(outputs):
                    address = code.at(weight, k * outputs + n)
                    total = builder.load(address)
                    for r in range(CHUNK_ROWS):
                        factor = builder.load(code.at(dz, n * CHUNK_ROWS + r))
                        total = code.multiply_add(factor, rows[r], total)
                    builder.store(total, address)
            return context.get_dummy_value()

        return types.void(weight, dz, values, types.int64), codegen

    return _callable(outer_product, 4)


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

    return _callable(load, 4)


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

    return _callable(store, 4)
