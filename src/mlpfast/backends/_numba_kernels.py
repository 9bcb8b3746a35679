"""The arithmetic of ``backends/numpy.py`` as compiled loops over flat buffers.

Every function here is compiled by Numba on its first use, once a dtype, and kept in Numba's cache.
All of them live in this one file because that cache looks at the date of one file only.

Shapes: n rows, x (n, k), w (k, m), b (m,), z = x @ w + b and a = f(z) (n, m). A net is an int64
table with a row a layer, columns as named below; `acts` holds the batch and then the outputs of
every layer, one (n, units) block after another, `zs` the pre-activations that are needed again.
"""

# Compiled functions are typed by Numba, not by their annotations; min and max would not say what
# becomes of NaN; an intrinsic must name arguments that only its caller has a use for.
# mypy: ignore-errors
# ruff: noqa: ARG001, FURB136
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

from mlpfast.spec import (
    ACTIVATIONS,
    ELU_ALPHA,
    HUBER_DELTA,
    LEAKY_RELU_SLOPE,
    LOSSES,
    POISSON_EPSILON,
)

# Columns of the table of a net.
N_IN, N_OUT, W_AT, B_AT, ACTIVATION, BELOW_AT, A_AT, Z_AT = range(8)

IDENTITY, STEP, SIGMOID, TANH, RELU, LEAKY_RELU, ELU, SOFTPLUS, SILU, GELU, EXP, SOFTMAX = (
    ACTIVATIONS.index(name)
    for name in (
        *("identity", "step", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "softplus"),
        *("silu", "gelu", "exp", "softmax"),
    )
)
MSE, SQUARED_ERROR, MAE, HUBER, BINARY, CATEGORICAL, POISSON = (
    LOSSES.index(name)
    for name in (
        *("mse", "squared_error", "mae", "huber"),
        *("binary_crossentropy", "categorical_crossentropy", "poisson"),
    )
)
OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop")
SGD, ADAM, ADAMW, RMSPROP = range(4)

# What the batch is made of: see `gather`.
X_KINDS = ("float32", "float64", "uint8")
OK, INTERRUPTED, DIVERGED = range(3)

# Entries of the constants of a training run, which come in float64 and in the net's dtype.
MOMENTUM, BETA_1, REST_1, BETA_2, REST_2, EPSILON, DECAY, L2 = range(8)

# Products of up to this many multiplications run as plain loops, which cost less than a call of
# the BLAS (about 130 ns with its bookkeeping); the two meet between 100 and 500.
SMALL_PRODUCT = 256

# "contract" lets a * b + c become one fused operation; nothing else is reordered or assumed.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}


def _jit(function: Callable[..., Any]) -> Any:
    """Compile on first use, and keep the machine code on disk where a place for it is found."""
    try:
        return njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # neither the package nor the user's cache folder can be written
        return njit(**_OPTIONS)(function)


# ---------------------------------------------------------------------------- memory


