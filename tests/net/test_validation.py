"""Bad input gives one clear error that names the argument, odd input the right answer."""

import warnings

import numpy as np
import pytest

import mlpfast
from mlpfast.arrays import check_data

N, N_IN, N_OUT = 7, 4, 3


def make_net(backend="numpy", n_out=N_OUT, dtype="float32", **kwargs):
    return mlpfast.MLP(
        [N_IN, 5, n_out], "tanh", dtype=dtype, random_state=3, backend=backend, **kwargs
    )


def make_data(n_out=N_OUT, dtype=np.float32):
    rng = np.random.default_rng(7)
    return rng.normal(size=(N, N_IN)).astype(dtype), rng.normal(size=(N, n_out)).astype(dtype)


X, Y = make_data()


def spoiled(array, value, at):
    copy = array.astype(np.float64)
    copy[at] = value
    return copy


class Sparse:
    """Looks like a SciPy sparse matrix without needing SciPy."""

    nnz, ndim, shape = 3, 2, (N, N_IN)

    def toarray(self):
        raise AssertionError("must not be made dense behind the user's back")


BAD_X = {
    "0-d": (np.float32(1.0), ValueError, r"X must have shape \(n, 4\).*got \(\)"),
    "0-d array": (np.array(1.0), ValueError, r"X must have shape \(n, 4\).*got \(\)"),
    "3-d": (np.zeros((N, N_IN, 1)), ValueError, r"X must have shape .*got \(7, 4, 1\)"),
    "too narrow": (X[:, :3], ValueError, r"X must have shape \(n, 4\), got \(7, 3\)"),
    "too wide": (np.zeros((N, 5)), ValueError, r"X must have shape \(n, 4\), got \(7, 5\)"),
    "transposed": (X.T, ValueError, r"X must have shape \(n, 4\), got \(4, 7\)"),
    "object": (X.astype(object), TypeError, "X must be numeric, got dtype object"),
    "complex": (X.astype(complex), TypeError, "X must be real, got dtype complex128"),
    "strings": (X.astype(str), TypeError, "X must be numeric, got dtype <U"),
    "bytes": (X.astype("S4"), TypeError, "X must be numeric, got dtype .S4"),
    "a string": ("data.csv", TypeError, "X must be numeric, got dtype <U8"),
    "dates": (np.zeros((N, N_IN), "M8[D]"), TypeError, r"X must be numeric, got dtype datetime64"),
    "records": (np.zeros((N, N_IN), "f4,f4"), TypeError, "X must be numeric"),
    "None": (None, TypeError, "X must be numeric, got dtype object"),
    "a dict": ({"x": 1}, TypeError, "X must be numeric, got dtype object"),
    "ragged": ([[1.0, 2, 3, 4], [1.0]], ValueError, "X cannot be read as an array"),
    "masked": (np.ma.masked_invalid(X), TypeError, "X must not be a masked array"),
    "sparse": (Sparse(), TypeError, "X must be a dense array, got a sparse matrix"),
}

# What predict lets through: no rows give no rows, NaN gives NaN.
BAD_X_TO_LEARN = {
    **BAD_X,
    "1-d": (X[0], ValueError, r"X must have shape \(n, 4\), got \(4,\)"),
    "no rows": (X[:0], ValueError, r"X must have at least one row, got shape \(0, 4\)"),
    "empty list": ([], ValueError, r"X must have shape \(n, 4\), got \(0,\)"),
    "nan": (spoiled(X, np.nan, (2, 1)), ValueError, "X must be finite, got nan in row 2, column 1"),
    "inf": (spoiled(X, np.inf, (6, 3)), ValueError, "X must be finite, got inf in row 6, column 3"),
    "-inf": (spoiled(X, -np.inf, (0, 0)), ValueError, "X must be finite, got -inf in row 0"),
    "nan, float16": (
        spoiled(X, np.nan, (1, 1)).astype(np.float16),
        ValueError,
        "X must be finite, got nan in row 1, column 1",
    ),
}

