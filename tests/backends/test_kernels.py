"""dense_forward and dense_backward: values on every backend, out=, a missing bias, errors."""

import numpy as np
import pytest

import reference
from mlpfast.kernels import dense_backward, dense_forward
from mlpfast.spec import ACTIVATIONS, FORWARD_ONLY, FROM_PREACTIVATION

LEARNING = [name for name in ACTIVATIONS if name not in FORWARD_ONLY]
SHAPES = [(1, 1, 1), (1, 3, 2), (2, 5, 7), (4, 2, 5), (6, 17, 1), (13, 7, 31), (33, 67, 19)]
RTOL = {"float32": 1e-5, "float64": 1e-12}
SQUARED_RTOL = {"float32": 1e-4, "float64": 1e-10}


def layer(shape, dtype, seed=0):
    """x (n, n_in), w (n_in, n_out), b (n_out,) and g (n, n_out)."""
    n, n_in, n_out = shape
    rng = np.random.default_rng([seed, *shape])
    x = rng.standard_normal((n, n_in)).astype(dtype)
    w = (rng.standard_normal((n_in, n_out)) / np.sqrt(n_in)).astype(dtype)
    b = rng.standard_normal(n_out).astype(dtype)
    return x, w, b, rng.standard_normal((n, n_out)).astype(dtype)


def close(actual, expected, rtol, case=""):
    """Relative to the largest entry as well, since sums of mixed signs cancel."""
    scale = np.abs(expected).max(initial=0.0)
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol * scale, err_msg=case)


@pytest.mark.parametrize("name", [n for n in ACTIVATIONS if n != "step"])
def test_forward(name, backend, dtype):
    for shape in SHAPES:
        x, w, b, _ = layer(shape, dtype)
        z = x.astype(float) @ w.astype(float)
        for bias, shift in ((b, b.astype(float)), (None, 0.0)):
            a = dense_forward(x, w, bias, name, backend=backend)
            assert a.dtype == dtype
            assert a.shape == (shape[0], shape[2])
            close(a, reference.activation(name, z + shift), RTOL[dtype], f"{shape}")


def test_forward_step(backend, dtype):
    """The XOR of hand-set perceptrons: whole numbers, so that no rounding decides."""
    x = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], dtype)
    hidden = dense_forward(
        x, np.array([[-2, 2], [-2, 2]], dtype), np.array([3, -1], dtype), "step", backend=backend
    )
    np.testing.assert_array_equal(hidden, [[1, 0], [1, 1], [1, 1], [0, 1]])
    both = np.array([[1], [1]], dtype)
    out = dense_forward(hidden, both, np.array([-1], dtype), "step", backend=backend)
    np.testing.assert_array_equal(out, [[0], [1], [1], [0]])


@pytest.mark.parametrize("name", LEARNING)
def test_backward(name, backend, dtype):
    rtol = SQUARED_RTOL[dtype]
    for shape in SHAPES:
        x, w, b, g = layer(shape, dtype)
        # The reference starts from the same z, so that both are on the same side of a kink.
        z = dense_forward(x, w, b, backend=backend)
        kept = z if name in FROM_PREACTIVATION else dense_forward(x, w, b, name, backend=backend)
        delta = reference.delta(name, z, g)
        dx, dw, db = dense_backward(x, w, kept, g, name, backend=backend)
        assert dx.dtype == dw.dtype == db.dtype == dtype
        close(dx, delta @ w.astype(float).T, rtol, f"dx, {shape}")
        close(dw, x.astype(float).T @ delta, rtol, f"dw, {shape}")
        close(db, delta.sum(axis=0), rtol, f"db, {shape}")
        nothing, dw_again, db_again = dense_backward(
            x, w, kept, g, name, need_dx=False, backend=backend
        )
        assert nothing is None
        np.testing.assert_array_equal(dw_again, dw)
        np.testing.assert_array_equal(db_again, db)


@pytest.mark.parametrize("name", LEARNING)
def test_backward_leaves_its_inputs_alone(name, backend, dtype):
    x, w, b, g = layer((5, 7, 3), dtype)
    a = dense_forward(x, w, b, name, backend=backend)
    before = [v.copy() for v in (x, w, a, g)]
    dense_backward(x, w, a, g, name, backend=backend)
    for value, old in zip((x, w, a, g), before, strict=True):
        np.testing.assert_array_equal(value, old)


def test_large_product(backend, dtype):
    """Large enough that every blocking and threshold of a backend comes into play."""
    x, w, b, g = layer((130, 260, 190), dtype)
    wide = [v.astype(float) for v in (x, w, b, g)]
    a = dense_forward(x, w, b, backend=backend)
    close(a, wide[0] @ wide[1] + wide[2], RTOL[dtype])
    dx, dw, db = dense_backward(x, w, a, g, backend=backend)
    close(dx, wide[3] @ wide[1].T, RTOL[dtype])
    close(dw, wide[0].T @ wide[3], RTOL[dtype])
    close(db, wide[3].sum(axis=0), RTOL[dtype])


