"""The vector instructions: register tiles of a matrix product, powers of two, atomics, clocks. All LLVM code is here.

The width of a vector and the size of a tile follow the features that Numba compiles for, which `NUMBA_CPU_NAME`
and `NUMBA_CPU_FEATURES` may narrow; the host's own list would ignore them.
"""

import sys
import time

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

_FEATURES = set(cpu_target.target_context.codegen().magic_tuple()[2].split(","))

if "+avx512f" in _FEATURES:
    VECTOR_BYTES, TILE_ROWS = 64, 8  # 8 x 2 accumulators, of 32 registers
elif "+avx2" in _FEATURES:
    VECTOR_BYTES, TILE_ROWS = 32, 4  # 4 x 2 accumulators, of 16 registers: 8 x 2 would spill
else:
    VECTOR_BYTES, TILE_ROWS = 16, 4  # SSE2, NEON

_INDEX = ir.IntType(64)


def _fused_multiply_add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    # llvm.fmuladd, not llvm.fma: where the machine has no FMA, fma is a library call for every element
    kind, lanes = a.type.element, a.type.count
    name = f"llvm.fmuladd.v{lanes}f{32 if isinstance(kind, ir.FloatType) else 64}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(a.type, [a.type] * 3), name)
    return builder.call(function, [a, b, c])


def _prefetch(builder: ir.IRBuilder, address: ir.Value) -> None:
    """Ask for a cache line that will be read later, in the second-level cache."""
    flag = ir.IntType(32)
    kinds = ir.FunctionType(ir.VoidType(), [address.type, flag, flag, flag])
    function = cgutils.get_or_insert_function(builder.module, kinds, "llvm.prefetch.p0i8")
    builder.call(
        function, [address, flag(0), flag(2), flag(1)]
    )  # to read, kept as long as that cache keeps it


