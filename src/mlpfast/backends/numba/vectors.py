"""What kernels are written in: vectors with operators, a product of matrices, a transpose.

All of it is LLVM instructions, compiled for whatever processor is there. LLVM's own vectorizer is
not relied on: it takes half of the widest registers, and works off one by one what is left over by
its unrolled loops, which for few rows is everything.
"""

# Numba types compiled code and intrinsics itself; an intrinsic must name arguments that only its
# caller has a use for.
# mypy: ignore-errors
# ruff: noqa: ARG001
from __future__ import annotations

import operator
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

_FEATURES = llvm.get_host_cpu_features()
#: Bytes of the widest vector that the processor multiplies.
VECTOR_BYTES = 64 if _FEATURES.get("avx512f") else 32 if _FEATURES.get("avx") else 16
# With two vectors a row, a tile of that many rows fills 32 vector registers, or 16.
_HAS_16_REGISTERS = VECTOR_BYTES < 64 and any(_FEATURES.get(f) for f in ("sse2", "avx"))
_TILE_ROWS = (4, 2, 1) if _HAS_16_REGISTERS else (12, 8, 4, 2, 1)
_WORD = ir.IntType(64)


class Vector(types.Type):
    """As many numbers of a dtype as fit into a register."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.count = VECTOR_BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype})")


class Mask(types.Type):
    """The outcome of comparing two vectors."""

    def __init__(self, vector: Vector) -> None:
        self.vector = vector
        super().__init__(name=f"Mask({vector.dtype})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, kind: Any) -> None:
        super().__init__(dmm, kind, _machine(kind))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, kind: Any) -> None:
        super().__init__(dmm, kind, ir.VectorType(ir.IntType(1), kind.vector.count))


def _machine(vector: Any) -> Any:
    """LLVM's type of a vector."""
    scalar = ir.FloatType() if vector.dtype == types.float32 else ir.DoubleType()
    return ir.VectorType(scalar, vector.count)


def _word(value: int) -> Any:
    return ir.Constant(_WORD, value)


def _constant(kind: Any, value: float) -> Any:
    return ir.Constant(kind, [ir.Constant(kind.element, value)] * kind.count)


def _splat(builder: Any, kind: Any, value: Any) -> Any:
    """Return a vector with that number in every lane."""
    undefined = ir.Constant(kind, ir.Undefined)
    one = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, undefined, _lane_numbers([0] * kind.count))


def _lane_numbers(numbers: list[int]) -> Any:
    word = ir.IntType(32)
    return ir.Constant(ir.VectorType(word, len(numbers)), [ir.Constant(word, i) for i in numbers])


def _call(builder: Any, name: str, *args: Any) -> Any:
    """Call one of LLVM's own functions of vectors, all of whose types are alike."""
    kind = args[0].type
    suffix = f"v{kind.count}f{32 if isinstance(kind.element, ir.FloatType) else 64}"
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * len(args)), f"llvm.{name}.{suffix}"
    )
    return builder.call(function, args)


# ---------------------------------------------------------------------------- operators


def _as_vector(context: Any, builder: Any, value: Any, given: Any, vector: Any) -> Any:
    """Return a vector as it is, a number in every lane."""
    if isinstance(given, Vector):
        return value
    number = context.cast(builder, value, given, vector.dtype)
    return _splat(builder, _machine(vector), number)