BAD_Y = {
    "0-d": (1.0, ValueError, r"Y must have shape \(n, 3\) or \(n,\) class labels, got \(\)"),
    "too narrow": (Y[:, :2], ValueError, r"Y must have shape \(n, 3\).*got \(7, 2\)"),
    "one column": (Y[:, :1], ValueError, r"Y must have shape \(n, 3\).*got \(7, 1\)"),
    "3-d": (Y[None], ValueError, r"Y must have shape \(n, 3\).*got \(1, 7, 3\)"),
    "too short": (Y[:-1], ValueError, r"Y must have as many rows as X \(7\), got 6"),
    "too long": (np.vstack([Y, Y]), ValueError, r"Y must have as many rows as X \(7\), got 14"),
    "none": (Y[:0], ValueError, r"Y must have as many rows as X \(7\), got 0"),
    "labels too short": (np.zeros(6, int), ValueError, r"Y must have as many rows as X \(7\)"),
    "label too large": (
        np.array([0, 1, 2, 3, 0, 1, 2]),
        ValueError,
        r"Y must hold class labels 0\.\.2, got 3",
    ),
    "negative label": (
        np.array([0, 1, 2, -1, 0, 1, 2]),
        ValueError,
        r"Y must hold class labels 0\.\.2, got -1",
    ),
    "huge label": (
        np.array([0, 1, 2, 2**64 - 1, 0, 1, 2], np.uint64),
        ValueError,
        r"Y must hold class labels 0\.\.2",
    ),
    "broken label": (
        np.array([0, 1, 2, 0.5, 0, 1, 2]),
        ValueError,
        r"Y of shape \(n,\) must hold whole class labels 0\.\.2",
    ),
    "nan label": (
        np.array([0, 1, 2, np.nan, 0, 1, 2]),
        ValueError,
        "Y must be finite, got nan in row 3",
    ),
    "text labels": (["a"] * N, TypeError, "Y must be numeric, got dtype <U1"),
    "object": (Y.astype(object), TypeError, "Y must be numeric, got dtype object"),
    "complex": (Y.astype(complex), TypeError, "Y must be real, got dtype complex128"),
    "None": (None, TypeError, "Y must be numeric, got dtype object"),
    "masked": (np.ma.masked_invalid(Y), TypeError, "Y must not be a masked array"),
    "nan": (spoiled(Y, np.nan, (5, 2)), ValueError, "Y must be finite, got nan in row 5, column 2"),
    "inf": (spoiled(Y, np.inf, (0, 1)), ValueError, "Y must be finite, got inf in row 0, column 1"),
    "too large for float32": (spoiled(Y, 1e300, (0, 1)), ValueError, "Y holds values too large"),
}

BAD_WEIGHT = {
    "too short": (np.ones(6), ValueError, r"sample_weight must have shape \(7,\), got \(6,\)"),
    "2-d": (np.ones((N, 1)), ValueError, r"sample_weight must have shape \(7,\), got \(7, 1\)"),
    "0-d": (1.0, ValueError, r"sample_weight must have shape \(7,\), got \(\)"),
    "negative": (-np.ones(N), ValueError, "sample_weight must not be negative, got -1"),
    "nan": (np.full(N, np.nan), ValueError, "sample_weight must be finite, got nan in row 0"),
    "object": (np.ones(N, object), TypeError, "sample_weight must be numeric, got dtype object"),
    "strings": (["1"] * N, TypeError, "sample_weight must be numeric"),
    "too large": (np.full(N, 1e300), ValueError, "sample_weight holds values too large"),
}