@intrinsic
def _pointer_into(typingctx: Any, array: Any, first: Any) -> Any:
    """Pointer to element `first` of a contiguous array, its axes taken as one."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        made = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.gep(made.data, [args[1]])

    return types.CPointer(array.dtype)(array, types.intp), generate


def _pointer_at(kind: Any) -> Any:
    """Make a function from an address to a pointer of that kind."""

    @intrinsic
    def pointer(typingctx: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return types.CPointer(kind)(types.intp), generate

    return pointer


_float32_at = _pointer_at(types.float32)
_float64_at = _pointer_at(types.float64)
_uint8_at = _pointer_at(types.uint8)
_int64_at = _pointer_at(types.int64)


@_jit
def _block(a, first, rows, cols):
    """(rows, cols) view into a flat array; unlike a slice it costs no reference count."""
    return carray(_pointer_into(a, first), (rows, cols))


@_jit
def _span(a, first, count):
    return carray(_pointer_into(a, first), (count,))


@_jit
def _flat(a):
    return carray(_pointer_into(a, 0), (a.size,))


@_jit
def _copy(row, out):
    for j in range(len(out)):
        out[j] = row[j]


@_jit
def _copy_scaled(row, out, scale):
    for j in range(len(out)):
        out[j] = row[j] * scale


@_jit
def gather(kind, address, stride, scale, order, first, x):
    """Fill x (n, k) from a matrix of float32, float64 or uint8 whose rows are `stride` bytes apart.

    Its rows are ``order[first : first + n]``, or ``first, first + 1, ...`` for an empty order. The
    matrix comes as an address, so that neither its dtype nor its being read-only or strided asks
    for another compilation; the caller keeps it alive.
    """
    n, k = x.shape
    factor = x.dtype.type(scale)
    for r in range(n):
        at = address + (order[first + r] if len(order) else first + r) * stride
        if kind == 0:
            _copy_scaled(carray(_float32_at(at), (k,)), x[r], factor)
        elif kind == 1:
            _copy_scaled(carray(_float64_at(at), (k,)), x[r], factor)
        else:
            _copy_scaled(carray(_uint8_at(at), (k,)), x[r], factor)


@_jit
def gather_targets(kind, address, weight_address, order, first, target, weight):
    """Fill target (n, m) and weight (n,) likewise; kind 2 stands for int64 class labels."""
    n, m = target.shape
    for r in range(n):
        row = order[first + r] if len(order) else first + r
        if kind == 0:
            _copy(carray(_float32_at(address + row * m * 4), (m,)), target[r])
        elif kind == 1:
            _copy(carray(_float64_at(address + row * m * 8), (m,)), target[r])
        else:
            for j in range(m):
                target[r, j] = 0
            target[r, carray(_int64_at(address + row * 8), (1,))[0]] = 1
        if weight_address == 0:
            weight[r] = 1
        elif weight.itemsize == 4:
            weight[r] = carray(_float32_at(weight_address + row * 4), (1,))[0]
        else:
            weight[r] = carray(_float64_at(weight_address + row * 8), (1,))[0]


# ---------------------------------------------------------------------------- exponentials
# Computed in double for both dtypes and free of branches, so that loops over them become vector
# instructions, which calls into the C library would not.

_MAGIC = 1.5 * 2.0**52  # adding it rounds to a whole number and leaves that in the low bits
_LOG2_E = 1.4426950408889634
_LN2_HIGH = 6.93147180369123816490e-01  # the first 33 bits of ln 2: n * _LN2_HIGH is exact
_LN2_LOW = 1.90821492927058770002e-10
_INVERSE_FACTORIALS = tuple(1.0 / math.factorial(i) for i in range(14))


@intrinsic
def _power_of_two(typingctx: Any, n: Any) -> Any:
    """2**n for a whole float64 n from -1022 to 1023: n goes straight into the exponent bits."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        double, word = ir.DoubleType(), ir.IntType(64)
        biased = builder.fadd(args[0], ir.Constant(double, _MAGIC + 1023.0))
        shifted = builder.shl(builder.bitcast(biased, word), ir.Constant(word, 52))
        return builder.bitcast(shifted, double)

    return types.float64(types.float64), generate


@_jit
def _exp_parts(x):
    """Return p, s, t with exp(x) = (p + 1) * s * t; s and t are powers of two, abs(p) < 0.42."""
    x = -1000.0 if x < -1000.0 else x  # 0 and infinity lie far inside; NaN passes
    x = 1000.0 if x > 1000.0 else x
    n = (x * _LOG2_E + _MAGIC) - _MAGIC
    half = (n * 0.5 + _MAGIC) - _MAGIC  # in two factors, as 2**n itself may over- or underflow
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    # Taylor's series of expm1 for abs(r) <= ln(2) / 2: what is left out is below 1e-17 of r.
    p = _INVERSE_FACTORIALS[13]
    p = p * r + _INVERSE_FACTORIALS[12]
    p = p * r + _INVERSE_FACTORIALS[11]
    p = p * r + _INVERSE_FACTORIALS[10]
    p = p * r + _INVERSE_FACTORIALS[9]
    p = p * r + _INVERSE_FACTORIALS[8]
    p = p * r + _INVERSE_FACTORIALS[7]
    p = p * r + _INVERSE_FACTORIALS[6]
    p = p * r + _INVERSE_FACTORIALS[5]
    p = p * r + _INVERSE_FACTORIALS[4]
    p = p * r + _INVERSE_FACTORIALS[3]
    p = p * r + _INVERSE_FACTORIALS[2]
    return p * r * r + r, _power_of_two(half), _power_of_two(n - half)