def _operator(op: Any, result: Any, emit: Any) -> None:
    """Define op for two vectors, and for a vector and a number on either side."""

    @infer_global(op)
    class _Typing(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            vectors = [a for a in args if isinstance(a, Vector)]
            return signature(result(vectors[0]), *args) if len(args) == 2 and vectors else None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = next(a for a in sig.args if isinstance(a, Vector))
        sides = [
            _as_vector(context, builder, value, given, vector)
            for value, given in zip(args, sig.args, strict=True)
        ]
        return emit(builder, *sides)

    for left, right in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(op, left, right)(lower)


for _op, _name in (("add", "fadd"), ("sub", "fsub"), ("mul", "fmul"), ("truediv", "fdiv")):
    _operator(
        getattr(operator, _op),
        lambda vector: vector,
        lambda builder, a, b, name=_name: getattr(builder, name)(a, b, flags=("contract",)),
    )
for _op, _name in (("lt", "<"), ("gt", ">")):  # false for NaN
    _operator(
        getattr(operator, _op),
        Mask,
        lambda builder, a, b, name=_name: builder.fcmp_ordered(name, a, b),
    )


@intrinsic
def choose(typingctx: Any, mask: Any, a: Any, b: Any) -> Any:
    """Take a where the mask is true, b elsewhere; either may be a number."""
    vector = mask.vector

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first = _as_vector(context, builder, args[1], a, vector)
        return builder.select(args[0], first, _as_vector(context, builder, args[2], b, vector))

    return vector(mask, a, b), generate


@intrinsic
def filled(typingctx: Any, like: Any, value: Any) -> Any:
    """Vector with that number in every lane, of the dtype of a pointer or vector."""
    vector = Vector(like.dtype)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _as_vector(context, builder, args[1], value, vector)

    return vector(like, value), generate


@intrinsic
def lanes(typingctx: Any, like: Any) -> Any:
    """How many numbers make a vector, known when compiled."""
    count = Vector(like.dtype).count
    return types.int64(like), lambda *_: _word(count)


@intrinsic
def is_single(typingctx: Any, like: Any) -> Any:
    """Whether a pointer or vector is of float32, known when compiled."""
    single = int(like.dtype == types.float32)
    return types.boolean(like), lambda *_: ir.Constant(ir.IntType(1), single)


@intrinsic
def real(typingctx: Any, like: Any, value: Any) -> Any:
    """Value as the dtype of a pointer."""
    kind = like.dtype
    return kind(like, value), lambda context, builder, _, args: context.cast(
        builder, args[1], value, kind
    )


@intrinsic
def root(typingctx: Any, a: Any) -> Any:
    """Return the square root."""
    return a(a), lambda _context, builder, _sig, args: _call(builder, "sqrt", args[0])


@intrinsic
def power_of_two(typingctx: Any, n: Any) -> Any:
    """2**n for whole n within the range of normal numbers: n goes straight into the exponent."""
    bits = n.dtype.bitwidth
    mantissa, bias = (23, 127) if bits == 32 else (52, 1023)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind, words = args[0].type, ir.VectorType(ir.IntType(bits), n.count)
        biased = builder.fadd(args[0], _constant(kind, 1.5 * 2.0**mantissa + bias))
        return builder.bitcast(
            builder.shl(builder.bitcast(biased, words), _constant(words, mantissa)), kind
        )

    return n(n), generate


# ---------------------------------------------------------------------------- memory


@intrinsic
def place(typingctx: Any, pointer: Any, at: Any) -> Any:
    """Pointer to the element number `at` from a pointer on."""
    return pointer(pointer, types.intp), lambda _context, builder, _sig, args: builder.gep(
        args[0], [args[1]]
    )


@intrinsic
def shifted(typingctx: Any, pointer: Any, count: Any) -> Any:
    """Pointer moved by that many bytes."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bytes_ = builder.bitcast(args[0], ir.IntType(8).as_pointer())
        return builder.bitcast(builder.gep(bytes_, [args[1]]), args[0].type)

    return pointer(pointer, types.intp), generate


def _load(builder: Any, pointer: Any, kind: Any, align: int) -> Any:
    return builder.load(builder.bitcast(pointer, kind.as_pointer()), align=align)


def _store(builder: Any, value: Any, pointer: Any, align: int) -> None:
    builder.store(value, builder.bitcast(pointer, value.type.as_pointer()), align=align)


@intrinsic
def load(typingctx: Any, pointer: Any, at: Any) -> Any:
    """Vector of the numbers from element `at` on."""
    vector = Vector(pointer.dtype)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first = builder.gep(args[0], [args[1]])
        return _load(builder, first, _machine(vector), vector.dtype.bitwidth // 8)

    return vector(pointer, types.intp), generate


@intrinsic
def store(typingctx: Any, pointer: Any, at: Any, value: Any) -> Any:
    """Write a vector to the numbers from element `at` on."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first = builder.gep(args[0], [args[1]])
        _store(builder, args[2], first, value.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(pointer, types.intp, value), generate


@intrinsic
def transpose_square(
    typingctx: Any, a: Any, a_at: Any, a_row: Any, b: Any, b_at: Any, b_row: Any
) -> Any:
    """Write the transpose of a square of `lanes` rows of a, `a_row` apart, to b."""
    vector = Vector(a.dtype)
    count, align = vector.count, vector.dtype.bitwidth // 8

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def row(first: Any, at: Any, apart: Any, i: int) -> Any:
            offset = builder.add(at, builder.mul(_word(i), apart))
            return builder.gep(first, [offset])

        rows = [_load(builder, row(*args[:3], i), _machine(vector), align) for i in range(count)]
        step = 1
        while step < count:  # exchange one bit of the row's and the column's number
            low = [e if not e & step else count + (e ^ step) for e in range(count)]
            high = [e ^ step if not e & step else count + e for e in range(count)]
            for i in range(count):
                if not i & step:
                    pair = rows[i], rows[i | step]
                    rows[i] = builder.shuffle_vector(*pair, _lane_numbers(low))
                    rows[i | step] = builder.shuffle_vector(*pair, _lane_numbers(high))
            step *= 2
        for i in range(count):
            _store(builder, rows[i], row(*args[3:], i), align)
        return context.get_dummy_value()

    whole = types.intp
    return types.void(a, whole, whole, b, whole, whole), generate


# ---------------------------------------------------------------------------- products


@intrinsic
def multiply(typingctx: Any, arguments: Any) -> Any:
    """Fill C = A @ B, or add to it; (m, n, depth, a, a_row, a_col, b, b_row, c, c_row, add).

    C is (m, n) with its rows `c_row` apart and n in whole vectors; A (m, depth) has element (i, k)
    at ``i * a_row + k * a_col``; B (depth, n) has rows `b_row` apart. Tiles of C stay in registers
    while they are summed up. Every element is one chain of fused multiply-adds over k, so that the
    tiling does not change the result.
    """
    vector = Vector(arguments[8].dtype)
    kind, size = _machine(vector), vector.dtype.bitwidth // 8

    def generate(context: Any, builder: Any, sig: Any, packed: Any) -> Any:
        m, n, depth, a, a_row, a_col, b, b_row, c, c_row, add = cgutils.unpack_tuple(
            builder, packed[0]
        )
        adding = builder.icmp_signed("!=", add, _word(0))
        apart = _opaque(builder, a_row)

        def whole(count: Any, unit: int) -> Any:
            return builder.mul(builder.sdiv(count, _word(unit)), _word(unit))

        def tile(first_row: Any, column: Any, rows: int, vectors: int) -> None:
            # Pointers to every third row, which LLVM is kept from deriving from each other: it
            # would chain all rows of an iteration by additions, slower than the arithmetic.
            a_first = builder.gep(a, [builder.mul(first_row, a_row)])
            thirds = [
                _opaque(builder, builder.gep(a_first, [builder.mul(_word(i), a_row)]))
                for i in range(0, rows, 3)
            ]
            spots = [(i, v) for i in range(rows) for v in range(vectors)]
            c_first = builder.gep(c, [builder.add(builder.mul(first_row, c_row), column)])
            to = {
                (i, v): builder.gep(
                    c_first,
                    [builder.add(builder.mul(_word(i), c_row), _word(v * vector.count))],
                )
                for i, v in spots
            }
            sums = {at: cgutils.alloca_once(builder, kind) for at in spots}
            for at in spots:
                builder.store(_constant(kind, 0.0), sums[at])
            with builder.if_then(adding):
                for at in spots:
                    builder.store(_load(builder, to[at], kind, size), sums[at])
            with cgutils.for_range(builder, depth) as loop:
                b_here = builder.gep(b, [builder.add(builder.mul(loop.index, b_row), column)])
                a_shift = builder.mul(loop.index, a_col)
                row = [
                    _load(builder, builder.gep(b_here, [_word(v * vector.count)]), kind, size)
                    for v in range(vectors)
                ]
                for i in range(rows):
                    aside = builder.mul(_word(i % 3), apart)
                    at = builder.gep(builder.gep(thirds[i // 3], [a_shift]), [aside])
                    factor = _splat(builder, kind, builder.load(at))
                    for v in range(vectors):
                        total = builder.load(sums[i, v])
                        builder.store(_call(builder, "fmuladd", factor, row[v], total), sums[i, v])
            for at in spots:
                _store(builder, builder.load(sums[at]), to[at], size)

        def strip(first: Any, end: Any, vectors: int) -> None:
            with cgutils.for_range_slice(
                builder, first, end, _word(vectors * vector.count), _WORD
            ) as (column, _):
                done = _word(0)
                for rows in _TILE_ROWS:
                    stop = builder.add(done, whole(builder.sub(m, done), rows))
                    with cgutils.for_range_slice(builder, done, stop, _word(rows), _WORD) as (i, _):
                        tile(i, column, rows, vectors)
                    done = stop

        pairs = whole(n, 2 * vector.count)
        strip(_word(0), pairs, 2)
        strip(pairs, n, 1)
        return context.get_dummy_value()

    return types.void(arguments), generate


def _opaque(builder: Any, value: Any) -> Any:
    """Return the same value, about which the compiler knows nothing any more."""
    kind = ir.FunctionType(value.type, [value.type])
    return builder.asm(kind, "", "=r,0", [value], side_effect=False)