BAD_FIT = [
    ({"epochs": -1}, ValueError, "epochs must be at least 0, got -1"),
    ({"epochs": 1.0}, TypeError, "epochs must be an integer, got 1.0"),
    ({"epochs": None}, TypeError, "epochs must be an integer, got None"),
    ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
    ({"batch_size": "all"}, TypeError, "batch_size must be an integer, got 'all'"),
    ({"optimizer": "lbfgs"}, ValueError, "optimizer must be one of"),
    ({"optimizer": 0.1}, TypeError, "optimizer must be a name or an instance"),
    ({"metrics": ("f1",)}, ValueError, "metrics must be one of 'accuracy', 'mse', 'mae'; got 'f1'"),
    ({"metrics": [None]}, TypeError, "metrics must be a string, got NoneType"),
    ({"l2": -0.1}, ValueError, "l2 must be in .*got -0.1"),
    ({"l2": np.nan}, ValueError, "l2 must be in .*got nan"),
    ({"l2": "weak"}, TypeError, "l2 must be a number, got 'weak'"),
    ({"callbacks": [3]}, TypeError, "callbacks must hold mlpfast.Callback instances"),
    ({"callbacks": [mlpfast.EarlyStopping]}, TypeError, "callbacks must hold"),
    ({"verbose": 3}, ValueError, "verbose must be 0, 1 or 2, got 3"),
    ({"verbose": -1}, ValueError, "verbose must be at least 0, got -1"),
    ({"verbose": "yes"}, TypeError, "verbose must be an integer, got 'yes'"),
    ({"on_nonfinite": "ignore"}, ValueError, "on_nonfinite must be one of 'raise', 'stop'"),
    ({"input_scale": np.inf}, ValueError, "input_scale must be in"),
    ({"input_scale": "1/255"}, TypeError, "input_scale must be a number, got '1/255'"),
    ({"sample_weight": np.zeros(N)}, ValueError, "sample_weight must not be all zeros"),
    ({"validation_data": (X,)}, ValueError, r"validation_data must be \(X, Y\)"),
    ({"validation_data": X}, ValueError, r"validation_data must be \(X, Y\).*got ndarray"),
    ({"validation_data": 0.2}, ValueError, r"validation_data must be \(X, Y\).*got float"),
    ({"validation_data": (X[:, 1:], Y)}, ValueError, r"validation X must have shape \(n, 4\)"),
    ({"validation_data": (X, Y[1:])}, ValueError, "validation Y must have as many rows as X"),
    ({"validation_data": (X[:0], Y[:0])}, ValueError, "validation X must have at least one row"),
    (
        {"validation_data": (spoiled(X, np.nan, (0, 0)), Y)},
        ValueError,
        "validation X must be finite, got nan in row 0, column 0",
    ),
    ({"validation_data": (X, Y, -np.ones(N))}, ValueError, "sample_weight must not be negative"),
]


def refuse(call, net, error, words):
    """`call` raises that error, without a warning, and leaves the net as it was, to the bit."""
    before = net.params.tobytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(error, match=words):
            call()
    assert net.params.tobytes() == before


@pytest.mark.parametrize("case", BAD_X)
@pytest.mark.parametrize("method", ["predict", "forward", "__call__", "activations"])
def test_bad_x_to_run(method, case):
    value, error, words = BAD_X[case]
    net = make_net()
    refuse(lambda: getattr(net, method)(value), net, error, words)


def test_bad_single_row():
    net = make_net()
    refuse(lambda: net.predict(np.zeros(3)), net, ValueError, r"X must have shape .*got \(3,\)")
    refuse(lambda: net.predict([1.0]), net, ValueError, r"X must have shape .*got \(1,\)")
    refuse(lambda: net.predict([]), net, ValueError, r"X must have shape .*got \(0,\)")
    with pytest.raises(TypeError, match="X must be numeric"):
        net.predict(np.array(["a"] * 4))


LEARNING = {
    "fit": lambda net, x, y, w: net.fit(x, y, sample_weight=w, batch_size=3),
    "evaluate": lambda net, x, y, w: net.evaluate(x, y, w),
    "loss_and_grad": lambda net, x, y, w: net.loss_and_grad(x, y, w),
}


@pytest.mark.parametrize("case", BAD_X_TO_LEARN)
@pytest.mark.parametrize("method", LEARNING)
def test_bad_x_to_learn_from(method, case):
    value, error, words = BAD_X_TO_LEARN[case]
    net = make_net()
    refuse(lambda: LEARNING[method](net, value, Y, None), net, error, words)


@pytest.mark.parametrize("case", BAD_Y)
@pytest.mark.parametrize("method", LEARNING)
def test_bad_y(method, case):
    value, error, words = BAD_Y[case]
    net = make_net()
    refuse(lambda: LEARNING[method](net, X, value, None), net, error, words)


