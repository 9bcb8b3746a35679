"""Accuracy of the compiled elementary functions, in units in the last place, over all exponents.

A unit is the distance between neighbouring numbers at the exact result, so that results below the
smallest normal number are held to the spacing there. The references have at least 20 digits more.
"""

import functools

import mpmath
import numpy as np
import pytest

from mlpfast import MLP
from mlpfast.kernels import dense_forward
from mlpfast.spec import SELU_ALPHA, SELU_SCALE

# Largest error in units in the last place, on every instruction set. For silu and gelu the last
# product adds to the error of the sigmoid and of the normal distribution; softplus has a log of an
# exp.
BOUND = {
    "exp": 2,
    "sigmoid": 4,
    "tanh": 4,
    "elu": 2,
    "softplus": 4,
    "silu": 5,
    "gelu": 6,
    "selu": 4,
    "mish": 8,
}
# Beyond it, on the side named by the sign, the result is what it is at infinity, or z itself.
END = {"float32": 200.0, "float64": 1500.0}


def exact(name, z):
    """f(z) as an mpmath number, for a finite z."""
    z = mpmath.mpf(float(z))
    e = mpmath.exp(-abs(z))
    sigmoid = 1 / (1 + e) if z > 0 else e / (1 + e)
    if name == "exp":
        return mpmath.exp(z)
    if name == "sigmoid":
        return sigmoid
    if name == "tanh":
        return mpmath.tanh(z)
    if name == "elu":
        return z if z > 0 else mpmath.expm1(z)
    if name == "softplus":
        return max(z, 0) + mpmath.log1p(e)
    if name == "silu":
        return z * sigmoid
    if name == "selu":
        scale, alpha = mpmath.mpf(SELU_SCALE), mpmath.mpf(SELU_ALPHA)
        return scale * (z if z > 0 else alpha * mpmath.expm1(z))
    if name == "mish":
        return z * mpmath.tanh(max(z, 0) + mpmath.log1p(e))
    assert name == "gelu"
    return z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2


def grid(dtype):
    """Random mantissas at every exponent, most where the functions bend, of both signs."""
    info = np.finfo(dtype)
    lowest = info.minexp - info.nmant
    highest = int(np.log2(END[dtype]))
    step = 1 if dtype == "float32" else 9
    far = np.repeat(np.arange(lowest, -12, step), 2)
    near = np.repeat(np.arange(-12, highest + 1), 60)
    exponents = np.concatenate([far, near])
    rng = np.random.default_rng(5)
    size = np.ldexp(1 + rng.random(len(exponents)), exponents)
    sign = rng.choice([-1.0, 1.0], len(exponents))
    # A seam of a piecewise function lies at a round number: just below and at it.
    seams = np.concatenate([np.arange(1, 64) / 16, np.arange(8, 60) / 2])
    seams = np.concatenate([seams, np.nextafter(seams.astype(dtype), 0).astype(np.float64)])
    values = np.concatenate([sign * size, seams, -seams]).astype(dtype)
    return values[values != 0]


def thresholds(dtype):
    """Numbers around which exp(z) leaves the range of the type, on both sides."""
    info = np.finfo(dtype)
    over = mpmath.log(mpmath.mpf(float(info.max)))
    under = [mpmath.log(mpmath.mpf(float(v))) for v in (info.tiny, info.smallest_subnormal)]
    values = []
    for middle in (over, *under, under[1] - mpmath.log(2)):
        for factor in (0.99, 1 - 1e-6, 1 + 1e-6, 1.01):
            values += [float(middle * factor), -float(middle * factor)]
    return np.array(values, dtype)


@functools.cache
def cases(name, dtype):
    """Arguments, and the exact results as mpmath numbers; computed once for all ISAs."""
    z = np.concatenate([grid(dtype), thresholds(dtype)])
    with mpmath.workdps(40):
        return z, [exact(name, v) for v in z]


def apply(name, z, backend):
    """f(z) for a vector z, which gets into the kernel through the bias, exactly as it is."""
    zero = np.zeros((1, 1), z.dtype), np.zeros((1, len(z)), z.dtype)
    return dense_forward(*zero, z, name, backend=backend)[0]


def errors_in_ulp(actual, expected, dtype):
    """|actual - expected| in units in the last place of the type at `expected`."""
    info = np.finfo(dtype)
    errors = []
    with mpmath.workdps(40):
        for got, want in zip(actual.tolist(), expected, strict=True):
            exponent = mpmath.frexp(want)[1] if want else info.minexp
            unit = mpmath.ldexp(1, int(max(exponent - 1, info.minexp)) - info.nmant)
            if abs(want) >= mpmath.mpf(float(info.max)) + unit / 2:  # overflows
                errors.append(0.0 if got == np.inf else np.inf)
            else:
                errors.append(float(abs(mpmath.mpf(got) - want) / unit))
    return np.array(errors)


@pytest.mark.parametrize("name", BOUND)
def test_error_over_the_whole_range(name, compiled, dtype):
    z, expected = cases(name, dtype)
    errors = errors_in_ulp(apply(name, z, compiled), expected, dtype)
    worst = int(errors.argmax())
    assert errors[worst] <= BOUND[name], f"{errors[worst]} ulp at {z[worst]!r}"


def test_the_measure_finds_a_wrong_last_place(dtype):
    expected = cases("tanh", dtype)[1]
    near = np.array([float(v) for v in expected]).astype(dtype)
    assert errors_in_ulp(near, expected, dtype).max() <= 0.5 + 1e-3
    off = np.nextafter(near, near.dtype.type(2))
    assert errors_in_ulp(off, expected, dtype).min() >= 0.49


