"""Vectors for the Numba kernels: a type with operators, tiles of products, atomic operations.

All of it is LLVM instructions, compiled for whatever processor is there.

LLVM's own vectorizer is not relied on: it takes half of the widest registers, and works off one by
one what is left over by its unrolled loops, which for a few rows is everything.
"""

# An intrinsic must name arguments that only its caller has a use for, and its code is typed by
# Numba.
# mypy: ignore-errors
# ruff: noqa: ARG001
from __future__ import annotations

import ctypes
import operator
import sys
from collections.abc import Callable
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
#: Whether 32 vector registers are there, or only 16.
MANY_REGISTERS = VECTOR_BYTES == 64 or not any(_FEATURES.get(f) for f in ("sse2", "avx"))

_CONTRACT = ("contract",)  # a * b + c may become one operation


class Vector(types.Type):
    """As many numbers of a dtype as fit into a register."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype
        self.count = VECTOR_BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype})")


class Mask(types.Type):
    """The outcome of comparing two vectors."""

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(name=f"Mask({count})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, _machine(fe_type))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        super().__init__(dmm, fe_type, ir.VectorType(ir.IntType(1), fe_type.count))


def _scalar(dtype: Any) -> Any:
    return ir.FloatType() if dtype == types.float32 else ir.DoubleType()


def _machine(vector: Any) -> Any:
    return ir.VectorType(_scalar(vector.dtype), vector.count)


def _suffix(vector: Any) -> str:
    return f"v{vector.count}f{vector.dtype.bitwidth}"


def _constant(vector: Any, value: float) -> Any:
    return ir.Constant(_machine(vector), [ir.Constant(_scalar(vector.dtype), value)] * vector.count)


def _splat(builder: Any, kind: Any, value: Any) -> Any:
    """Return a vector with that number in every place."""
    undefined = ir.Constant(kind, ir.Undefined)
    one = builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), kind.count), [0] * kind.count)
    return builder.shuffle_vector(one, undefined, places)


def _call(builder: Any, name: str, *args: Any) -> Any:
    """Call one of LLVM's own functions, all of whose types are alike."""
    kind = args[0].type
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(kind, [kind] * len(args)), name
    )
    return builder.call(function, args)


# ---------------------------------------------------------------------------- operators


