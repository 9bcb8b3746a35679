"""What users of scikit-learn's MLPs rely on beside the numbers, on those of mlpfast."""

import copy
import inspect
import io
import pickle
import signal
import subprocess
import sys
import threading
import warnings

import joblib
import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7")

import sklearn
from scipy import sparse
from sklearn import neural_network
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlpfast
from mlpfast.sklearn import MLPClassifier, MLPRegressor, _rows, _scores

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS = load_iris(return_X_y=True)
NAMES = ["MLPClassifier", "MLPRegressor"]


def problem(name, n=120, columns=6):
    X, y = make_regression(n, columns, noise=1.0, random_state=3)
    y = y / y.std()
    return X, (np.digitize(y, [-0.5, 0.5]) if name == "MLPClassifier" else y)


def both(name, X, y, fit=None, **parameters):
    """Fit scikit-learn's estimator and ours alike."""
    made = []
    for package in (neural_network, mlpfast):
        estimator = getattr(package, name)(**{"random_state": 0, "max_iter": 30, **parameters})
        made.append(estimator.fit(X, y, **(fit or {})))
    return made


def assert_same_weights(one, other, rtol=1e-9):
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_allclose(b, a, rtol=rtol, atol=rtol * np.abs(a).max())


# ---------------------------------------------------------------------------- the face


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_scikit_learns_in_its_order_then_ours(name):
    theirs = inspect.signature(getattr(neural_network, name).__init__).parameters
    mine = inspect.signature(getattr(mlpfast, name).__init__).parameters
    assert list(mine)[: len(theirs)] == list(theirs)
    for parameter, expected in theirs.items():
        assert mine[parameter].default == expected.default, parameter
        assert mine[parameter].kind == expected.kind, parameter
    for parameter in list(mine)[len(theirs) :]:
        assert mine[parameter].kind is inspect.Parameter.KEYWORD_ONLY
    for method in ("fit", "predict", "score", "partial_fit"):
        expected = inspect.signature(getattr(getattr(neural_network, name), method)).parameters
        given = inspect.signature(getattr(getattr(mlpfast, name), method)).parameters
        assert list(given)[: len(expected)] == list(expected), method


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_public_attributes_are_scikit_learns(name, solver):
    theirs, mine = both(name, *problem(name), solver=solver, max_iter=3, early_stopping=True)
    public = {a for a in vars(theirs) if a.endswith("_") and not a.startswith("_")}
    assert {a for a in vars(mine) if a.endswith("_") and not a.startswith("_")} == public
    for attribute in public:
        assert isinstance(getattr(theirs, attribute), type(getattr(mine, attribute))), attribute


def test_lazy_names():
    assert mlpfast.MLPClassifier is MLPClassifier
    assert "MLPRegressor" in dir(mlpfast)
    with pytest.raises(AttributeError, match="module 'mlpfast' has no attribute 'MLPTransformer'"):
        mlpfast.MLPTransformer  # noqa: B018
    code = "import sys, mlpfast; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_tags_and_pictures():
    for name in NAMES:
        mine, theirs = getattr(mlpfast, name)(), getattr(neural_network, name)()
        assert mine.__sklearn_tags__() == theirs.__sklearn_tags__()
        assert repr(mine) == repr(theirs)
        assert name in mine._repr_html_()