@_jit
def _exp(x):
    p, s, t = _exp_parts(x)
    return (s * p + s) * t


@_jit
def _expm1(x):
    """exp(x) - 1 for x <= 0, without cancellation."""
    p, s, t = _exp_parts(x)
    s *= t
    return s * p + (s - 1.0)


@_jit
def _sigmoid(z):
    e = _exp(-abs(z))
    return (1.0 if z >= 0.0 else e) / (1.0 + e)


# ---------------------------------------------------------------------------- activations


@_jit
def activate(code, a):
    """Replace z (n, m) by f(z)."""
    flat = _flat(a)
    zero = flat.dtype.type(0)
    if code == IDENTITY:
        return
    if code == RELU:
        for i in range(len(flat)):
            flat[i] = zero if flat[i] < zero else flat[i]  # this way round, NaN stays
    elif code == SIGMOID:
        for i in range(len(flat)):
            flat[i] = _sigmoid(np.float64(flat[i]))
    elif code == TANH:
        for i in range(len(flat)):
            t = _expm1(-2.0 * abs(np.float64(flat[i])))
            flat[i] = math.copysign(-t / (t + 2.0), np.float64(flat[i]))
    elif code == LEAKY_RELU:
        for i in range(len(flat)):
            flat[i] = flat[i] if flat[i] > 0 else flat[i] * LEAKY_RELU_SLOPE
    elif code == ELU:
        for i in range(len(flat)):
            z = np.float64(flat[i])
            flat[i] = z if z > 0.0 else ELU_ALPHA * _expm1(0.0 if z > 0.0 else z)
    elif code == SOFTPLUS:
        for i in range(len(flat)):
            z = np.float64(flat[i])
            flat[i] = (0.0 if z < 0.0 else z) + math.log1p(_exp(-abs(z)))
    elif code == SILU:
        for i in range(len(flat)):
            z = np.float64(flat[i])
            flat[i] = z * _sigmoid(z)
    elif code == GELU:
        for i in range(len(flat)):
            z = np.float64(flat[i])
            flat[i] = z * 0.5 * math.erfc(z * -math.sqrt(0.5))
    elif code == EXP:
        for i in range(len(flat)):
            flat[i] = _exp(np.float64(flat[i]))
    elif code == STEP:
        for i in range(len(flat)):
            flat[i] = 1 if flat[i] > 0 else 0
    else:
        for r in range(len(a)):
            _softmax(a[r])


@_jit
def _softmax(z):
    largest = -np.inf
    for j in range(len(z)):
        largest = max(largest, np.float64(z[j]))
    for j in range(len(z)):
        z[j] = _exp(np.float64(z[j]) - largest)
    total = 0.0
    for j in range(len(z)):
        total += z[j]
    for j in range(len(z)):
        z[j] = z[j] / total


@_jit
def derive(code, kept, delta):
    """Replace g = dL/da (n, m) in delta by dL/dz; `kept` is a, or z for silu and gelu."""
    n, m = delta.shape
    a, g = _flat(kept), _flat(delta)
    real = g.dtype.type
    zero, one, slope, alpha = real(0), real(1), real(LEAKY_RELU_SLOPE), real(ELU_ALPHA)
    if code == IDENTITY:
        return
    if code == RELU:
        for i in range(len(g)):
            g[i] = g[i] if a[i] > zero else zero
    elif code == SIGMOID:
        for i in range(len(g)):
            g[i] = g[i] * a[i] * (one - a[i])
    elif code == TANH:
        for i in range(len(g)):
            g[i] = g[i] * (one - a[i] * a[i])
    elif code == LEAKY_RELU:
        for i in range(len(g)):
            g[i] = g[i] if a[i] > zero else g[i] * slope
    elif code == ELU:
        for i in range(len(g)):
            g[i] = g[i] if a[i] > zero else g[i] * (a[i] + alpha)
    elif code == SOFTPLUS:
        for i in range(len(g)):
            g[i] = g[i] * -_expm1(-np.float64(a[i]))
    elif code == SILU:
        for i in range(len(g)):
            z = np.float64(a[i])
            s = _sigmoid(z)
            g[i] = g[i] * (s * (1.0 + z * (1.0 - s)))
    elif code == GELU:
        for i in range(len(g)):
            z = np.float64(a[i])
            density = _exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
            g[i] = g[i] * (0.5 * math.erfc(z * -math.sqrt(0.5)) + z * density)
    elif code == EXP:
        for i in range(len(g)):
            g[i] = g[i] * a[i]
    else:
        for r in range(n):
            inner = zero
            for j in range(m):
                inner += delta[r, j] * kept[r, j]
            for j in range(m):
                delta[r, j] = kept[r, j] * (delta[r, j] - inner)