def _make_tile(rows: int, vectors: int):
    """An intrinsic that adds one tile, `rows` x (`vectors` * lanes), of a matrix product to the output.

    `tile(out, a, b, i, j, first, last, run, period, transposed, accumulate)` computes

        out[i + r, j + c] = (out[i + r, j + c] if accumulate else 0) + sum_k a[i + r, k] * b[k, j + c]

    (a[k, i + r] if `transposed`), with k in [first, first + run), [first + period, first + period + run), ... below
    `last`. All sums stay in registers over k.
    """

    @intrinsic
    def tile(typing_context, out, a, b, i, j, first, last, run, period, transposed, accumulate):
        signature = types.void(out, a, b, i, j, first, last, run, period, transposed, accumulate)

        def codegen(context, builder, signature, arguments):
            arrays = [
                context.make_array(kind)(context, builder, value)
                for kind, value in zip(signature.args[:3], arguments[:3], strict=True)
            ]
            out, a, b = arrays
            i, j, first, last, run, period, transposed, accumulate = arguments[3:]
            element = context.get_data_type(signature.args[0].dtype)
            itemsize = 4 if isinstance(element, ir.FloatType) else 8
            lanes = VECTOR_BYTES // itemsize
            vector = ir.VectorType(element, lanes)
            byte_pointer = ir.IntType(8).as_pointer()

            def strides(array):
                return cgutils.unpack_tuple(builder, array.strides, 2)

            def pointer(base, offset, kind):
                raw = builder.gep(builder.bitcast(base, byte_pointer), [offset])
                return builder.bitcast(raw, kind.as_pointer())

            def offset(*terms):
                total = ir.Constant(_INDEX, 0)
                for index, stride in terms:
                    total = builder.add(total, builder.mul(index, stride))
                return total

            def constant(value):
                return ir.Constant(_INDEX, value)

            out_row, _ = strides(out)
            b_row, _ = strides(b)
            a_first, a_second = strides(a)
            a_row = builder.select(transposed, a_second, a_first)
            a_step = builder.select(transposed, a_first, a_second)
            columns = [constant(v * VECTOR_BYTES) for v in range(vectors)]
            j_bytes = builder.mul(j, constant(itemsize))

            out_pointers = [
                [
                    pointer(
                        out.data,
                        builder.add(
                            offset((builder.add(i, constant(r)), out_row)), builder.add(j_bytes, column)
                        ),
                        vector,
                    )
                    for column in columns
                ]
                for r in range(rows)
            ]
            a_bases = [
                builder.gep(
                    builder.bitcast(a.data, byte_pointer), [offset((builder.add(i, constant(r)), a_row))]
                )
                for r in range(rows)
            ]
            b_base = builder.gep(builder.bitcast(b.data, byte_pointer), [j_bytes])

            def load(address):
                value = builder.load(address)
                value.align = itemsize
                return value

            before = builder.append_basic_block("accumulate")
            zero = builder.append_basic_block("zero")
            next_run = builder.append_basic_block("next_run")
            head = builder.append_basic_block("head")
            body = builder.append_basic_block("body")
            end_of_run = builder.append_basic_block("end_of_run")
            end = builder.append_basic_block("end")
            builder.cbranch(accumulate, before, zero)
            builder.position_at_end(before)
            loaded = [[load(p) for p in row] for row in out_pointers]
            builder.branch(next_run)
            builder.position_at_end(zero)
            builder.branch(next_run)

            builder.position_at_end(next_run)
            start = builder.phi(_INDEX)
            start.add_incoming(first, before)
            start.add_incoming(first, zero)
            sums_before = [[builder.phi(vector) for _ in columns] for _ in range(rows)]
            for r in range(rows):
                for v in range(vectors):
                    sums_before[r][v].add_incoming(loaded[r][v], before)
                    sums_before[r][v].add_incoming(ir.Constant(vector, [0.0] * lanes), zero)
            stop = builder.add(start, run)
            builder.cbranch(builder.icmp_signed("<", start, last), head, end)

            builder.position_at_end(head)
            k = builder.phi(_INDEX)
            k.add_incoming(start, next_run)
            sums = [[builder.phi(vector) for _ in columns] for _ in range(rows)]
            for r in range(rows):
                for v in range(vectors):
                    sums[r][v].add_incoming(sums_before[r][v], next_run)
            builder.cbranch(builder.icmp_signed("<", k, stop), body, end_of_run)

            builder.position_at_end(end_of_run)
            start.add_incoming(builder.add(start, period), end_of_run)
            for r in range(rows):
                for v in range(vectors):
                    sums_before[r][v].add_incoming(sums[r][v], end_of_run)
            builder.branch(next_run)

            builder.position_at_end(body)
            b_k = offset((k, b_row))
            b_vectors = [load(pointer(b_base, builder.add(b_k, column), vector)) for column in columns]
            if rows > 1:
                # the columns of the next tile: rows of b lie so far apart that the hardware does not foresee them, and
                # weights beyond the second-level cache (H = 512) cost 5 to 10 % of an epoch without this
                for column in columns:
                    ahead = builder.add(column, constant(vectors * VECTOR_BYTES))
                    _prefetch(builder, builder.gep(b_base, [builder.add(b_k, ahead)]))
            a_k = offset((k, a_step))
            undefined = ir.Constant(vector, ir.Undefined)
            every_lane = ir.Constant(ir.VectorType(ir.IntType(32), lanes), [0] * lanes)
            for r in range(rows):
                scalar = load(pointer(a_bases[r], a_k, element))
                single = builder.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
                broadcast = builder.shuffle_vector(single, undefined, every_lane)
                for v in range(vectors):
                    total = _fused_multiply_add(builder, broadcast, b_vectors[v], sums[r][v])
                    sums[r][v].add_incoming(total, body)
            k.add_incoming(builder.add(k, constant(1)), body)
            builder.branch(head)

            builder.position_at_end(end)
            for r in range(rows):
                for v in range(vectors):
                    builder.store(sums_before[r][v], out_pointers[r][v]).align = itemsize
            return context.get_dummy_value()

        return signature, codegen

    return tile