def test_metadata_routing():
    with sklearn.config_context(enable_metadata_routing=True):
        clf = MLPClassifier(max_iter=5, random_state=0).set_fit_request(sample_weight=True)
        clf.set_score_request(sample_weight=False)
        X, y = IRIS
        weight = np.where(y == 0, 1.0, 1e-9)
        search = GridSearchCV(clf, {"alpha": [0.1]}, cv=3).fit(X, y, sample_weight=weight)
        plain = clone(clf).fit(X, y)
    assert np.abs(search.best_estimator_.coefs_[0] - plain.coefs_[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"hidden_layer_sizes": (3, 0)}, r"hidden_layer_sizes must be > 0, got \[3, 0\]"),
        ({"solver": "newton"}, "The 'solver' parameter of MLPClassifier must be a str among"),
        ({"activation": "step"}, "The 'activation' parameter of MLPClassifier must be"),
        ({"activation": ["relu"] * 2}, r"activation must be one name or one a hidden layer \(1\)"),
        ({"activation": ["relux"]}, r"activation\[0\] must be one of"),
        ({"dropout": 1.0}, "The 'dropout' parameter of MLPClassifier must be"),
        ({"dropout": [0.1, 0.1]}, r"dropout must be one rate or one a hidden layer \(1\), got 2"),
        ({"n_threads": 0}, "The 'n_threads' parameter of MLPClassifier must be"),
        ({"clip_norm": 1.0, "clip_value": 1.0}, "only one of clip_norm and clip_value"),
        ({"backend": "fortran"}, "backend must be one of"),
    ],
)
def test_bad_parameters(parameters, words):
    clf = MLPClassifier(**parameters)
    with pytest.raises((ValueError, TypeError), match=words):
        clf.fit(*IRIS)
    assert not hasattr(clf, "coefs_") or parameters.keys() & {"clip_norm", "backend"}


def test_unfitted():
    for estimator in (MLPClassifier(), MLPRegressor()):
        for method in ("predict", "predict_proba"):
            if hasattr(estimator, method):
                with pytest.raises(NotFittedError):
                    getattr(estimator, method)(IRIS[0])


# ---------------------------------------------------------------------------- data