def _binary(op: Any, instruction: str) -> None:
    """Define op for two vectors, and for a vector and a number on either side."""

    @infer_global(op)
    class _Typing(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            vectors = [a for a in args if isinstance(a, Vector)]
            if len(args) == 2 and vectors:
                return signature(vectors[0], *args)
            return None

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = _machine(sig.return_type)
        sides = []
        for value, given in zip(args, sig.args, strict=True):
            if isinstance(given, Vector):
                sides.append(value)
            else:
                number = context.cast(builder, value, given, sig.return_type.dtype)
                sides.append(_splat(builder, kind, number))
        return getattr(builder, instruction)(*sides, flags=_CONTRACT)

    for left, right in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(op, left, right)(lower)


_binary(operator.add, "fadd")
_binary(operator.sub, "fsub")
_binary(operator.mul, "fmul")
_binary(operator.truediv, "fdiv")


@intrinsic
def load(typingctx: Any, array: Any, at: Any) -> Any:
    """Vector of the elements of a flat array from `at` on."""
    vector = Vector(array.dtype)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _element(context, builder, sig.args[0], args[0], args[1])
        return _load(builder, pointer, vector)

    return vector(array, types.intp), generate


@intrinsic
def store(typingctx: Any, array: Any, at: Any, value: Any) -> Any:
    """Write a vector to the elements of a flat array from `at` on."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _element(context, builder, sig.args[0], args[0], args[1])
        _store(builder, args[2], pointer, value)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def filled(typingctx: Any, array: Any, value: Any) -> Any:
    """Vector of the array's dtype with that number in every place."""
    vector = Vector(array.dtype)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        number = context.cast(builder, args[1], sig.args[1], vector.dtype)
        return _splat(builder, _machine(vector), number)

    return vector(array, value), generate


@intrinsic
def lanes(typingctx: Any, array: Any) -> Any:
    """How many elements of the array make a vector, known when compiled."""
    count = Vector(array.dtype).count

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(ir.IntType(64), count)

    return types.int64(array), generate


@intrinsic
def is_single(typingctx: Any, value: Any) -> Any:
    """Whether a vector or array is of float32, known when compiled."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(ir.IntType(1), int(value.dtype == types.float32))

    return types.boolean(value), generate


@intrinsic
def less(typingctx: Any, a: Any, b: Any) -> Any:
    """Compare place by place, false for NaN."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.fcmp_ordered("<", args[0], args[1])

    return Mask(a.count)(a, a), generate


@intrinsic
def choose(typingctx: Any, mask: Any, a: Any, b: Any) -> Any:
    """Take a where the mask is true, b elsewhere."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.select(*args)

    return a(mask, a, a), generate


@intrinsic
def absolute(typingctx: Any, a: Any) -> Any:
    """abs(a)."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, f"llvm.fabs.{_suffix(a)}", args[0])

    return a(a), generate


@intrinsic
def root(typingctx: Any, a: Any) -> Any:
    """Return the square root."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, f"llvm.sqrt.{_suffix(a)}", args[0])

    return a(a), generate


@intrinsic
def fused(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """Return a * b + c; where two products are added, this says which of them is fused."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, f"llvm.fmuladd.{_suffix(a)}", *args)

    return a(a, a, a), generate


@intrinsic
def with_sign(typingctx: Any, a: Any, b: Any) -> Any:
    """Return the size of a with the sign of b."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _call(builder, f"llvm.copysign.{_suffix(a)}", *args)

    return a(a, a), generate


@intrinsic
def power_of_two(typingctx: Any, n: Any) -> Any:
    """2**n for whole n within the range of normal numbers: n goes straight into the exponent."""
    bits = n.dtype.bitwidth
    mantissa, bias = (23, 127) if bits == 32 else (52, 1023)

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        word = ir.IntType(bits)
        words = ir.VectorType(word, n.count)
        biased = builder.fadd(args[0], _constant(n, 1.5 * 2.0**mantissa + bias))
        by = ir.Constant(words, [ir.Constant(word, mantissa)] * n.count)
        return builder.bitcast(builder.shl(builder.bitcast(biased, words), by), _machine(n))

    return n(n), generate


@intrinsic
def dropped(typingctx: Any, a: Any, key: Any, row: Any, unit: Any, threshold: Any) -> Any:
    """Say which of the rows from `row` on, as many as fill a vector, lack that unit.

    All as in ``_dropout.py``; the key is that of the layer.
    """
    count = Vector(a.dtype).count

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.VectorType(ir.IntType(32), count)
        key, row, unit, threshold = (
            _splat(builder, kind, builder.trunc(value, kind.element)) for value in args[1:]
        )
        lane = ir.Constant(kind, [ir.Constant(kind.element, i) for i in range(count)])
        rows = _mix(builder, builder.add(builder.add(key, row), lane))
        return builder.icmp_unsigned("<", _mix(builder, builder.add(rows, unit)), threshold)

    whole = types.int64
    return Mask(count)(a, whole, whole, whole, whole), generate


def _mix(builder: Any, x: Any) -> Any:
    """Return the hash of ``_dropout.mix`` of each word of a vector."""

    def constant(value: int) -> Any:
        return ir.Constant(x.type, [ir.Constant(x.type.element, value)] * x.type.count)

    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = builder.mul(builder.xor(x, builder.lshr(x, constant(shift))), constant(factor))
    return builder.xor(x, builder.lshr(x, constant(16)))


@intrinsic
def not_inlined(typingctx: Any) -> Any:
    """Keep the function that calls this from being compiled again into each of its callers."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), generate


# ---------------------------------------------------------------------------- memory


def _element(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    data = array if isinstance(kind, types.CPointer) else None
    if data is None:
        data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [at])


def _load(builder: Any, pointer: Any, vector: Any) -> Any:
    pointer = builder.bitcast(pointer, _machine(vector).as_pointer())
    return builder.load(pointer, align=vector.dtype.bitwidth // 8)


def _store(builder: Any, value: Any, pointer: Any, vector: Any) -> None:
    pointer = builder.bitcast(pointer, _machine(vector).as_pointer())
    builder.store(value, pointer, align=vector.dtype.bitwidth // 8)


@intrinsic
def place(typingctx: Any, array: Any, at: Any) -> Any:
    """Pointer to element `at` of an array, its axes taken as one, or from another pointer on."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _element(context, builder, sig.args[0], args[0], args[1])

    return types.CPointer(array.dtype)(array, types.intp), generate


@intrinsic
def real(typingctx: Any, array: Any, value: Any) -> Any:
    """Value as the dtype of an array or of what a pointer points to."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.cast(builder, args[1], sig.args[1], array.dtype)

    return array.dtype(array, value), generate


@intrinsic
def turn(typingctx: Any, a: Any, a_at: Any, a_row: Any, b: Any, b_at: Any, b_row: Any) -> Any:
    """Write the transpose of a square of `lanes` rows of a, `a_row` apart, to b."""
    vector = Vector(a.dtype)
    count = vector.count

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source = _element(context, builder, sig.args[0], args[0], args[1])
        target = _element(context, builder, sig.args[3], args[3], args[4])
        word = ir.IntType(64)

        def row(start: Any, i: int, apart: Any) -> Any:
            return builder.gep(start, [builder.mul(ir.Constant(word, i), apart)])

        rows = [_load(builder, row(source, i, args[2]), vector) for i in range(count)]
        step = 1
        while step < count:  # exchange one bit of the row's and the column's number
            low = [e if not e & step else count + (e ^ step) for e in range(count)]
            high = [e ^ step if not e & step else count + e for e in range(count)]
            for i in range(count):
                if not i & step:
                    pair = rows[i], rows[i | step]
                    rows[i] = builder.shuffle_vector(*pair, _places(low))
                    rows[i | step] = builder.shuffle_vector(*pair, _places(high))
            step *= 2
        for i in range(count):
            _store(builder, rows[i], row(target, i, args[5]), vector)
        return context.get_dummy_value()

    whole = types.intp
    return types.void(a, whole, whole, b, whole, whole), generate


def _places(places: list[int]) -> Any:
    word = ir.IntType(32)
    return ir.Constant(ir.VectorType(word, len(places)), [ir.Constant(word, p) for p in places])


# ---------------------------------------------------------------------------- products


def _opaque(builder: Any, value: Any) -> Any:
    """Return the same value, about which the compiler knows nothing any more."""
    kind = ir.FunctionType(value.type, [value.type])
    return builder.asm(kind, "", "=r,0", [value], side_effect=False)


def _prefetch(builder: Any, pointer: Any) -> None:
    """Have a cache line fetched that is going to be read and written."""
    byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
    function = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), "llvm.prefetch.p0"
    )
    numbers = [ir.Constant(word, n) for n in (1, 3, 1)]
    builder.call(function, [builder.bitcast(pointer, byte), *numbers])


def make_tile(rows: int, vectors: int) -> Callable[..., Any]:
    """Make the intrinsic that computes a tile of C = A @ B, held in registers all the while.

    All come as pointers. C is (rows, vectors * lanes) with its rows `c_row` apart, A (rows, depth)
    with element (i, k) at ``i * a_row + k * a_col``, B has rows `b_row` apart. The tile starts from
    zero (`start` 0), from what C holds (1), or with bias[i] everywhere in row i (2); or it is
    multiplied by bias[0] and then added to C (3). Every element is one chain of fused
    multiply-adds over k, so that the shape of the tile does not change the result.
    """

    @intrinsic
    def tile(
        typingctx: Any,
        a: Any,
        a_row: Any,
        a_col: Any,
        b: Any,
        b_row: Any,
        c: Any,
        c_row: Any,
        depth: Any,
        start: Any,
        bias: Any,
    ) -> Any:
        vector = Vector(c.dtype)
        kind = _machine(vector)
        word = ir.IntType(64)

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            a_first, a_row, a_col, b_first, b_row, c_first, c_row, depth, start, bias_first = args
            # Pointers to every third row, which LLVM is kept from deriving from each other: it
            # would chain all rows of an iteration by additions, slower than the arithmetic.
            a_apart = _opaque(builder, a_row)
            a_thirds = [
                _opaque(builder, builder.gep(a_first, [builder.mul(ir.Constant(word, i), a_row)]))
                for i in range(0, rows, 3)
            ]

            def c_at(i: int, v: int) -> Any:
                along = ir.Constant(word, v * vector.count)
                at = builder.add(builder.mul(ir.Constant(word, i), c_row), along)
                return builder.gep(c_first, [at])

            places = [(i, v) for i in range(rows) for v in range(vectors)]
            sums = {at: cgutils.alloca_once(builder, kind) for at in places}
            for at in places:
                builder.store(_constant(vector, 0.0), sums[at])
            with builder.if_then(builder.icmp_signed("==", start, ir.Constant(word, 1))):
                for at in places:
                    builder.store(_load(builder, c_at(*at), vector), sums[at])
            with builder.if_then(builder.icmp_signed("==", start, ir.Constant(word, 2))):
                for i in range(rows):
                    value = builder.load(builder.gep(bias_first, [ir.Constant(word, i)]))
                    for v in range(vectors):
                        builder.store(_splat(builder, kind, value), sums[i, v])
            adding = builder.icmp_signed("==", start, ir.Constant(word, 3))
            with builder.if_then(adding):  # on its way from memory while the sums are made
                for at in places:
                    _prefetch(builder, c_at(*at))
            with cgutils.for_range(builder, depth) as loop:
                b_here = builder.gep(b_first, [builder.mul(loop.index, b_row)])
                a_shift = builder.mul(loop.index, a_col)
                row = [
                    _load(
                        builder, builder.gep(b_here, [ir.Constant(word, v * vector.count)]), vector
                    )
                    for v in range(vectors)
                ]
                for i in range(rows):
                    aside = builder.mul(ir.Constant(word, i % 3), a_apart)
                    at = builder.gep(builder.gep(a_thirds[i // 3], [a_shift]), [aside])
                    value = builder.load(at)
                    factor = _splat(builder, kind, value)
                    for v in range(vectors):
                        total = builder.load(sums[i, v])
                        name = f"llvm.fmuladd.{_suffix(vector)}"
                        builder.store(_call(builder, name, factor, row[v], total), sums[i, v])
            with builder.if_then(adding):
                factor = _splat(builder, kind, builder.load(bias_first))
                name = f"llvm.fmuladd.{_suffix(vector)}"
                for at in places:
                    before = _load(builder, c_at(*at), vector)
                    total = _call(builder, name, factor, builder.load(sums[at]), before)
                    builder.store(total, sums[at])
            for at in places:
                _store(builder, builder.load(sums[at]), c_at(*at), vector)
            return context.get_dummy_value()

        whole = types.intp
        return types.void(a, whole, whole, b, whole, c, whole, whole, whole, bias), generate

    return tile


def make_pack(count: int) -> Callable[..., Any]:
    """Make the intrinsic that copies `depth` runs of that many numbers to one run after another."""

    @intrinsic
    def pack(typingctx: Any, a: Any, a_row: Any, to: Any, depth: Any) -> Any:
        kind = ir.VectorType(_scalar(a.dtype), count)
        size = a.dtype.bitwidth // 8

        def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            with cgutils.for_range(builder, args[3]) as loop:
                source = builder.gep(args[0], [builder.mul(loop.index, args[1])])
                along = builder.mul(loop.index, ir.Constant(ir.IntType(64), count))
                run = builder.load(builder.bitcast(source, kind.as_pointer()), align=size)
                target = builder.bitcast(builder.gep(args[2], [along]), kind.as_pointer())
                builder.store(run, target, align=size)
            return context.get_dummy_value()

        return types.void(a, types.intp, to, types.intp), generate

    return pack


# ---------------------------------------------------------------------------- leaves


class Leaf:
    """A function of whole numbers and pointers that is compiled once for each dtype.

    Numba compiles all that a function calls again together with it, and so on upwards. The callers
    of a leaf only know its name, under which `provide` makes its address known to the linker.

    Parameters
    ----------
    function
        What to compile; those of its arguments that are in `pointers` point to numbers of the
        dtype, the others are whole.
    compiler
        ``compiler(signature)(function)`` compiles to something with an `address`.
    """

    def __init__(self, function: Any, pointers: str, compiler: Callable[..., Any]) -> None:
        self.function, self.compiler = function, compiler
        code = function.__code__
        names = code.co_varnames[: code.co_argcount]
        self.is_pointer = [name in pointers.split() for name in names]
        self.at = self.is_pointer.index(True)
        self.compiled: dict[str, Any] = {}

    def provide(self, dtype: str) -> None:
        """Compile for a dtype, or load what was compiled before."""
        if dtype not in self.compiled:
            pointer = types.CPointer(getattr(types, dtype))
            kinds = [pointer if p else types.int64 for p in self.is_pointer]
            made = self.compiler(types.void(*kinds))(self.function)
            llvm.add_symbol(self.symbol(dtype), made.address)
            self.compiled[dtype] = made

    def symbol(self, dtype: Any) -> str:
        return f"mlpfast{self.function.__name__}_{dtype}"

    def call(self) -> Any:
        """Return the intrinsic that calls it."""

        def typed(typingctx: Any, args: Any) -> Any:
            pointer = args[self.at]

            def generate(context: Any, builder: Any, sig: Any, packed: Any) -> Any:
                values = cgutils.unpack_tuple(builder, packed[0])
                given = [
                    value if p else context.cast(builder, value, kind, types.int64)
                    for value, kind, p in zip(values, sig.args[0], self.is_pointer, strict=True)
                ]
                made = ir.FunctionType(ir.VoidType(), [value.type for value in given])
                name = self.symbol(pointer.dtype)
                builder.call(cgutils.get_or_insert_function(builder.module, made, name), given)
                return context.get_dummy_value()

            return types.void(args), generate

        return intrinsic(typed)


# ---------------------------------------------------------------------------- threads


def _let_others_run() -> int:
    """Address of the system's function that lets other threads run; compiled code calls it."""
    if sys.platform == "win32":
        return ctypes.cast(ctypes.windll.kernel32.SwitchToThread, ctypes.c_void_p).value or 0
    return ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0


llvm.add_symbol("mlpfast_yield", _let_others_run())
yield_processor = types.ExternalFunction("mlpfast_yield", types.int32())


@intrinsic
def atomic_add(typingctx: Any, array: Any, at: Any, value: Any) -> Any:
    """Add to an element of a flat int64 array and return what it was before."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _element(context, builder, sig.args[0], args[0], args[1])
        return builder.atomic_rmw("add", pointer, args[2], "seq_cst")

    return types.int64(array, types.intp, types.int64), generate


@intrinsic
def atomic_load(typingctx: Any, array: Any, at: Any) -> Any:
    """Read an element of a flat int64 array that another thread may write."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _element(context, builder, sig.args[0], args[0], args[1])
        return builder.load_atomic(pointer, "seq_cst", 8)

    return types.int64(array, types.intp), generate


@intrinsic
def atomic_store(typingctx: Any, array: Any, at: Any, value: Any) -> Any:
    """Write an element of a flat int64 array that another thread may read."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _element(context, builder, sig.args[0], args[0], args[1])
        builder.store_atomic(args[2], pointer, "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), generate