# ---------------------------------------------------------------------------- products


@_jit
def dense(x, w, b, z):
    """Fill z = x @ w + b; b may have no elements."""
    n, k = x.shape
    m = w.shape[1]
    if n * k * m > SMALL_PRODUCT:
        np.dot(x, w, z)
        if len(b):
            for r in range(n):
                for j in range(m):
                    z[r, j] += b[j]
        return
    for r in range(n):
        for j in range(m):
            z[r, j] = b[j] if len(b) else 0
        for i in range(k):
            for j in range(m):
                z[r, j] += x[r, i] * w[i, j]


@_jit
def weight_gradient(x, delta, dw, db):
    """Fill dw = x.T @ delta and db = delta.sum(axis=0); db may have no elements."""
    n, k = x.shape
    m = delta.shape[1]
    if n * k * m > SMALL_PRODUCT:
        np.dot(x.T, delta, dw)
    else:
        for i in range(k):
            for j in range(m):
                dw[i, j] = 0
        for r in range(n):
            for i in range(k):
                for j in range(m):
                    dw[i, j] += x[r, i] * delta[r, j]
    if len(db):
        for j in range(m):
            db[j] = 0
        for r in range(n):
            for j in range(m):
                db[j] += delta[r, j]


@_jit
def input_gradient(delta, w, dx):
    """Fill dx = delta @ w.T."""
    n, m = delta.shape
    k = w.shape[0]
    if n * k * m > SMALL_PRODUCT:
        np.dot(delta, w.T, dx)
        return
    for r in range(n):
        for i in range(k):
            total = dx.dtype.type(0)
            for j in range(m):
                total += delta[r, j] * w[i, j]
            dx[r, i] = total


# ---------------------------------------------------------------------------- the net
# A layer's parts of the flat buffers. `capacity` is the number of rows the buffers were made for,
# n the number in this batch, which may be smaller.


@_jit
def _weights(layer, flat):
    return _block(flat, layer[W_AT], layer[N_IN], layer[N_OUT])


@_jit
def _biases(layer, flat):
    """Return the layer's biases (m,), or no elements for a net without them."""
    return _span(flat, max(layer[B_AT], 0), layer[N_OUT] if layer[B_AT] >= 0 else 0)


@_jit
def _below(layer, acts, capacity, n):
    return _block(acts, layer[BELOW_AT] * capacity, n, layer[N_IN])


@_jit
def _output(layer, acts, capacity, n):
    return _block(acts, layer[A_AT] * capacity, n, layer[N_OUT])


@_jit
def _kept(layer, acts, zs, capacity, n):
    """Return what the derivative is computed from: the output, or z where that was kept."""
    if layer[ACTIVATION] == SILU or layer[ACTIVATION] == GELU:
        return _block(zs, layer[Z_AT] * capacity, n, layer[N_OUT])
    return _output(layer, acts, capacity, n)


@_jit
def propagate(net, params, acts, zs, capacity, n):
    """Forward pass of the n rows that lie at the start of acts; fills acts and zs."""
    for i in range(len(net)):
        layer = net[i]
        a = _output(layer, acts, capacity, n)
        dense(_below(layer, acts, capacity, n), _weights(layer, params), _biases(layer, params), a)
        if layer[Z_AT] >= 0:
            z = _block(zs, layer[Z_AT] * capacity, n, layer[N_OUT])
            for r in range(n):
                for j in range(layer[N_OUT]):
                    z[r, j] = a[r, j]
        activate(layer[ACTIVATION], a)