@pytest.mark.parametrize("frame", ["pandas", "polars"])
def test_frames(frame):
    library = pytest.importorskip(frame)
    X, y = IRIS
    names = ["a", "b", "c", "d"]
    data = library.DataFrame(X, columns=names) if frame == "pandas" else library.DataFrame(X, names)
    clf = MLPClassifier(max_iter=5, random_state=0).fit(data, y)
    assert clf.feature_names_in_.tolist() == names
    np.testing.assert_array_equal(clf.predict(data), clf.predict(data))
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        plain = clf.predict_proba(X[:1])
    np.testing.assert_array_equal(plain, clf.predict_proba(data[:1]))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "kind",
    [
        "csr_array",
        pytest.param("csc_array", marks=pytest.mark.slow),
        pytest.param("csr_matrix", marks=pytest.mark.slow),
        pytest.param("csc_matrix", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_rows_some_at_a_time(name, kind, solver, monkeypatch):
    """The same fit whether the whole matrix is made dense or a few batches at a time."""
    X, y = problem(name, 230, 20)
    X[np.abs(X) < 0.8] = 0
    weight = np.random.default_rng(0).random(len(X))
    p = {"solver": solver, "batch_size": 20, "max_iter": 31}
    dense = getattr(mlpfast, name)(random_state=0, **p).fit(X, y, weight)
    S = getattr(sparse, kind)(X)
    whole = clone(dense).fit(S, y, weight)
    monkeypatch.setattr(_rows, "DENSE_BYTES", 50 * 20 * 8)  # two batches and a half
    sizes = []
    pieces = _rows.dense_pieces

    def watched(*args, **kwargs):
        for part, x in pieces(*args, **kwargs):
            sizes.append(len(x))
            yield part, x

    monkeypatch.setattr(_rows, "dense_pieces", watched)
    parts = clone(dense).fit(S, y, weight)
    assert max(sizes) == (40 if solver == "adam" else 50)
    for other in (whole, parts):
        assert_same_weights(dense, other, 1e-6 if solver == "lbfgs" else 1e-10)
        np.testing.assert_allclose(other.predict(S), dense.predict(X), rtol=1e-6)
    theirs = getattr(neural_network, name)(random_state=0, **p).fit(S, y, weight)
    assert_same_weights(theirs, parts, 1e-6)


def test_layouts_of_the_input():
    X, y = IRIS
    expected = MLPClassifier(max_iter=5, random_state=0).fit(X, y)
    for given in (np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], X[::-1][::-1], X.tolist()):
        clf = clone(expected).fit(given, y)
        assert_same_weights(expected, clf, 1e-12)
        np.testing.assert_array_equal(clf.predict_proba(given), expected.predict_proba(X))
    X.flags.writeable = False
    assert_same_weights(expected, clone(expected).fit(X, y), 1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_dtypes_in_and_out(name):
    """Weights have the dtype of the data, outputs that of data and weights together."""
    X, y = problem(name)
    X32 = X.astype(np.float32)
    for solver in ("adam", "sgd", "lbfgs"):
        theirs, mine = both(name, X32, y, solver=solver, max_iter=5)
        for a, b in zip(theirs.coefs_, mine.coefs_, strict=True):
            assert a.dtype == b.dtype
        outputs = "predict_proba" if name == "MLPClassifier" else "predict"
        for given in (X, X32, X.astype(int), X.astype(np.float16)):
            expected = getattr(theirs, outputs)(given)
            got = getattr(mine, outputs)(given)
            assert got.dtype == expected.dtype, (solver, given.dtype)
            np.testing.assert_allclose(got, expected, rtol=2e-2, atol=2e-3)


def test_wide_data_on_narrow_weights_are_computed_in_double():
    X, y = problem("MLPRegressor")
    mine = MLPRegressor(max_iter=5, random_state=0).fit(X.astype(np.float32), y)
    a = X
    for w, b in zip(mine.coefs_, mine.intercepts_, strict=True):
        a = a @ w.astype(float) + b
        a = np.maximum(a, 0) if w is not mine.coefs_[-1] else a
    np.testing.assert_allclose(mine.predict(X), a[:, 0], rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_one_row_is_looked_at_as_well(name):
    X, y = problem(name)
    estimator = getattr(mlpfast, name)(max_iter=3, random_state=0).fit(X, y)
    for bad, words in (
        (X[:1] * np.nan, "Input X contains NaN"),
        (np.abs(X[:1]) * np.inf, "Input X contains infinity"),
        (X[:1, :3], "X has 3 features, but .* is expecting 6 features"),
        (X[0], "Expected 2D array, got 1D array instead"),
        (np.empty((0, 6)), "Found array with 0 sample"),
        ([["a"] * 6], "could not convert string to float|dtype='numeric' is not compatible"),
    ):
        with pytest.raises(ValueError, match=words):
            estimator.predict(bad)
    whole = estimator.predict(X)
    for row in range(5):
        np.testing.assert_array_equal(estimator.predict(X[row : row + 1]), whole[row : row + 1])
    before = list(vars(estimator))
    estimator.predict(X[:1])
    assert list(vars(estimator)) == before


# ---------------------------------------------------------------------------- randomness


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [20, 500])
def test_the_generator_is_left_as_scikit_learn_leaves_it(shuffle, batch_size):
    left = []
    for package in (neural_network, mlpfast):
        rng = np.random.RandomState(5)
        clf = package.MLPClassifier(
            random_state=rng, max_iter=4, shuffle=shuffle, batch_size=batch_size
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            clf.fit(*IRIS)
        left.append(rng.random_sample())
    assert left[0] == left[1]


def test_the_global_generator():
    coefs = []
    for package in (neural_network, mlpfast):
        np.random.seed(11)  # noqa: NPY002
        coefs.append(package.MLPClassifier(max_iter=3, batch_size=30).fit(*IRIS))
    assert_same_weights(*coefs)


# ---------------------------------------------------------------------------- weights


@pytest.mark.parametrize("name", NAMES)
def test_arrays_put_into_coefs_are_honoured(name):
    X, y = problem(name)
    theirs, mine = both(name, X, y, max_iter=3)
    for estimator in (theirs, mine):
        estimator.coefs_[0] = estimator.coefs_[0] * 2
        estimator.intercepts_[-1][:] = 0.5  # in place
    np.testing.assert_allclose(mine.predict(X), theirs.predict(X), rtol=1e-9)
    np.testing.assert_allclose(mine.predict(X[:1]), theirs.predict(X[:1]), rtol=1e-9)
    for estimator in (theirs, mine):
        estimator.coefs_ = [w + 0.01 for w in estimator.coefs_]
        estimator.partial_fit(X, y)
    assert_same_weights(theirs, mine)
    np.testing.assert_allclose(mine.predict(X), theirs.predict(X), rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_activations_that_are_set_after_a_fit(name):
    """Programs set ``out_activation_`` for logits, or for outputs in a range."""
    X, y = problem(name)
    theirs, mine = both(name, X, y, max_iter=3)
    for change in ({"activation": "tanh"}, {"out_activation_": "identity"}):
        outputs = []
        for estimator in (theirs, mine):
            vars(estimator).update(change)
            run = getattr(estimator, "predict_proba", estimator.predict)
            outputs.append([run(X), run(X[:1])])
        for expected, got in zip(*outputs, strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-9)
    vars(mine).update(out_activation_="tanh")
    with pytest.raises(ValueError, match="out_activation_ must be '(softmax|identity)' to go on"):
        mine.partial_fit(X, y)


@pytest.mark.parametrize("name", NAMES)
def test_views_follow_the_training(name):
    X, y = problem(name)
    estimator = getattr(mlpfast, name)(random_state=0, batch_size=30)
    estimator.partial_fit(X, y, **({"classes": [0, 1, 2]} if name == "MLPClassifier" else {}))
    w = estimator.coefs_[0]
    before = w.copy()
    estimator.partial_fit(X, y)
    assert estimator.coefs_[0] is w
    assert (w != before).any()
    refitted = estimator.set_params(max_iter=2).fit(X, y)
    assert refitted.coefs_[0] is not w  # another fit makes other arrays


WAYS = {
    "pickle": lambda e: pickle.loads(pickle.dumps(e)),
    "joblib": lambda e: joblib.load(_dumped(e)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
}


def _dumped(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return file


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_copies_go_on_as_the_original_would(way, name, solver):
    """Weights, moments and, with early stopping, what scikit-learn has become of the best."""
    X, y = problem(name)
    first = {"classes": [0, 1, 2]} if name == "MLPClassifier" else {}
    p = {"solver": solver, "random_state": 0, "batch_size": 30}
    mine, theirs = getattr(mlpfast, name)(**p), getattr(neural_network, name)(**p)
    for estimator in (mine, theirs):
        estimator.partial_fit(X, y, **first)
    twin = WAYS[way](mine)
    np.testing.assert_array_equal(twin.predict(X), mine.predict(X))
    theirs = WAYS[way](theirs) if way != "copy" else theirs
    for _ in range(3):
        twin.partial_fit(X, y)
        theirs.partial_fit(X, y)
    assert_same_weights(theirs, twin)
    if way != "copy":
        assert np.abs(mine.coefs_[0] - twin.coefs_[0]).max() > 1e-4


def test_a_warm_start_with_early_stopping_after_pickling():
    X, y = problem("MLPRegressor")
    p = {"early_stopping": True, "warm_start": True, "tol": 0.5, "learning_rate_init": 0.05}
    results = []
    for package in (neural_network, mlpfast):
        estimator = package.MLPRegressor(random_state=0, max_iter=40, **p).fit(X, y)
        results.append(pickle.loads(pickle.dumps(estimator)).fit(X, y))
    assert_same_weights(*results)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("attribute", ["learning_rate", "learning_rate_init"])
def test_a_rate_that_is_set_between_partial_fits(solver, attribute):
    """There is no other way to change it, so programs do."""
    X, y = problem("MLPRegressor")
    made = []
    for package in (neural_network, mlpfast):
        regr = package.MLPRegressor(solver=solver, random_state=0)
        for rate in (None, 0.05, 0.01):
            if rate is not None:
                setattr(regr._optimizer, attribute, rate)
            regr.partial_fit(X, y)
        made.append(regr)
    assert_same_weights(*made)
    assert made[1]._optimizer.learning_rate == pytest.approx(made[0]._optimizer.learning_rate)


def test_optimizer_state_is_what_it_says():
    X, y = problem("MLPRegressor")
    for solver, names in (("sgd", ["velocities"]), ("adam", ["ms", "vs"])):
        theirs, mine = both("MLPRegressor", X, y, solver=solver, max_iter=7, batch_size=32)
        again = pickle.loads(pickle.dumps(mine))
        for ours in (mine._optimizer, again._optimizer):
            assert ours.learning_rate == pytest.approx(theirs._optimizer.learning_rate)
            for name in names:
                expected = getattr(theirs._optimizer, name)
                for a, b in zip(expected, getattr(ours, name), strict=True):
                    np.testing.assert_allclose(b, a, rtol=1e-7, atol=1e-12)
        if solver == "adam":
            assert mine._optimizer.t == theirs._optimizer.t


# ---------------------------------------------------------------------------- numbers


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", [(100,), (150, 90)])
def test_larger_nets_on_any_number_of_threads(threads, shape):
    X, y = load_digits(return_X_y=True)
    X, y = X[:901], y[:901]
    mine = MLPClassifier(shape, random_state=0, max_iter=31, n_threads=threads).fit(X, y)
    theirs = _digits(shape)
    assert_same_weights(theirs, mine, 1e-8)
    np.testing.assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    np.testing.assert_array_equal(mine.predict(X), theirs.predict(X))


_KEPT = {}


def _digits(shape):
    if shape not in _KEPT:
        X, y = load_digits(return_X_y=True)
        clf = neural_network.MLPClassifier(shape, random_state=0, max_iter=31)
        _KEPT[shape] = clf.fit(X[:901], y[:901])
    return _KEPT[shape]


@pytest.mark.parametrize("name", NAMES)
def test_every_backend(name, backend):
    X, y = problem(name)
    weight = np.random.default_rng(0).random(len(X))
    for p in ({"solver": "sgd", "learning_rate": "invscaling"}, {}, {"solver": "lbfgs"}):
        theirs = getattr(neural_network, name)(random_state=0, max_iter=31, batch_size=50, **p)
        mine = getattr(mlpfast, name)(
            random_state=0, max_iter=31, batch_size=50, backend=backend, **p
        )
        assert_same_weights(theirs.fit(X, y, weight), mine.fit(X, y, weight), 1e-6)
        assert mine._weights.net.backend == backend.partition(":")[0]
        np.testing.assert_allclose(mine.predict(X), theirs.predict(X), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_float32_is_as_near_as_it_can_be(name):
    X, y = problem(name)
    theirs, mine = both(name, X.astype(np.float32), y, max_iter=31)
    np.testing.assert_allclose(mine.loss_curve_, theirs.loss_curve_, rtol=1e-3)
    assert mine.coefs_[0].dtype == np.float32


def test_scores_of_early_stopping():
    rng = np.random.default_rng(0)
    from sklearn.metrics import accuracy_score, r2_score

    for weight in (None, rng.random(40)):
        y, p = rng.standard_normal((2, 40, 3))
        y[:, 1] = 2.0
        p[:, 2] = y[:, 2]
        expected = r2_score(y, p, sample_weight=weight)
        assert _scores.r2(y, p, weight) == pytest.approx(expected, rel=1e-12)
        assert np.isnan(_scores.r2(y, p * np.nan, weight))
        labels, outputs = rng.integers(0, 3, 40), rng.random((40, 3))
        expected = accuracy_score(labels, outputs.argmax(1), sample_weight=weight)
        assert _scores.accuracy(labels, outputs, weight) == expected
        marks = rng.random((40, 3)) > 0.5
        expected = accuracy_score(marks, outputs > 0.5, sample_weight=weight)
        assert _scores.accuracy(marks, outputs, weight) == expected


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_batch_without_weight(batch_size):
    X, y = IRIS
    weight = np.zeros(len(X))
    weight[::3] = 1.0
    for package in (neural_network, mlpfast):
        clf = package.MLPClassifier(batch_size=batch_size, random_state=0, max_iter=5)
        with pytest.raises(ZeroDivisionError, match="Weights sum to zero, can't be normalized"):
            clf.fit(X, y, sample_weight=weight)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
@pytest.mark.parametrize("backend", ["numpy", pytest.param("numba", marks=pytest.mark.slow), "cpp"])
def test_weights_that_add_up_to_less_than_nothing(solver, backend):
    """They make no sense, but scikit-learn divides by their sum whatever its sign."""
    X, y = problem("MLPClassifier")
    weight = np.random.default_rng(0).random(len(X)) - 0.7
    p = {"solver": solver, "random_state": 0, "max_iter": 10}
    theirs = neural_network.MLPClassifier(**p).fit(X, y, weight)
    mine = MLPClassifier(backend=backend, **p).fit(X, y, weight)
    assert mine.loss_ == pytest.approx(theirs.loss_, rel=1e-6)
    assert_same_weights(theirs, mine, 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_lbfgs_where_the_outputs_saturate(seed):
    """On data that are not scaled: the loss has few digits there, and the search goes by them."""
    X, y = load_breast_cancer(return_X_y=True)
    theirs, mine = both("MLPClassifier", X, y, solver="lbfgs", random_state=seed)
    assert mine.n_iter_ == theirs.n_iter_
    assert mine.loss_ == pytest.approx(theirs.loss_, rel=1e-6)
    assert_same_weights(theirs, mine, 1e-6)


def test_divergence_goes_the_same_way():
    X, y = problem("MLPRegressor")
    p = {"solver": "sgd", "learning_rate_init": 10.0, "activation": "identity", "max_iter": 9}
    for package in (neural_network, mlpfast):
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            regr = package.MLPRegressor(random_state=0, **p)
            with pytest.raises(ValueError, match="Solver produced non-finite parameter weights"):
                regr.fit(X * 100, y)
            assert regr.n_iter_ == 9
            kept = package.MLPRegressor(random_state=0, early_stopping=True, **p)
            kept.fit(X * 100, y)
            assert np.isfinite(kept.coefs_[0]).all()


# ---------------------------------------------------------------------------- at work


def test_verbose_prints_what_scikit_learn_prints(capsys):
    X, y = problem("MLPClassifier")
    p = {"solver": "sgd", "learning_rate": "adaptive", "verbose": True, "early_stopping": True}
    p |= {"tol": 0.5, "n_iter_no_change": 2, "max_iter": 200, "random_state": 0}
    neural_network.MLPClassifier(**p).fit(X, y)
    expected = capsys.readouterr().out
    MLPClassifier(**p).fit(X, y)
    assert capsys.readouterr().out == expected
    assert "Setting learning rate to" in expected
    assert "Learning rate too small. Stopping." in expected


@pytest.mark.skipif(sys.platform == "win32", reason="signals are other there")
def test_ctrl_c_keeps_what_has_been_reached():
    X, y = problem("MLPRegressor", 400)
    regr = MLPRegressor(
        "squared_error", (100, 100), max_iter=100_000, tol=0, n_iter_no_change=np.inf
    )
    timer = threading.Timer(0.7, lambda: signal.raise_signal(signal.SIGINT))
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        pytest.skip("SIGINT is not handled by Python here")
    timer.start()
    with pytest.warns(UserWarning, match="Training interrupted by user."):
        regr.fit(X, y)
    timer.join()
    assert 0 < regr.n_iter_ < 100_000
    assert len(regr.loss_curve_) == regr.n_iter_
    assert regr.predict(X).shape == y.shape


def test_warnings_have_the_kind_and_words():
    X, y = IRIS
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached and the"):
        MLPClassifier(max_iter=2).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge after 2 iteration"):
        MLPClassifier(max_iter=2, solver="lbfgs").fit(X, y)
    with pytest.warns(UserWarning, match="Got `batch_size` less than 1 or larger than sample"):
        MLPClassifier(batch_size=1000, max_iter=2).fit(X, y)


def test_in_pipelines_searches_and_workers():
    X, y = IRIS
    pipe = make_pipeline(StandardScaler(), MLPClassifier(max_iter=60, random_state=0))
    theirs = make_pipeline(
        StandardScaler(), neural_network.MLPClassifier(max_iter=60, random_state=0)
    )
    expected = cross_val_score(theirs, X, y, cv=3)
    np.testing.assert_array_equal(cross_val_score(pipe, X, y, cv=3), expected)
    grid = {"mlpclassifier__alpha": [1e-4, 1.0], "mlpclassifier__hidden_layer_sizes": [(5,), (20,)]}
    one = GridSearchCV(pipe, grid, cv=3).fit(X, y)
    two = GridSearchCV(pipe, grid, cv=3, n_jobs=2).fit(X, y)
    np.testing.assert_array_equal(
        one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"]
    )
    with joblib.parallel_backend("threading", n_jobs=2):
        three = GridSearchCV(pipe, grid, cv=3).fit(X, y)
    np.testing.assert_array_equal(
        one.cv_results_["mean_test_score"], three.cv_results_["mean_test_score"]
    )
