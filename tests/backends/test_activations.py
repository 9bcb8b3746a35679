"""Every activation against closed forms in double, at ordinary values and at all the edges."""

import numpy as np
import pytest

import reference
from mlpfast.kernels import dense_forward
from mlpfast.spec import ACTIVATIONS

ELEMENTWISE = [name for name in ACTIVATIONS if name != "softmax"]
COLUMNS = (1, 2, 3, 5, 7, 13, 17, 31, 67)
RTOL = {"float32": 1e-5, "float64": 1e-12}

EDGES = [0.0, 1e-30, 1e-8, 1e-3, 0.3, 0.5, 1.0, 1.5, 3.0, 8.0, 20.0, 40.0, 87.0, 104.0, 700.0]
EDGES += [746.0, 1e4, 1e30]


def edges(dtype):
    info = np.finfo(dtype)
    positive = np.array([*EDGES, info.tiny, info.smallest_subnormal, 3e3 * info.smallest_subnormal])
    values = np.concatenate([positive, -positive]).astype(dtype)
    return values[np.random.default_rng(0).permutation(len(values))]


def apply(name, z, backend):
    """f(z) for rows z (n, m), which get into the kernel through the bias, exactly as they are."""
    zero = np.zeros((3, 1), z.dtype), np.zeros((1, z.shape[1]), z.dtype)
    # NumPy's backend meets overflow and 0 * inf on purpose.
    with np.errstate(all="ignore"):
        rows = [dense_forward(*zero, row, name, backend=backend) for row in z]
    for three in rows:
        np.testing.assert_array_equal(three, three[[0, 0, 0]])
    return np.array([three[0] for three in rows])