@_jit
def _row_loss(loss, from_logits, a, z, t, factor, delta):
    """Return a row's loss; delta becomes factor times its gradient by a (by z if from_logits)."""
    m = len(a)
    total = 0.0
    if from_logits:
        if loss == BINARY:
            for j in range(m):
                zj = np.float64(z[j])
                total += max(zj, 0.0) - zj * t[j] + math.log1p(_exp(-abs(zj)))
                delta[j] = (a[j] - t[j]) / m * factor
            return total / m
        if loss == POISSON:
            for j in range(m):
                total += a[j] - np.float64(t[j]) * z[j]
                delta[j] = (a[j] - t[j]) / m * factor
            return total / m
        largest = np.float64(z[0])
        for j in range(1, m):
            largest = max(largest, np.float64(z[j]))
        weight = 0.0
        partition = 0.0
        for j in range(m):
            weight += t[j]
            partition += _exp(z[j] - largest)
        log_partition = math.log(partition)
        for j in range(m):
            total -= t[j] * ((z[j] - largest) - log_partition)
            delta[j] = (a[j] * weight - t[j]) * factor
        return total
    if loss == MSE:
        for j in range(m):
            e = np.float64(a[j]) - t[j]
            total += e * e
            delta[j] = 2.0 * e / m * factor
        return total / m
    if loss == SQUARED_ERROR:
        for j in range(m):
            e = np.float64(a[j]) - t[j]
            total += e * e
            delta[j] = e * factor
        return 0.5 * total
    if loss == MAE:
        for j in range(m):
            e = np.float64(a[j]) - t[j]
            total += abs(e)
            delta[j] = np.sign(e) / m * factor
        return total / m
    if loss == HUBER:
        for j in range(m):
            e = np.float64(a[j]) - t[j]
            inside = min(max(e, -HUBER_DELTA), HUBER_DELTA)
            total += inside * (e - 0.5 * inside)
            delta[j] = inside / m * factor
        return total / m
    for j in range(m):
        safe = a[j] + POISSON_EPSILON
        total += a[j] - t[j] * math.log(safe)
        delta[j] = (1.0 - t[j] / safe) / m * factor
    return total / m


@_jit
def _judge(a, t, weight, sums):
    """Add right answers, squared and absolute errors of a row to sums[2:]."""
    m = len(a)
    squares = 0.0
    sizes = 0.0
    best = 0
    wanted = 0
    for j in range(m):
        e = np.float64(a[j]) - t[j]
        squares += e * e
        sizes += abs(e)
        best = j if a[j] > a[best] else best
        wanted = j if t[j] > t[wanted] else wanted
    right = (a[0] > 0.5) == (t[0] > 0.5) if m == 1 else best == wanted
    sums[2] += weight * right
    sums[3] += weight * squares / m
    sums[4] += weight * sizes / m


@_jit
def score(net, loss, judged, acts, zs, capacity, target, weight, delta, sums):
    """Add the five totals of a batch to sums; write dL/dz of the last layer's loss to delta."""
    n = len(target)
    layer = net[len(net) - 1]
    a = _output(layer, acts, capacity, n)
    z = _block(zs, max(layer[Z_AT], 0) * capacity, n, layer[N_OUT]) if layer[Z_AT] >= 0 else a
    weights = 0.0
    for r in range(n):
        weights += weight[r]
    scale = 1.0
    if loss[2]:
        scale = 1.0 / weights if weights > 0.0 else 0.0
    for r in range(n):
        factor = np.float64(weight[r])
        row = _row_loss(loss[0], loss[1], a[r], z[r], target[r], factor * scale, delta[r])
        sums[0] += factor * a.dtype.type(row)  # a loss beyond float32 is infinite there
        if judged:
            _judge(a[r], target[r], factor, sums)
    sums[1] += weights