def test_no_rows(backend, dtype):
    x, w, b, g = layer((0, 5, 3), dtype)
    for name in ("identity", "sigmoid", "softmax"):
        a = dense_forward(x, w, b, name, backend=backend)
        assert a.shape == (0, 3)
        dx, dw, db = dense_backward(x, w, a, g, name, backend=backend)
        assert dx.shape == (0, 5)
        np.testing.assert_array_equal(dw, np.zeros((5, 3)))
        np.testing.assert_array_equal(db, np.zeros(3))


def test_out_is_written_and_returned(backend, dtype):
    x, w, b, _ = layer((5, 7, 3), dtype)
    out = np.full((5, 3), np.nan, dtype)
    assert dense_forward(x, w, b, "tanh", out=out, backend=backend) is out
    np.testing.assert_array_equal(out, dense_forward(x, w, b, "tanh", backend=backend))


def test_out_is_not_written_beyond_its_end(backend, dtype):
    for n, n_out in [(1, 1), (3, 5), (7, 13), (9, 17), (5, 67)]:
        x, w, b, _ = layer((n, 11, n_out), dtype)
        room = np.full(n * n_out + 64, 7, dtype)
        out = room[: n * n_out].reshape(n, n_out)
        dense_forward(x, w, b, "sigmoid", out=out, backend=backend)
        np.testing.assert_array_equal(room[n * n_out :], 7)


def test_any_layout_of_the_inputs(backend, dtype):
    x, w, b, g = layer((6, 8, 4), dtype)
    expected = dense_forward(x, w, b, "tanh", backend=backend)
    fortran = [np.asfortranarray(v) for v in (x, w)]
    strided = [np.repeat(v, 2, axis=1)[:, ::2] for v in (x, w)]
    swapped = [v.astype(v.dtype.newbyteorder()) for v in (x, w)]
    for xv, wv in (fortran, strided, swapped):
        bv = np.repeat(b, 2)[::2]
        a = dense_forward(xv, wv, bv, "tanh", backend=backend)
        if xv.dtype.isnative:
            assert a.dtype == dtype
        np.testing.assert_allclose(a, expected, rtol=RTOL[dtype])
    for v in (x, w, b, g, expected):
        v.flags.writeable = False
    np.testing.assert_array_equal(dense_forward(x, w, b, "tanh", backend=backend), expected)
    assert np.isfinite(dense_backward(x, w, expected, g, "tanh", backend=backend)[1]).all()


def test_other_dtypes_become_float64(backend):
    x, w = np.arange(6).reshape(3, 2), [[1, 2], [3, 4]]
    a = dense_forward(x, w, None, backend=backend)
    assert a.dtype == np.float64
    np.testing.assert_array_equal(a, x @ np.array(w))
    mixed = dense_forward(x.astype(np.float32), np.array(w, float), None, backend=backend)
    assert mixed.dtype == np.float64


X, W, B = np.ones((3, 2)), np.ones((2, 4)), np.ones(4)
A = np.ones((3, 4))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X, np.ones((3, 4)), B), ValueError, "w must have 2 rows to fit x"),
        ((X[0], W, B), ValueError, r"x must have two axes, got shape \(2,\)"),
        ((X, W, np.ones(3)), ValueError, r"b must have shape \(4,\), got \(3,\)"),
        ((X, W, B, "sigmoidal"), ValueError, "activation must be one of .*got 'sigmoidal'"),
        ((X, W, B, None), TypeError, "activation must be a string, got NoneType"),
        ((np.array([["a", "b"]]), W, B), TypeError, "x must be numeric, got dtype"),
        ((X * 1j, W, B), TypeError, "x must be real, got dtype complex128"),
    ],
)
def test_forward_errors(arguments, error, message, backend):
    with pytest.raises(error, match=message):
        dense_forward(*arguments, backend=backend)


@pytest.mark.parametrize(
    ("out", "error", "message"),
    [
        ([[0.0]], TypeError, "out must be a NumPy array, got list"),
        (np.empty((3, 3)), ValueError, r"out must have shape \(3, 4\) and dtype float64"),
        (np.empty((3, 4), np.float32), ValueError, "got .* and float32"),
        (np.empty((4, 3)).T, ValueError, "out must be C-contiguous, aligned and writable"),
    ],
)
def test_out_errors(out, error, message, backend):
    with pytest.raises(error, match=message):
        dense_forward(X, W, B, out=out, backend=backend)


def test_out_must_not_overlap_the_inputs(backend):
    square = np.eye(3)
    for arguments in ((square, np.eye(3)), (np.eye(3), square)):
        with pytest.raises(ValueError, match="out must not share memory with x, w or b"):
            dense_forward(*arguments, None, out=square, backend=backend)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, W, np.ones((3, 3)), A), r"a must have shape \(3, 4\), got \(3, 3\)"),
        ((X, W, A, np.ones((2, 4))), r"grad_a must have shape \(3, 4\), got \(2, 4\)"),
        ((X, W.T, A, A), "w must have 2 rows to fit x"),
        ((X, W, A, A, "step"), "activation 'step' has no gradient"),
    ],
)
def test_backward_errors(arguments, message, backend):
    with pytest.raises(ValueError, match=message):
        dense_backward(*arguments, backend=backend)


def test_unknown_backend():
    with pytest.raises(ValueError, match="backend must be one of 'cpp', 'numba', 'numpy'"):
        dense_forward(X, W, B, backend="fortran")
