"""What LLVM's vectorizer would not make of plain loops: a product of matrices in registers.

And the few instructions that kernels lack. The product takes the widest registers that the machine
has and leaves nothing over; elsewhere kernels are loops over single numbers, which LLVM vectorizes.
"""

# Numba types intrinsics itself; they must name arguments that only their callers have a use for.
# mypy: ignore-errors
# ruff: noqa: ARG001, ARG005
from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_FEATURES = llvm.get_host_cpu_features()
#: Bytes of the widest vector that the processor multiplies.
VECTOR_BYTES = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx") else 16
# With two vectors a row, a tile of that many rows fills 32 vector registers, or 16.
_HAS_16_REGISTERS = VECTOR_BYTES < 64 and any(_FEATURES.get(f) for f in ("sse2", "avx"))
_TILE_ROWS = (4, 2, 1) if _HAS_16_REGISTERS else (12, 8, 4, 2, 1)
_INT64 = ir.IntType(64)


def _word(value: int) -> Any:
    return ir.Constant(_INT64, value)


@intrinsic
def place(typingctx: Any, pointer: Any, at: Any) -> Any:
    """Pointer to the element number `at` from a pointer on."""
    return pointer(pointer, types.intp), lambda _, builder, sig, args: builder.gep(
        args[0], [args[1]]
    )


@intrinsic
def shifted(typingctx: Any, pointer: Any, count: Any) -> Any:
    """Pointer moved by that many bytes."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first = builder.bitcast(args[0], ir.IntType(8).as_pointer())
        return builder.bitcast(builder.gep(first, [args[1]]), args[0].type)

    return pointer(pointer, types.intp), generate


@intrinsic
def real(typingctx: Any, like: Any, value: Any) -> Any:
    """Value as the dtype of a pointer."""
    kind = like.dtype
    return kind(like, value), lambda context, builder, sig, args: context.cast(
        builder, args[1], value, kind
    )


@intrinsic
def power_of_two(typingctx: Any, n: Any) -> Any:
    """2**n for whole n within the range of normal numbers: n goes straight into the exponent."""
    mantissa, bias = (23, 127) if n.bitwidth == 32 else (52, 1023)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind, word = args[0].type, ir.IntType(n.bitwidth)
        biased = builder.fadd(args[0], ir.Constant(kind, 1.5 * 2.0**mantissa + bias))
        bits = builder.shl(builder.bitcast(biased, word), ir.Constant(word, mantissa))
        return builder.bitcast(bits, kind)

    return n(n), generate


@intrinsic
def multiply(typingctx: Any, arguments: Any) -> Any:
    """Fill C = A @ B, or add to it; (m, n, depth, a, a_row, a_col, b, b_row, c, c_row, add).

    C is (m, n) with its rows `c_row` apart and n in whole vectors; A (m, depth) has element (i, k)
    at ``i * a_row + k * a_col``; B (depth, n) has rows `b_row` apart. Tiles of C stay in registers
    while they are summed up. Every element is one chain of fused multiply-adds over k, so that the
    tiling does not change the result.
    """
    dtype = arguments[8].dtype
    size, scalar = dtype.bitwidth // 8, ir.FloatType() if dtype.bitwidth == 32 else ir.DoubleType()
    count = VECTOR_BYTES // size
    kind = ir.VectorType(scalar, count)

    def generate(context: Any, builder: Any, sig: Any, packed: Any) -> Any:
        m, n, depth, a, a_row, a_col, b, b_row, c, c_row, add = cgutils.unpack_tuple(
            builder, packed[0]
        )
        adding = builder.icmp_signed("!=", add, _word(0))
        fused = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(kind, [kind] * 3), f"llvm.fmuladd.v{count}f{size * 8}"
        )
        zero = ir.Constant(kind, [ir.Constant(scalar, 0.0)] * count)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), count), [0] * count)

        def at(first: Any, *offsets: tuple[Any, Any]) -> Any:
            for factor, stride in offsets:
                first = builder.gep(first, [builder.mul(factor, stride)])
            return first

        def load(pointer: Any) -> Any:
            return builder.load(builder.bitcast(pointer, kind.as_pointer()), align=size)

        def splat(number: Any) -> Any:
            one = builder.insert_element(ir.Constant(kind, ir.Undefined), number, _word(0))
            return builder.shuffle_vector(one, ir.Constant(kind, ir.Undefined), everywhere)

        def opaque(value: Any) -> Any:  # the same value, about which LLVM knows nothing
            asm = ir.FunctionType(value.type, [value.type])
            return builder.asm(asm, "", "=r,0", [value], side_effect=False)

        def tile(first: Any, column: Any, rows: int, vectors: int) -> None:
            # Pointers to every third row, which LLVM is kept from deriving from each other: it
            # would chain all rows of an iteration by additions, slower than the arithmetic.
            apart = opaque(a_row)
            thirds = [opaque(at(a, (first, a_row), (_word(i), a_row))) for i in range(0, rows, 3)]
            c_first = builder.gep(at(c, (first, c_row)), [column])
            along = [_word(v * count) for v in range(vectors)]
            spots = [(i, v) for i in range(rows) for v in range(vectors)]
            to = {(i, v): builder.gep(at(c_first, (_word(i), c_row)), [along[v]]) for i, v in spots}
            sums = {spot: cgutils.alloca_once(builder, kind) for spot in spots}
            for spot in spots:
                builder.store(zero, sums[spot])
            with builder.if_then(adding):
                for spot in spots:
                    builder.store(load(to[spot]), sums[spot])
            with cgutils.for_range(builder, depth) as loop:
                b_here = builder.gep(at(b, (loop.index, b_row)), [column])
                row = [load(builder.gep(b_here, [offset])) for offset in along]
                shift = builder.mul(loop.index, a_col)
                for i in range(rows):
                    here = builder.gep(thirds[i // 3], [shift])
                    factor = splat(builder.load(at(here, (_word(i % 3), apart))))
                    for v in range(vectors):
                        total = builder.call(fused, [factor, row[v], builder.load(sums[i, v])])
                        builder.store(total, sums[i, v])
            for spot in spots:
                pointer = builder.bitcast(to[spot], kind.as_pointer())
                builder.store(builder.load(sums[spot]), pointer, align=size)

        def whole(total: Any, unit: int) -> Any:
            return builder.mul(builder.sdiv(total, _word(unit)), _word(unit))

        pairs = whole(n, 2 * count)
        for first, end, vectors in ((_word(0), pairs, 2), (pairs, n, 1)):
            step = _word(vectors * count)
            with cgutils.for_range_slice(builder, first, end, step, _INT64) as (column, _):
                done = _word(0)
                for rows in _TILE_ROWS:
                    stop = builder.add(done, whole(builder.sub(m, done), rows))
                    with cgutils.for_range_slice(builder, done, stop, _word(rows), _INT64) as (
                        i,
                        _,
                    ):
                        tile(i, column, rows, vectors)
                    done = stop
        return context.get_dummy_value()

    return types.void(arguments), generate