@_jit
def backpropagate(net, from_logits, params, acts, zs, capacity, n, deltas, grad):
    """Turn the delta that `score` left in deltas[0] into the flat gradient."""
    last = len(net) - 1
    for up in range(last + 1):
        layer = net[last - up]
        delta = _block(deltas[up % 2], 0, n, layer[N_OUT])
        if up > 0 or not from_logits:
            derive(layer[ACTIVATION], _kept(layer, acts, zs, capacity, n), delta)
        weight_gradient(
            _below(layer, acts, capacity, n), delta, _weights(layer, grad), _biases(layer, grad)
        )
        if up < last:
            dx = _block(deltas[(up + 1) % 2], 0, n, layer[N_IN])
            input_gradient(delta, _weights(layer, params), dx)


# ---------------------------------------------------------------------------- optimizers


@_jit
def update(rule, nesterov, step, lr, w, g, m, v, constants, c):
    """Move w by gradient g; m and v are the moments, `step` counts from 1.

    `constants` are those above in float64, `c` the same in the dtype of w.
    """
    real = w.dtype.type
    momentum, epsilon, rate = c[MOMENTUM], c[EPSILON], real(lr)
    beta_1, rest_1, beta_2, rest_2 = c[BETA_1], c[REST_1], c[BETA_2], c[REST_2]
    if rule == SGD:
        if momentum == 0:
            for i in range(len(w)):
                w[i] -= rate * g[i]
        elif nesterov:
            for i in range(len(w)):
                m[i] = momentum * m[i] + g[i]
                w[i] -= rate * (g[i] + momentum * m[i])
        else:
            for i in range(len(w)):
                m[i] = momentum * m[i] + g[i]
                w[i] -= rate * m[i]
    elif rule == RMSPROP:
        for i in range(len(w)):
            v[i] = beta_2 * v[i] + rest_2 * (g[i] * g[i])
        if momentum == 0:
            for i in range(len(w)):
                w[i] -= rate * (g[i] / (math.sqrt(v[i]) + epsilon))
        else:
            for i in range(len(w)):
                m[i] = momentum * m[i] + g[i] / (math.sqrt(v[i]) + epsilon)
                w[i] -= rate * m[i]
    else:
        # The bias corrections of m and v, folded into two scalars.
        root = math.sqrt(1.0 - constants[BETA_2] ** step)
        rate = real(lr * root / (1.0 - constants[BETA_1] ** step))
        floor = real(constants[EPSILON] * root)
        if rule == ADAMW:
            shrink = real(1.0 - lr * constants[DECAY])
            for i in range(len(w)):
                w[i] *= shrink
        for i in range(len(w)):
            m[i] = beta_1 * m[i] + rest_1 * g[i]
            v[i] = beta_2 * v[i] + rest_2 * (g[i] * g[i])
            w[i] -= rate * (m[i] / (math.sqrt(v[i]) + floor))


@_jit
def _add_l2(net, l2, params, grad):
    for i in range(len(net)):
        w, dw = _flat(_weights(net[i], params)), _flat(_weights(net[i], grad))
        for j in range(len(w)):
            dw[j] += l2 * w[j]


@_jit
def _all_finite(a):
    bad = 0
    for i in range(len(a)):
        bad |= a[i] - a[i] != 0  # NaN for NaN and the infinities
    return bad == 0


# ---------------------------------------------------------------------------- whole calls
# `x`, `y` and the like are tuples of numbers that say where the caller's data lie:
# x = (kind, address, stride, scale), y = (kind, address, address of the weights or 0);
# loss = (code, whether from logits, whether the mean is taken).


@_jit
def forward(net, params, x, n, acts, zs, out):
    """Write the net's outputs for n rows to out (n * n_out,), a chunk of rows at a time."""
    n_in, n_out = net[0, N_IN], net[len(net) - 1, N_OUT]
    capacity = _capacity(net, acts)
    order = np.empty(0, np.int64)
    for first in range(0, n, capacity):
        rows = min(capacity, n - first)
        gather(x[0], x[1], x[2], x[3], order, first, _block(acts, 0, rows, n_in))
        propagate(net, params, acts, zs, capacity, rows)
        _copy(
            _flat(_output(net[len(net) - 1], acts, capacity, rows)),
            _span(out, first * n_out, rows * n_out),
        )