def in_rows(values, columns):
    """All values, in rows of that many columns; the last row begins again at the front."""
    rows = -(-len(values) // columns)
    return np.resize(values, (rows, columns))


def assert_close(name, actual, expected, dtype):
    """Relative accuracy down to the smallest normal number, but absolute for gelu.

    Its left tail z * cdf(z) is as ill-conditioned as it is irrelevant.
    """
    info = np.finfo(dtype)
    with np.errstate(over="ignore"):
        expected = expected.astype(dtype)
    atol = info.eps if name == "gelu" else info.tiny
    np.testing.assert_allclose(actual, expected, rtol=RTOL[dtype], atol=atol)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_edges(name, backend, dtype):
    values = edges(dtype)
    for columns in COLUMNS:
        z = in_rows(values, columns)
        actual = apply(name, z, backend)
        assert actual.dtype == dtype
        assert_close(name, actual, reference.activation(name, z), dtype)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_dense_grid(name, backend, dtype):
    """A fine grid finds seams between the pieces of an approximation."""
    z = np.linspace(-30, 30, 6007).astype(dtype)[None]
    assert_close(name, apply(name, z, backend), reference.activation(name, z), dtype)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_does_not_depend_on_the_position(name, backend, dtype):
    """The same number gives the same bits in the body of a vector and in its tail."""
    rng = np.random.default_rng(1)
    values = (8 * rng.standard_normal(67)).astype(dtype)
    whole = apply(name, values[None], backend)[0]
    if backend == "numpy":  # NumPy's own loops promise it only to rounding
        for i, value in enumerate(values):
            alone = apply(name, value.reshape(1, 1), backend)[0, 0]
            np.testing.assert_allclose(whole[i], alone, rtol=RTOL[dtype])
        return
    if backend == "numba":  # nor does a compiler's choice of fused operations
        for i, value in enumerate(values):
            alone = apply(name, value.reshape(1, 1), backend)[0, 0]
            np.testing.assert_allclose(whole[i], alone, rtol=4 * np.finfo(dtype).eps)
        return
    for i, value in enumerate(values):
        assert whole[i] == apply(name, value.reshape(1, 1), backend)[0, 0]


LIMITS = {  # at -inf and +inf
    "identity": (-np.inf, np.inf),
    "step": (0, 1),
    "sigmoid": (0, 1),
    "tanh": (-1, 1),
    "relu": (0, np.inf),
    "leaky_relu": (-np.inf, np.inf),
    "elu": (-1, np.inf),
    "softplus": (0, np.inf),
    "silu": (0, np.inf),
    "gelu": (0, np.inf),
    "exp": (0, np.inf),
    "selu": (-1.0507009873554805 * 1.6732632423543772, np.inf),
    "mish": (0, np.inf),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_infinities(name, backend, dtype):
    for columns in COLUMNS:
        low = apply(name, np.full((1, columns), -np.inf, dtype), backend)
        high = apply(name, np.full((1, columns), np.inf, dtype), backend)
        np.testing.assert_array_equal(high, np.full_like(high, LIMITS[name][1]))
        if name in ("silu", "gelu", "mish"):  # -inf * 0 is NaN by the formula and 0 in the limit
            assert (np.isnan(low) | (low == 0)).all()
        else:
            np.testing.assert_allclose(low, np.full_like(low, LIMITS[name][0]), rtol=RTOL[dtype])


@pytest.mark.parametrize("name", [n for n in ELEMENTWISE if n != "step"])
def test_nan_stays_nan_and_alone(name, backend, dtype):
    for columns in COLUMNS:
        clean = np.linspace(-2, 2, columns).astype(dtype)[None]
        for place in (0, columns // 2, columns - 1):
            z = clean.copy()
            z[0, place] = np.nan
            actual = apply(name, z, backend)[0]
            assert np.isnan(actual[place])
            others = np.arange(columns) != place
            expected = reference.activation(name, clean)[0]
            assert_close(name, actual[others], expected[others], dtype)


def test_step_is_zero_unless_positive(backend, dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    z = np.array([[-1, -tiny, -0.0, 0.0, tiny, 1, np.nan]], dtype)
    np.testing.assert_array_equal(apply("step", z, backend), [[0, 0, 0, 0, 1, 1, 0]])


def test_softmax(backend, dtype):
    for columns in [*COLUMNS, 10, 16, 100, 1000]:
        rng = np.random.default_rng(columns)
        z = (5 * rng.standard_normal((6, columns))).astype(dtype)
        actual = apply("softmax", z, backend)
        np.testing.assert_allclose(actual, reference.activation("softmax", z), rtol=RTOL[dtype])
        np.testing.assert_allclose(actual.sum(axis=1, dtype=np.float64), 1, rtol=RTOL[dtype])


def test_softmax_of_extreme_logits(backend, dtype):
    for columns in COLUMNS[1:]:
        for big in (1e4, 1e30, np.finfo(dtype).max / 4):
            z = np.full((2, columns), -big, dtype)
            z[0, -1], z[1, 0] = big, 0
            expected = np.zeros((2, columns))
            expected[0, -1] = expected[1, 0] = 1
            np.testing.assert_array_equal(apply("softmax", z, backend), expected)
        equal = np.full((1, columns), 1e30, dtype)
        np.testing.assert_allclose(apply("softmax", equal, backend), 1 / columns, rtol=RTOL[dtype])
        z = np.full((1, columns), -np.inf, dtype)
        z[0, 1] = 3
        np.testing.assert_array_equal(apply("softmax", z, backend), np.eye(columns)[[1]])


def test_softmax_of_nan_is_nan_in_the_whole_row(backend, dtype):
    for columns in COLUMNS[1:]:
        for place in (0, columns // 2, columns - 1):
            z = np.zeros((1, columns), dtype)
            z[0, place] = np.nan
            assert np.isnan(apply("softmax", z, backend)).all()


SPECIAL = {"sigmoid": "expit", "softmax": "softmax", "gelu": "ndtr"}


@pytest.mark.parametrize("name", SPECIAL)
def test_against_scipy(name, backend, dtype):
    special = pytest.importorskip("scipy.special")
    z = (6 * np.random.default_rng(3).standard_normal((9, 31))).astype(dtype)
    double = z.astype(np.float64)
    if name == "softmax":
        expected = special.softmax(double, axis=1)
    else:
        expected = getattr(special, SPECIAL[name])(double) * (double if name == "gelu" else 1)
    assert_close(name, apply(name, z, backend), expected, dtype)