full_tile = _make_tile(TILE_ROWS, 2)
narrow_tile = _make_tile(TILE_ROWS, 1)
wide_row_tile = _make_tile(1, 4)  # one row's sums depend on each other: four of them hide the latency
narrow_row_tile = _make_tile(1, 1)


@intrinsic
def transpose_tile(typing_context, out, a, i, j):
    """out[j : j + L, i : i + L] = a[i : i + L, j : j + L]^T, L the lanes of a vector.

    log2(L) times, row r and row r + L / 2 are interleaved into rows 2r and 2r + 1: the perfect shuffle.
    """

    def codegen(context, builder, signature, arguments):
        out, a = (
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args[:2], arguments[:2], strict=True)
        )
        i, j = arguments[2:]
        element = context.get_data_type(signature.args[0].dtype)
        itemsize = context.get_abi_sizeof(element)
        lanes = VECTOR_BYTES // itemsize
        vector = ir.VectorType(element, lanes)

        def address(array, row, offset, column):
            row_bytes = builder.mul(
                builder.add(row, ir.Constant(_INDEX, offset)), cgutils.unpack_tuple(builder, array.strides)[0]
            )
            base = builder.gep(builder.bitcast(array.data, ir.IntType(8).as_pointer()), [row_bytes])
            return builder.bitcast(
                builder.gep(builder.bitcast(base, element.as_pointer()), [column]), vector.as_pointer()
            )

        def interleave(left, right, first):
            mask = [first + k // 2 + (k % 2) * lanes for k in range(lanes)]
            return builder.shuffle_vector(
                left, right, ir.Constant(ir.VectorType(ir.IntType(32), lanes), mask)
            )

        rows = []
        for r in range(lanes):
            rows.append(builder.load(address(a, i, r, j)))
            rows[-1].align = itemsize
        half = lanes // 2
        for _ in range(lanes.bit_length() - 1):
            pairs = list(zip(rows[:half], rows[half:], strict=True))
            rows = [interleave(*pair, first) for pair in pairs for first in (0, half)]
        for r in range(lanes):
            builder.store(rows[r], address(out, j, r, i)).align = itemsize
        return context.get_dummy_value()

    return types.void(out, a, i, j), codegen


@intrinsic
def view(typing_context, flat, start, shape):
    """flat[start : start + prod(shape)] in C order as an array of `shape` (a tuple), without checks.

    Slicing and reshape do the same, but compile to some fifty times as much code. The view does not keep `flat`
    alive: it must not outlive it.
    """
    result = types.Array(flat.dtype, len(shape), "C")

    def codegen(context, builder, signature, arguments):
        from numba.np import arrayobj  # which compiled kernels do without

        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        lengths = cgutils.unpack_tuple(builder, arguments[2])
        itemsize = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(flat.dtype)))
        strides = [itemsize]
        for length in reversed(lengths[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        made = context.make_array(result)(context, builder)
        arrayobj.populate_array(
            made,
            data=builder.gep(array.data, [arguments[1]]),
            shape=lengths,
            strides=strides,
            itemsize=itemsize,
            meminfo=None,
        )
        return made._getvalue()

    return result(flat, types.int64, shape), codegen


@intrinsic
def round_to_even(typing_context, x):
    """The nearest whole number of a float, as a float; of two the even one. Not np.rint: the GPU must know it too."""

    def codegen(context, builder, signature, arguments):
        kind = arguments[0].type
        single = isinstance(kind, ir.FloatType)
        name = f"llvm.rint.f{32 if single else 64}"
        if builder.module.triple.startswith("nvptx"):  # whose compiler has its own name for it
            name = "__nv_rintf" if single else "__nv_rint"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name)
        return builder.call(function, arguments)

    return x(x), codegen


@intrinsic
def quotient(typing_context, a, b):
    """a / b, on the GPU in float32 to 2 units in the last place: an exact division is a subroutine there."""

    def codegen(context, builder, signature, arguments):
        kind = arguments[0].type
        if builder.module.triple.startswith("nvptx") and isinstance(kind, ir.FloatType):
            function = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(kind, [kind] * 2), "__nv_fast_fdividef"
            )
            return builder.call(function, arguments)
        return builder.fdiv(*arguments)

    return a(a, b), codegen