@_jit
def _capacity(net, acts):
    """Rows that acts has room for."""
    last = len(net) - 1
    return len(acts) // (net[last, A_AT] + net[last, N_OUT])


@_jit
def evaluate(net, loss, params, x, y, n, acts, zs, targets, weights, delta, sums):
    """Add the totals of n rows to sums (5,), a chunk of rows at a time."""
    n_in, n_out = net[0, N_IN], net[len(net) - 1, N_OUT]
    capacity = _capacity(net, acts)
    order = np.empty(0, np.int64)
    for first in range(0, n, capacity):
        rows = min(capacity, n - first)
        target, weight = _block(targets, 0, rows, n_out), _span(weights, 0, rows)
        gather(x[0], x[1], x[2], x[3], order, first, _block(acts, 0, rows, n_in))
        gather_targets(y[0], y[1], y[2], order, first, target, weight)
        propagate(net, params, acts, zs, capacity, rows)
        d = _block(delta, 0, rows, n_out)
        score(net, loss, True, acts, zs, capacity, target, weight, d, sums)


@_jit
def run(
    net,
    loss,
    optimizer,
    params,
    state,
    x,
    y,
    n,
    orders,
    lrs,
    batch_size,
    judged,
    stop,
    buffers,
    constants,
    c,
    history,
):
    """Train an epoch for each of lrs; return (rows of history, status, steps).

    state = (steps, m, v); optimizer = (rule, nesterov); buffers = (acts, zs, targets, weights,
    delta, delta, grad, backup). An `optimizer` rule of -1 only computes the first gradient.
    """
    acts, zs, targets, weights, delta_0, delta_1, grad, backup = buffers
    n_in, n_out = net[0, N_IN], net[len(net) - 1, N_OUT]
    capacity = _capacity(net, acts)
    deltas = (delta_0, delta_1)
    steps, m, v = state
    natural = np.empty(0, np.int64)
    # One batch in the natural order stays where it is for all epochs.
    keep_batch = n <= batch_size and orders.size == 0
    for epoch in range(len(lrs)):
        _copy(params, backup)
        steps_before = steps
        sums = history[epoch]
        order = orders[epoch] if orders.size else natural
        for first in range(0, n, batch_size):
            rows = min(batch_size, n - first)
            target, weight = _block(targets, 0, rows, n_out), _span(weights, 0, rows)
            if epoch == 0 or not keep_batch:
                gather(x[0], x[1], x[2], x[3], order, first, _block(acts, 0, rows, n_in))
                gather_targets(y[0], y[1], y[2], order, first, target, weight)
            propagate(net, params, acts, zs, capacity, rows)
            delta = _block(delta_0, 0, rows, n_out)
            score(net, loss, judged, acts, zs, capacity, target, weight, delta, sums)
            if not math.isfinite(sums[0]) and optimizer[0] >= 0:
                break
            backpropagate(net, loss[1], params, acts, zs, capacity, rows, deltas, grad)
            if optimizer[0] < 0:
                return epoch, OK, steps
            if c[L2] != 0:
                _add_l2(net, c[L2], params, grad)
            steps += 1
            update(optimizer[0], optimizer[1], steps, lrs[epoch], params, grad, m, v, constants, c)
            if stop[0]:
                return epoch + 1, INTERRUPTED, steps
        if not (math.isfinite(sums[0]) and _all_finite(params)):
            _copy(backup, params)
            return epoch, DIVERGED, steps_before
    return len(lrs), OK, steps


@_jit
def dense_forward(x, w, b, code, out):
    """Write f(x @ w + b) to out (n, m); b may have no elements."""
    dense(x, w, b, out)
    activate(code, out)


@_jit
def dense_backward(x, w, kept, delta, code, dx, dw, db):
    """Fill dw, db and, unless it has no rows, dx; delta holds dL/da and is overwritten."""
    derive(code, kept, delta)
    weight_gradient(x, delta, dw, db)
    if len(dx):
        input_gradient(delta, w, dx)