@pytest.mark.parametrize("case", BAD_WEIGHT)
@pytest.mark.parametrize("method", LEARNING)
def test_bad_sample_weight(method, case):
    value, error, words = BAD_WEIGHT[case]
    net = make_net()
    refuse(lambda: LEARNING[method](net, X, Y, value), net, error, words)


@pytest.mark.parametrize(("arguments", "error", "words"), BAD_FIT)
def test_bad_argument_of_fit(arguments, error, words):
    net = make_net()
    refuse(lambda: net.fit(X, Y, **arguments), net, error, words)


@pytest.mark.parametrize(
    ("loss", "output", "target", "words"),
    [
        ("binary_crossentropy", "sigmoid", 1.5, r"Y must be 0\.\.1 for loss=.*got 1.5"),
        ("binary_crossentropy", "sigmoid", -0.5, r"Y must be 0\.\.1 for loss=.*got -0.5"),
        ("categorical_crossentropy", "softmax", -1, "Y must be 0 or more for loss=.*got -1"),
        ("poisson", "exp", -2, "Y must be 0 or more for loss='poisson', got -2"),
    ],
)
def test_target_out_of_the_range_of_its_loss(loss, output, target, words):
    net = make_net(output_activation=output, loss=loss)
    y = np.abs(Y) / 10
    y[4, 1] = target
    refuse(lambda: net.fit(X, y), net, ValueError, words)