@intrinsic
def power_of_two(typing_context, exponent):
    """2**exponent for a whole-numbered float within the exponent range of its type, by writing the exponent's bits."""
    bits, bias, shift = (32, 127, 23) if exponent == types.float32 else (64, 1023, 52)

    def codegen(context, builder, signature, arguments):
        integer = ir.IntType(bits)
        whole = builder.fptosi(arguments[0], integer)
        biased = builder.shl(builder.add(whole, ir.Constant(integer, bias)), ir.Constant(integer, shift))
        return builder.bitcast(biased, arguments[0].type)

    return exponent(exponent), codegen


def _counter_address(context, builder, signature, arguments):
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(array.data, [arguments[1]])


@intrinsic
def atomic_add(typing_context, counters, index, amount):
    """Add `amount` to counters[index] (int64) and return the value before, as one indivisible step."""

    def codegen(context, builder, signature, arguments):
        address = _counter_address(context, builder, signature, arguments)
        return builder.atomic_rmw("add", address, arguments[2], "acq_rel")

    return types.int64(counters, types.int64, types.int64), codegen


@intrinsic
def atomic_load(typing_context, counters, index):
    """The value of counters[index] (int64), and everything its writer wrote before it."""

    def codegen(context, builder, signature, arguments):
        return builder.load_atomic(_counter_address(context, builder, signature, arguments), "acquire", 8)

    return types.int64(counters, types.int64), codegen


@intrinsic
def atomic_store(typing_context, counters, index, value):
    """Set counters[index] (int64), after everything that this thread wrote before."""

    def codegen(context, builder, signature, arguments):
        address = _counter_address(context, builder, signature, arguments)
        builder.store_atomic(arguments[2], address, "release", 8)
        return context.get_dummy_value()

    return types.void(counters, types.int64, types.int64), codegen


@intrinsic
def yield_thread(typing_context):
    """Let the operating system run another thread on this core."""

    def codegen(context, builder, signature, arguments):
        name = "SwitchToThread" if sys.platform == "win32" else "sched_yield"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.IntType(32), []), name)
        builder.call(function, [])
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def pause(typing_context, microseconds):
    """Let this thread sleep for some microseconds, at least."""

    def codegen(context, builder, signature, arguments):
        # Windows counts milliseconds
        name = "Sleep" if sys.platform == "win32" else "usleep"
        kind = ir.FunctionType(ir.IntType(32), [ir.IntType(32)])
        length = builder.trunc(arguments[0], ir.IntType(32))
        if sys.platform == "win32":
            length = ir.Constant(ir.IntType(32), 1)
        builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [length])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


@intrinsic
def nanoseconds(typing_context):
    """A clock that only runs forward, in ns."""

    def codegen(context, builder, signature, arguments):
        if sys.platform == "win32":  # QueryPerformanceCounter counts 100 ns on all of them
            kind = ir.FunctionType(ir.IntType(32), [_INDEX.as_pointer()])
            query = cgutils.get_or_insert_function(builder.module, kind, "QueryPerformanceCounter")
            place = cgutils.alloca_once(builder, _INDEX)
            builder.call(query, [place])
            return builder.mul(builder.load(place), ir.Constant(_INDEX, 100))
        pair = ir.LiteralStructType([_INDEX, _INDEX])
        kind = ir.FunctionType(ir.IntType(32), [ir.IntType(32), pair.as_pointer()])
        clock = cgutils.get_or_insert_function(builder.module, kind, "clock_gettime")
        place = cgutils.alloca_once(builder, pair)
        builder.call(clock, [ir.Constant(ir.IntType(32), time.CLOCK_MONOTONIC), place])
        seconds = builder.load(cgutils.gep_inbounds(builder, place, 0, 0))
        rest = builder.load(cgutils.gep_inbounds(builder, place, 0, 1))
        return builder.add(builder.mul(seconds, ir.Constant(_INDEX, 10**9)), rest)

    return types.int64(), codegen