@pytest.mark.parametrize("name", BOUND)
def test_does_not_depend_on_the_position_in_the_row(name, compiled, dtype):
    """Several vectors at a time, one, or the first lanes of one: the same bits."""
    z = np.random.default_rng(7).normal(scale=4, size=150).astype(dtype)
    whole = apply(name, z, compiled)
    for start, stop in [(0, 1), (1, 150), (3, 40), (7, 24), (149, 150), (16, 49), (64, 81)]:
        np.testing.assert_array_equal(apply(name, z[start:stop], compiled), whole[start:stop])


LIMITS = {  # at -infinity, -0, +0 and +infinity
    "exp": (0, 1, 1, np.inf),
    "sigmoid": (0, 0.5, 0.5, 1),
    "tanh": (-1, 0, 0, 1),
    "elu": (-1, 0, 0, np.inf),
    "softplus": (0, np.log(2), np.log(2), np.inf),
    "silu": (0, 0, 0, np.inf),
    "gelu": (0, 0, 0, np.inf),
    "mish": (0, 0, 0, np.inf),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits_and_nan(name, compiled, dtype):
    z = np.array([-np.inf, -0.0, 0.0, np.inf, np.nan], dtype)
    actual = apply(name, z, compiled)
    assert np.isnan(actual[-1])
    expected = np.array(LIMITS[name], dtype)
    if name == "softplus":
        np.testing.assert_allclose(actual[:-1], expected, rtol=4 * np.finfo(dtype).eps)
    else:
        np.testing.assert_array_equal(actual[:-1], expected)


@pytest.mark.parametrize("name", ["sigmoid", "tanh"])
def test_stays_within_its_range_at_any_size(name, compiled, dtype):
    info = np.finfo(dtype)
    size = np.geomspace(1e-3, float(info.max) / 2, 5000)
    actual = apply(name, np.concatenate([size, -size]).astype(dtype), compiled)
    assert actual.max() == 1
    assert actual.min() == (0 if name == "sigmoid" else -1)


def test_log(compiled, dtype):
    """The logarithm shows in the Poisson loss a - t log(a + 1e-7), which a large t makes of it."""
    net = MLP((1, 1), loss="poisson", dtype=dtype, backend=compiled)
    net.weights[0][:] = 1
    net.biases[0][:] = 0
    info = np.finfo(dtype)
    rng = np.random.default_rng(6)
    top = info.maxexp - 2
    a = np.ldexp(1 + rng.random(400), rng.integers(-23, top, 400))
    a = np.concatenate([a, 1 + rng.uniform(-0.5, 1.5, 200), 1 + np.ldexp(1.0, np.arange(-20, -2))])
    a = np.concatenate([a, [0.0, 1.0, np.sqrt(2), float(info.max) / 4]]).astype(dtype)
    t = np.ldexp(np.ones(1, dtype), 100)  # a power of 2: the product is exact
    expected, actual = [], []
    with mpmath.workdps(40):
        for value in a:
            safe = mpmath.mpf(float(value + a.dtype.type(1e-7)))
            expected.append(mpmath.mpf(float(value)) - mpmath.mpf(2) ** 100 * mpmath.log(safe))
            actual.append(net.evaluate(value.reshape(1, 1), t[None])["loss"])
    errors = errors_in_ulp(np.array(actual), expected, dtype)
    usual = a < 2.0**90  # beyond, a and t log(a) may cancel
    worst = int(np.where(usual, errors, 0).argmax())
    assert errors[worst] <= 4, f"{errors[worst]} ulp at {a[worst]!r}"


def test_log_of_a_sum(compiled, dtype):
    """The cross-entropy of two classes, log(1 + exp(d)): half a unit at 1 is lost in the sum."""
    net = MLP(
        (2, 2),
        output_activation="softmax",
        loss="categorical_crossentropy",
        dtype=dtype,
        backend=compiled,
    )
    net.weights[0][:] = np.eye(2)
    net.biases[0][:] = 0
    eps = np.finfo(dtype).eps
    t = np.array([[1, 0]], dtype)
    for d in np.concatenate([np.linspace(-30, 30, 241), [-700.0, 300.0]]):
        x = np.array([[0, d]], dtype)
        with mpmath.workdps(40):
            expected = float(mpmath.log1p(mpmath.exp(mpmath.mpf(float(x[0, 1])))))
        actual = net.evaluate(x, t)["loss"]
        assert abs(actual - expected) <= 4 * eps * max(expected, 1.0), d


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_steps_of_moments_without_size(optimizer, compiled, dtype):
    """The root of the second moment and the division by it: at 0, at overflow, and in between."""
    results = []
    for backend in (compiled, "numpy"):
        net = MLP((40, 1), dtype=dtype, backend=backend, bias=False)
        net.weights[0][:] = 0
        top = np.finfo(dtype).maxexp
        x = np.ldexp(np.ones((1, 40), dtype), np.linspace(-0.3 * top, 0.6 * top, 40).astype(int))
        x[0, ::7] = 0
        with np.errstate(over="ignore"):
            net.fit(x, np.ones((1, 1), dtype), epochs=1, optimizer=optimizer, verbose=0)
        results.append(net.weights[0])
    actual, expected = results
    assert (actual[::7] == 0).all()
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-12)