@pytest.mark.parametrize("row", [0, 3, N - 1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_non_finite_row_is_found_by_every_backend(backend, row, value, dtype):
    net = make_net(backend, dtype=dtype)
    for x_dtype in (np.float32, np.float64):
        bad = X.astype(x_dtype)
        bad[row, 2] = value
        words = f"X must be finite, got {value} in row {row}, column 2"
        refuse(lambda bad=bad: net.fit(bad, Y, batch_size=2, epochs=2), net, ValueError, words)
    # Its being found in the midst of a fit must not spoil what came before.
    net.fit(X, Y, batch_size=2)
    twin = net.copy()
    refuse(lambda: net.fit(bad, Y, batch_size=2), net, ValueError, words)
    net.fit(X, Y, batch_size=2, shuffle=False)
    twin.fit(X, Y, batch_size=2, shuffle=False)
    np.testing.assert_array_equal(net.params, twin.params)


def test_nan_to_predict_gives_nan_in_its_row_alone(backend):
    net = make_net(backend)
    out = net.predict(spoiled(X, np.nan, (2, 1)).astype(np.float32))
    assert np.isnan(out[2]).all()
    np.testing.assert_array_equal(np.delete(out, 2, axis=0), np.delete(net.predict(X), 2, axis=0))


def test_no_rows_to_predict_give_no_rows(backend):
    net = make_net(backend)
    assert net.predict(X[:0]).shape == (0, N_OUT)
    assert [a.shape for a in net.activations(X[:0])] == [(0, 5), (0, N_OUT)]


@pytest.mark.parametrize(
    ("out", "error", "words"),
    [
        (np.empty((N, 2), np.float32), ValueError, r"out must have shape \(7, 3\) and dtype"),
        (np.empty((N, 3)), ValueError, r"out must have .*dtype float32, got \(7, 3\) and float64"),
        (np.empty((3, N), np.float32).T, ValueError, "out must be C-contiguous"),
        (np.empty((N, 3), ">f4"), ValueError, "out must have shape .* and dtype float32"),
        ([[0.0] * 3] * N, TypeError, "out must be a NumPy array, got list"),
        (np.broadcast_to(np.float32(0), (N, 3)), ValueError, "out must be C-contiguous"),
    ],
)
def test_bad_out(out, error, words):
    net = make_net()
    refuse(lambda: net.predict(X, out=out), net, error, words)


def test_out_is_used_and_must_lie_apart(backend):
    net = make_net(backend)
    out = np.full((N, N_OUT), 9, np.float32)
    assert net.predict(X, out=out) is out
    np.testing.assert_array_equal(out, net.predict(X))
    row = np.full(N_OUT, 9, np.float32)
    assert net.predict(X[1], out=row) is row
    np.testing.assert_allclose(row, out[1], rtol=1e-5)
    square = mlpfast.MLP([4, 4], backend=backend)
    x = X[:4].copy()
    with pytest.raises(ValueError, match="out must not share memory with X or the net's"):
        square.predict(x, out=x)
    with pytest.raises(ValueError, match="out must not share memory"):
        square.predict(x, out=square.weights[0])
    frozen = np.empty((N, N_OUT), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="out must be C-contiguous, aligned and writable"):
        net.predict(X, out=frozen)


def misaligned(a):
    raw = np.zeros(a.nbytes + 1, np.uint8)
    view = raw[1:].view(a.dtype).reshape(a.shape)
    view[...] = a
    assert not view.flags.aligned
    return view


def read_only(a):
    b = a.copy()
    b.flags.writeable = False
    return b


def padded(a):
    """Every second row and every third column of a larger array."""
    big = np.full((2 * len(a), 3 * a.shape[1]), 1e30, a.dtype)
    big[::2, ::3] = a
    return big[::2, ::3]


def packed_column(a):
    """A field of packed records: rows at a distance that is no multiple of the item size."""
    records = np.zeros(len(a), np.dtype([("tag", "u1"), ("a", a.dtype, a.shape[1:])]))
    records["a"] = a
    return records["a"]


class Wrapped:
    """Anything with __array__, such as a data frame."""

    def __init__(self, a):
        self.a = a

    def __array__(self, dtype=None, copy=None):
        return self.a


FORMS = {
    "list": lambda a: a.tolist(),
    "tuple of rows": lambda a: tuple(map(tuple, a.tolist())),
    "fortran": np.asfortranarray,
    "read-only": read_only,
    "strided": padded,
    "wider rows": lambda a: np.hstack([a, np.full_like(a, 1e30)])[:, : a.shape[1]],
    "every second row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "rows backwards": lambda a: a[::-1].copy()[::-1],
    "all backwards": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "misaligned": misaligned,
    "records": packed_column,
    "float64": lambda a: a.astype(np.float64),
    "longdouble": lambda a: a.astype(np.longdouble),
    "subclass": lambda a: a.view(type("Sub", (np.ndarray,), {})),
    "wrapped": Wrapped,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_odd_arrays_give_the_right_answer(backend, form, dtype):
    # Values that every form can hold exactly.
    x, y = np.round(X * 8) / 8, np.round(Y * 8) / 8
    weight = np.array([1, 2, 0.5, 1, 1, 3, 1], dtype)
    close = {"rtol": 1e-5, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-14}
    net, twin = make_net(backend, dtype=dtype), make_net(backend, dtype=dtype)
    odd_x, odd_y = FORMS[form](x), FORMS[form](y)
    odd_weight = FORMS[form](weight[:, None])
    odd_weight = [w[0] for w in odd_weight] if isinstance(odd_weight, list | tuple) else odd_weight
    odd_weight = np.asarray(odd_weight)[:, 0] if np.ndim(odd_weight) == 2 else odd_weight
    if form == "wrapped":
        odd_weight = Wrapped(weight)
    keep = np.array(np.asarray(odd_x), copy=True)

    np.testing.assert_allclose(net.predict(odd_x), twin.predict(x), **close)
    one = odd_x[2] if form != "wrapped" else Wrapped(x[2])
    np.testing.assert_allclose(net.predict(one), twin.predict(x[2]), **close)
    for a, b in zip(net.activations(odd_x), twin.activations(x), strict=True):
        np.testing.assert_allclose(a, b, **close)
    loss, grad = net.loss_and_grad(odd_x, odd_y, odd_weight)
    want_loss, want_grad = twin.loss_and_grad(x, y, weight)
    assert loss == pytest.approx(want_loss, rel=close["rtol"])
    np.testing.assert_allclose(grad, want_grad, **close)
    assert net.evaluate(odd_x, odd_y, odd_weight) == pytest.approx(
        twin.evaluate(x, y, weight), rel=close["rtol"]
    )
    arguments = {"epochs": 2, "batch_size": 3, "optimizer": mlpfast.SGD(0.1)}
    net.fit(odd_x, odd_y, sample_weight=odd_weight, **arguments)
    twin.fit(x, y, sample_weight=weight, **arguments)
    np.testing.assert_allclose(net.params, twin.params, **close)
    np.testing.assert_array_equal(np.asarray(odd_x), keep)  # the user's data is left alone


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_code_gets_aligned_arrays(dtype):
    """Elsewhere a vectorized loop may fault, even where single elements may lie anywhere."""
    spec = make_net("numpy", dtype=dtype).spec
    weight = np.ones(N, dtype)
    data = check_data(
        spec, misaligned(X.astype(dtype)), misaligned(Y.astype(dtype)), misaligned(weight)
    )
    for array, want in (data.x, X), (data.y, Y), (data.sample_weight, weight):
        assert array.flags.aligned
        np.testing.assert_array_equal(array, want.astype(dtype))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint16", "bool", "float16"])
def test_other_numeric_dtypes(backend, dtype):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2 if dtype == "bool" else 9, (N, N_IN)).astype(dtype)
    net, twin = make_net(backend), make_net(backend)
    np.testing.assert_allclose(net.predict(x), twin.predict(x.astype("f4")), rtol=1e-5)
    net.fit(x, Y, batch_size=3)
    twin.fit(x.astype("f4"), Y, batch_size=3)
    np.testing.assert_allclose(net.params, twin.params, rtol=1e-5, atol=1e-6)


def test_broadcast_rows(backend):
    x = np.broadcast_to(X[0], (N, N_IN))
    net = make_net(backend)
    np.testing.assert_allclose(net.predict(x), net.predict(x.copy()), rtol=1e-6)
    np.testing.assert_allclose(
        net.loss_and_grad(x, Y)[1], net.loss_and_grad(x.copy(), Y)[1], rtol=1e-5, atol=1e-7
    )


def test_labels_stand_for_one_hot_rows(backend):
    labels = np.array([0, 1, 2, 2, 1, 0, 1])
    one_hot = np.eye(N_OUT)[labels]
    net = make_net(backend, output_activation="softmax", loss="categorical_crossentropy")
    loss, grad = net.loss_and_grad(X, one_hot)
    forms = labels.tolist(), labels.astype("u1"), labels.astype(float), labels.astype(">i4")
    for form in (labels, *forms, labels[::-1].copy()[::-1]):
        other_loss, other_grad = net.loss_and_grad(X, form)
        assert other_loss == pytest.approx(loss, rel=1e-6)
        np.testing.assert_allclose(other_grad, grad, rtol=1e-5, atol=1e-7)


def test_one_output_takes_flat_targets(backend):
    net = make_net(backend, n_out=1)
    y = Y[:, :1]
    for flat in (y.ravel(), y.ravel().tolist(), padded(y)[:, 0]):
        assert net.loss_and_grad(X, flat)[0] == pytest.approx(net.loss_and_grad(X, y)[0])
    with pytest.raises(ValueError, match=r"Y must have shape \(n, 1\) or \(n,\), got \(7, 3\)"):
        net.loss_and_grad(X, Y)


BAD_PARAMS = [
    (np.zeros(3), ValueError, r"params must have shape \(43,\), got \(3,\)"),
    (np.zeros((43, 1)), ValueError, r"params must have shape \(43,\), got \(43, 1\)"),
    (np.full(43, np.nan), ValueError, "params must be finite, got nan in row 0"),
    (np.full(43, 1e300), ValueError, "params holds values too large for float32"),
    (np.zeros(43, complex), TypeError, "params must be real"),
    (["a"] * 43, TypeError, "params must be numeric"),
]


@pytest.mark.parametrize(("value", "error", "words"), BAD_PARAMS)
def test_bad_params(value, error, words):
    net = make_net()
    refuse(lambda: setattr(net, "params", value), net, error, words)


def test_bad_weights_and_biases_change_nothing():
    net = make_net()
    w = [v + 1 for v in net.weights]
    b = [v + 1 for v in net.biases]
    refuse(lambda: setattr(net, "weights", w[:1]), net, ValueError, "weights must hold 2 arrays")
    refuse(
        lambda: setattr(net, "weights", [w[0], w[1].T]),
        net,
        ValueError,
        r"weights\[1\] must have shape \(5, 3\), got \(3, 5\)",
    )
    refuse(
        lambda: setattr(net, "biases", [b[0], np.full(3, np.inf)]),
        net,
        ValueError,
        r"biases\[1\] must be finite, got inf",
    )
    refuse(
        lambda: setattr(net, "biases", [b[0], ["a"] * 3]),
        net,
        TypeError,
        r"biases\[1\] must be numeric",
    )
    unbiased = make_net(bias=False)
    with pytest.raises(ValueError, match="biases must be None or empty for a net with bias=False"):
        unbiased.biases = b


def test_a_step_net_runs_but_does_not_learn(backend):
    net = mlpfast.MLP([N_IN, 5, 1], "step", "step", random_state=0, backend=backend)
    assert set(np.unique(net.predict(X))) <= {0.0, 1.0}
    assert set(net.evaluate(X, Y[:, :1])) == {"loss", "accuracy"}
    words = "activation 'step' has no gradient"
    refuse(lambda: net.fit(X, Y[:, :1]), net, ValueError, words)
    refuse(lambda: net.loss_and_grad(X, Y[:, :1]), net, ValueError, words)


def test_bad_metrics_of_evaluate():
    with pytest.raises(ValueError, match="metrics must be one of 'accuracy', 'mse', 'mae'"):
        make_net().evaluate(X, Y, metrics=["auc"])


KERNEL_ERRORS = [
    ({"x": X[0]}, ValueError, r"x must have two axes, got shape \(4,\)"),
    ({"w": np.zeros((3, 2))}, ValueError, r"w must have 4 rows to fit x \(7, 4\), got \(3, 2\)"),
    ({"b": np.zeros(3)}, ValueError, r"b must have shape \(2,\), got \(3,\)"),
    ({"activation": "rleu"}, ValueError, "activation must be one of"),
    ({"x": X.astype(complex)}, TypeError, "x must be real"),
    ({"w": [["a", "b"]] * 4}, TypeError, "w must be numeric"),
    ({"out": np.zeros((7, 3))}, ValueError, r"out must have shape \(7, 2\)"),
    ({"out": np.zeros((2, 7)).T}, ValueError, "out must be C-contiguous"),
]


@pytest.mark.parametrize(("arguments", "error", "words"), KERNEL_ERRORS)
def test_bad_arguments_of_dense_forward(arguments, error, words):
    given = {"x": X, "w": np.ones((4, 2)), "b": np.ones(2), "activation": "tanh"}
    with pytest.raises(error, match=words):
        mlpfast.kernels.dense_forward(**{**given, **arguments}, backend="numpy")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"a": np.ones((7, 3))}, ValueError, r"a must have shape \(7, 2\), got \(7, 3\)"),
        ({"grad_a": np.ones((6, 2))}, ValueError, r"grad_a must have shape \(7, 2\)"),
        ({"activation": "step"}, ValueError, "activation 'step' has no gradient"),
        ({"w": np.ones((5, 2))}, ValueError, "w must have 4 rows to fit x"),
        ({"x": None}, TypeError, "x must be numeric"),
    ],
)
def test_bad_arguments_of_dense_backward(arguments, error, words):
    ones = np.ones((7, 2))
    given = {"x": X, "w": np.ones((4, 2)), "a": ones, "grad_a": ones, "activation": "tanh"}
    with pytest.raises(error, match=words):
        mlpfast.kernels.dense_backward(**{**given, **arguments}, backend="numpy")


def test_kernel_out_must_lie_apart():
    x = np.ones((3, 3))
    with pytest.raises(ValueError, match="out must not share memory with x, w or b"):
        mlpfast.kernels.dense_forward(x, np.ones((3, 3)), None, out=x, backend="numpy")
