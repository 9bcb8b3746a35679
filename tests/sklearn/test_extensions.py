"""What the estimators have beyond scikit-learn's, and the ways to and from those."""

import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7")

from scipy import sparse
from sklearn import neural_network
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_classification, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import mlpfast
from mlpfast.backends import threads
from mlpfast.sklearn import (
    LossCurveDisplay,
    MLPClassifier,
    MLPRegressor,
    patch_sklearn,
    unpatch_sklearn,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS = load_iris(return_X_y=True)


def regression(n=200, columns=5):
    X, y = make_regression(n, columns, noise=3.0, random_state=0)
    return X, y / y.std()


def assert_same(one, other, rtol=1e-10):
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_allclose(b, a, rtol=rtol, atol=rtol * np.abs(a).max())


class Narrow(MLPClassifier):
    """A subclass with parameters of its own, as programs write them."""

    def __init__(self, alpha=0.1, unit=4):
        super().__init__((unit,), alpha=alpha, max_iter=5, random_state=0)
        self.unit = unit


# ---------------------------------------------------------------------------- parameters


def test_subclasses_with_their_own_parameters():
    X, y = IRIS
    clf = Narrow(alpha=2.0, unit=3).fit(X, y)
    assert clf.get_params() == {"alpha": 2.0, "unit": 3}
    assert [c.shape for c in clf.coefs_] == [(4, 3), (3, 3)]
    assert repr(clone(clf)) == "Narrow(alpha=2.0, unit=3)"
    plain = MLPClassifier((3,), alpha=2.0, max_iter=5, random_state=0).fit(X, y)
    assert_same(plain, pickle.loads(pickle.dumps(clf)))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 7.0}, {1: 0.0}])
def test_class_weights_are_sample_weights(class_weight, solver):
    from sklearn.utils import compute_sample_weight

    X, y = make_classification(300, weights=[0.9], random_state=0)
    own = np.random.default_rng(0).random(len(y))
    p = {"random_state": 0, "max_iter": 20, "solver": solver}
    factor = compute_sample_weight(class_weight, y)
    weighted = MLPClassifier(class_weight=class_weight, **p).fit(X, y)
    assert_same(MLPClassifier(**p).fit(X, y, factor), weighted)
    both = MLPClassifier(class_weight=class_weight, **p).fit(X, y, own)
    assert_same(MLPClassifier(**p).fit(X, y, own * factor), both)
    assert np.abs(weighted.coefs_[0] - MLPClassifier(**p).fit(X, y).coefs_[0]).max() > 1e-3


def test_class_weights_of_labels_and_parts():
    y = (np.random.default_rng(0).random((60, 3)) > 0.7).astype(int)
    X = np.random.default_rng(1).standard_normal((60, 4))
    MLPClassifier(class_weight="balanced", max_iter=3).fit(X, y)
    clf = MLPClassifier(class_weight={0: 2.0}, random_state=0)
    clf.partial_fit(*IRIS, classes=[0, 1, 2])
    expected = MLPClassifier(random_state=0)
    weight = np.where(IRIS[1] == 0, 2.0, 1.0)
    assert_same(expected.partial_fit(*IRIS, weight, classes=[0, 1, 2]), clf)
    with pytest.raises(ValueError, match="class_weight='balanced' needs all of the data at once"):
        MLPClassifier(class_weight="balanced").partial_fit(*IRIS, classes=[0, 1, 2])


def test_class_weights_of_several_labels():
    from sklearn.utils import compute_sample_weight

    X, y = IRIS
    labels = np.eye(3, dtype=int)[y][:, :2]
    p = {"random_state": 0, "max_iter": 20}
    factors = [{0: 1.0, 1: 3.0}, {0: 1.0, 1: 5.0}]
    weighted = MLPClassifier(class_weight=factors, **p).fit(X, labels)
    assert_same(MLPClassifier(**p).fit(X, labels, compute_sample_weight(factors, labels)), weighted)
    with pytest.raises(ValueError, match="class_weight must be finite, got {0: nan}"):
        MLPClassifier(class_weight={0: np.nan}).fit(X, y)
    with pytest.raises(ValueError, match="number of elements in class_weight"):
        MLPClassifier(class_weight=factors[:1], **p).fit(X, labels)


def test_early_stopping_scores_without_class_weights():
    X, y = make_classification(300, weights=[0.9], random_state=0)
    clf = MLPClassifier(class_weight={0: 0.0}, early_stopping=True, max_iter=200, random_state=0)
    clf.set_params(n_iter_no_change=np.inf).fit(X, y)
    # Everything is called 1, which a tenth is.
    assert clf.validation_scores_[-1] == pytest.approx((y == 1).mean(), abs=0.05)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_rows_held_out_by_the_user(kind):
    X, y = load_digits(return_X_y=True)
    X_val, y_val = X[600:900], y[600:900]
    given = sparse.csr_array(X_val) if kind == "sparse" else X_val
    p = {"random_state": 0, "max_iter": 40, "tol": 1e-2, "n_iter_no_change": 3}
    clf = MLPClassifier(early_stopping=True, **p).fit(X[:600], y[:600], X_val=given, y_val=y_val)
    assert len(clf.validation_scores_) == clf.n_iter_ < 40
    assert clf.best_validation_score_ == max(clf.validation_scores_)
    assert clf.score(X_val, y_val) == pytest.approx(clf.best_validation_score_)
    watched = MLPClassifier(**p).fit(X[:600], y[:600], X_val=given, y_val=y_val)
    plain = MLPClassifier(**p).fit(X[:600], y[:600])
    assert_same(plain, watched)  # all of X is learned, and the loss says when to stop
    assert len(watched.validation_scores_) == watched.n_iter_ == plain.n_iter_
    assert plain.validation_scores_ is None
    assert watched.validation_scores_[-1] == pytest.approx(watched.score(X_val, y_val))


def test_bad_rows_held_out():
    X, y = IRIS
    with pytest.raises(ValueError, match="X_val and y_val must be given together"):
        MLPClassifier().fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="y_val has classes that y has not: \\[7\\]"):
        MLPClassifier().fit(X, y, X_val=X[:2], y_val=[0, 7])
    with pytest.raises(ValueError, match="X has 3 features, but MLPClassifier is expecting 4"):
        MLPClassifier().fit(X, y, X_val=X[:2, :3], y_val=[0, 1])


def test_dropout():
    X, y = regression()
    p = {"hidden_layer_sizes": (40, 30), "max_iter": 60, "random_state": 0}
    plain = MLPRegressor(**p).fit(X, y)
    for rates in (0.3, [0.3, 0.3]):
        first = MLPRegressor(dropout=rates, **p).fit(X, y)
        assert_same(first, MLPRegressor(dropout=0.3, **p).fit(X, y), 0)
        assert first.loss_ > 1.5 * plain.loss_
        assert first.score(X, y) > 0.5
    assert_same(plain, MLPRegressor(dropout=[0, 0], **p).fit(X, y), 0)
    assert not np.allclose(
        MLPRegressor(dropout=[0.3, 0], **p).fit(X, y).coefs_[0], first.coefs_[0], rtol=1e-3
    )


def test_dropout_differs_in_every_piece_of_sparse_rows(monkeypatch):
    from mlpfast.sklearn import _rows

    X = np.tile(regression(20)[0], (4, 1))
    y = np.tile(regression(20)[1], 4)
    p = {"dropout": 0.5, "batch_size": 20, "shuffle": False, "solver": "sgd", "max_iter": 1}
    runs = []
    run = _rows.Rows.train

    def watched(self, trainer, *args, **modes):
        inner = trainer.run

        class Watch:
            def run(self, data, epochs, options):
                runs.append(epochs.dropout_keys)
                return inner(data, epochs, options)

        return run(self, Watch(), *args, **modes)

    monkeypatch.setattr(_rows.Rows, "train", watched)
    monkeypatch.setattr(_rows, "DENSE_BYTES", 20 * 5 * 8)
    MLPRegressor(random_state=0, **p).fit(sparse.csr_array(X), y)
    assert len({int(keys[0]) for keys in runs}) == 4


def test_activations_by_layer():
    X, y = regression()
    p = {"hidden_layer_sizes": (9, 7), "max_iter": 30, "random_state": 0}
    one = MLPRegressor(activation="tanh", **p).fit(X, y)
    assert_same(one, MLPRegressor(activation=["tanh", "tanh"], **p).fit(X, y), 0)
    mixed = MLPRegressor(activation=("logistic", "silu"), **p).fit(X, y)
    a = 1 / (1 + np.exp(-(X @ mixed.coefs_[0] + mixed.intercepts_[0])))
    z = a @ mixed.coefs_[1] + mixed.intercepts_[1]
    expected = z / (1 + np.exp(-z)) @ mixed.coefs_[2] + mixed.intercepts_[2]
    np.testing.assert_allclose(mixed.predict(X), expected[:, 0], rtol=1e-9)
    # Glorot's bound with 2 for the logistic layer, with 6 for those after it.
    rng = np.random.RandomState(0)
    start = MLPRegressor(activation=("logistic", "silu"), **{**p, "max_iter": 1, "alpha": 0})
    start.set_params(learning_rate_init=1e-300).fit(X, y)
    for factor, w, b in zip((2, 6, 6), start.coefs_, start.intercepts_, strict=True):
        bound = np.sqrt(factor / sum(w.shape))
        np.testing.assert_array_equal(w, rng.uniform(-bound, bound, w.shape))
        np.testing.assert_array_equal(b, rng.uniform(-bound, bound, b.shape))
    for name in ("leaky_relu", "elu", "softplus", "gelu", "sigmoid"):
        MLPRegressor(activation=name, **p).fit(X, y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_losses_of_a_regression(solver):
    """With one constant input, the output is the mean, median or quantile of the targets."""
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.exponential(1.0, 399), [500.0]])
    X = np.ones((400, 1))
    p = {"hidden_layer_sizes": (), "alpha": 0, "solver": solver, "tol": 1e-7, "random_state": 0}
    p |= {"max_iter": 3000, "learning_rate": mlpfast.CosineDecay(0.05, 500)}
    if solver == "adam":
        p |= {"max_iter": 500, "n_iter_no_change": np.inf, "batch_size": 400}
    for parameters, expected in (
        ({"loss": "absolute_error"}, np.median(y)),
        ({"loss": "quantile", "quantile": 0.9}, np.quantile(y, 0.9)),
        ({"loss": "quantile", "quantile": 0.1}, np.quantile(y, 0.1)),
    ):
        regr = MLPRegressor(**parameters, **p).fit(X, y)
        assert regr.predict(X[:1])[0] == pytest.approx(expected, abs=0.1)
    squared = MLPRegressor("squared_error", **p).fit(X, y).predict(X[:1])[0]
    huber = MLPRegressor("huber", huber_delta=2.0, **p).fit(X, y)
    error = huber.predict(X[:1])[0] - y
    assert abs(np.clip(error, -2, 2).mean()) < 0.02  # where the loss is least
    assert huber.predict(X[:1])[0] < 1.2
    assert squared > (1.9 if solver == "lbfgs" else huber.predict(X[:1])[0])


def test_loss_is_the_mean_over_outputs_and_the_penalty():
    X = np.random.default_rng(0).standard_normal((50, 3))
    y = np.random.default_rng(1).standard_normal((50, 2))
    p = {"hidden_layer_sizes": (4,), "max_iter": 1, "alpha": 0.5, "random_state": 0}
    for loss in ("absolute_error", "huber", "quantile", "squared_error"):
        regr = MLPRegressor(loss, learning_rate_init=1e-300, batch_size=50, **p).fit(X, y)
        e = regr.predict(X) - y
        rows = {
            "absolute_error": np.abs(e),
            "huber": np.where(np.abs(e) < 1, e * e / 2, np.abs(e) - 0.5),
            "quantile": np.abs(e) / 2,
            "squared_error": e * e / 2,
        }[loss]
        penalty = 0.25 * sum((w**2).sum() for w in regr.coefs_) / 50
        assert regr.loss_ == pytest.approx(rows.mean() + penalty, rel=1e-9)


def test_weight_decay_and_clipping():
    X, y = regression()
    p = {"max_iter": 5, "random_state": 0, "alpha": 0}
    plain = MLPRegressor(**p).fit(X, y)
    decayed = MLPRegressor(weight_decay=20.0, **p).fit(X, y)
    assert np.linalg.norm(decayed.coefs_[0]) < 0.95 * np.linalg.norm(plain.coefs_[0])
    for clip in ({"clip_norm": 1e-3}, {"clip_value": 1e-4}):
        sgd = {"solver": "sgd", "momentum": 0, "learning_rate_init": 1.0, "batch_size": 200}
        one = MLPRegressor(**{**p, **sgd, "max_iter": 1}, **clip).fit(X, y)
        start = MLPRegressor(**{**p, **sgd, "max_iter": 1, "learning_rate_init": 1e-300}).fit(X, y)
        step = np.concatenate(
            [(a - b).ravel() for a, b in zip(one.coefs_ + one.intercepts_,
                                             start.coefs_ + start.intercepts_, strict=True)]
        )  # fmt: skip
        if "clip_norm" in clip:
            assert np.linalg.norm(step) == pytest.approx(1e-3, rel=1e-6)
        else:
            assert np.abs(step).max() == pytest.approx(1e-4, rel=1e-6)


def test_schedules():
    X, y = regression()
    p = {"max_iter": 6, "random_state": 0, "n_iter_no_change": np.inf}
    seen = []

    def rate(epoch):
        seen.append(epoch)
        return 0.01 / (epoch + 1)

    for solver in ("adam", "sgd"):
        regr = MLPRegressor(solver=solver, learning_rate=rate, **p).fit(X, y)
        assert regr._optimizer.rate == pytest.approx(0.01 / 6)
    assert seen == [*range(6), *range(6)]
    constant = MLPRegressor(learning_rate=lambda _: 0.003, **p).fit(X, y)
    assert_same(constant, MLPRegressor(learning_rate_init=0.003, **p).fit(X, y), 0)
    plateau = mlpfast.ReduceOnPlateau(0.01, patience=0, min_delta=1e9, factor=0.5)
    regr = MLPRegressor(learning_rate=plateau, **p).fit(X, y)
    assert regr._optimizer.rate == pytest.approx(0.01 * 0.5**4)
    assert clone(regr).learning_rate is not plateau
    with pytest.raises(ValueError, match="learning_rate must be in"):
        MLPRegressor(learning_rate=lambda _: -1.0).fit(X, y)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("sparse_rows", [False, True])
def test_a_rate_for_each_update(solver, sparse_rows, monkeypatch):
    """Counted over the epochs, and over the pieces of sparse rows."""
    from mlpfast.sklearn import _rows

    X, y = regression(110)
    if sparse_rows:
        monkeypatch.setattr(_rows, "DENSE_BYTES", 2000)
        X = sparse.csr_array(X)
    asked = []

    def rate(update):
        asked.append(update)
        return 0.01 / (1 + update % 4)

    p = {"solver": solver, "max_iter": 3, "batch_size": 30, "random_state": 0}
    regr = MLPRegressor(learning_rate=mlpfast.PerStep(rate), **p).fit(X, y)
    assert asked == list(range(12))
    one = MLPRegressor(learning_rate=mlpfast.PerStep(lambda _: 0.004), **p).fit(X, y)
    assert_same(MLPRegressor(learning_rate=lambda _: 0.004, **p).fit(X, y), one, 0)
    assert np.abs(one.coefs_[0] - regr.coefs_[0]).max() > 1e-5


def test_callbacks():
    X, y = load_digits(return_X_y=True)
    lines = []

    def watch(net, epoch, logs):
        lines.append((epoch, dict(logs), net.params.copy()))
        return epoch == 3

    clf = MLPClassifier(callbacks=[watch], max_iter=9, random_state=0)
    clf.fit(X[:500], y[:500], X_val=X[500:700], y_val=y[500:700])
    assert [epoch for epoch, *_ in lines] == [0, 1, 2, 3]
    assert clf.n_iter_ == 4
    assert [logs["loss"] for _, logs, _ in lines] == clf.loss_curve_
    assert [logs["val_accuracy"] for _, logs, _ in lines] == clf.validation_scores_
    from sklearn.metrics import log_loss

    expected = log_loss(y[500:700], clf.predict_proba(X[500:700]))
    assert lines[-1][1]["val_loss"] == pytest.approx(expected, rel=1e-9)
    np.testing.assert_array_equal(lines[-1][2][: clf.coefs_[0].size], clf.coefs_[0].ravel())


def test_callbacks_of_the_package(tmp_path):
    X, y = regression(300)
    stop = mlpfast.EarlyStopping("val_r2", patience=3)
    log = mlpfast.CSVLogger(tmp_path / "log.csv")
    regr = MLPRegressor(callbacks=[stop, log], learning_rate_init=0.3, random_state=0)
    regr.fit(X[:200], y[:200], X_val=X[200:], y_val=y[200:])
    assert stop.stopped
    assert regr.n_iter_ == stop.best_epoch + 4
    assert regr.score(X[200:], y[200:]) == pytest.approx(max(regr.validation_scores_))
    assert (tmp_path / "log.csv").read_text().splitlines()[0] == "epoch,loss,val_loss,val_r2"
    with pytest.raises(TypeError, match="callbacks must hold mlpfast.Callback instances"):
        MLPRegressor(callbacks=["print"]).fit(X, y)


def test_figures_that_there_will_not_be():
    """It is said before the first epoch."""
    X, y = regression()
    words = "monitor must be one of 'loss', got 'val_loss', which needs early_stopping or X_val"
    plateau = mlpfast.ReduceOnPlateau(0.01, monitor="val_loss")
    for p in ({"callbacks": [mlpfast.EarlyStopping()]}, {"learning_rate": plateau}):
        regr = MLPRegressor(max_iter=2, **p)
        with pytest.raises(ValueError, match=words):
            regr.fit(X, y)
        assert regr.loss_curve_ == []
        regr.fit(X, y, X_val=X, y_val=y)


def test_an_answer_of_numpy_ends_training():
    X, y = regression()

    def answer(net, epoch, logs):
        return np.float64(epoch) >= 2

    assert MLPRegressor(callbacks=[answer], max_iter=9).fit(X, y).n_iter_ == 3
    net = mlpfast.MLP([5, 4, 1], random_state=0)
    assert net.fit(X, y[:, None], epochs=9, callbacks=[answer]).n_epochs == 3


def test_progress(capsys):
    pytest.importorskip("tqdm")
    regr = MLPRegressor(max_iter=3, verbose="progress", random_state=0).fit(*regression())
    out, err = capsys.readouterr()
    assert out == ""
    assert f"loss={regr.loss_:.4f}" in err


def test_dtype():
    X, y = regression()
    p = {"max_iter": 20, "random_state": 0}
    narrow = MLPRegressor(dtype="float32", **p).fit(X, y)
    assert narrow.coefs_[0].dtype == np.float32
    assert narrow.predict(X).dtype == narrow.predict(X[:1]).dtype == np.float32
    np.testing.assert_array_equal(narrow.predict(X[:1]), narrow.predict(X)[:1])
    assert_same(MLPRegressor(**p).fit(X, y), narrow, 1e-3)
    assert_same(MLPRegressor(dtype=np.float32, **p).fit(X, y), narrow, 0)
    wide = MLPRegressor(dtype="float64", **p).fit(X.astype(np.float32), y)
    assert wide.coefs_[0].dtype == np.float64
    with pytest.raises(ValueError, match="Input X contains NaN"):
        narrow.predict(X[:1] * np.nan)
    with pytest.raises(ValueError, match="X contains infinity or a value too large for dtype"):
        MLPRegressor(dtype="float32", **p).fit(np.where(np.arange(200)[:, None] == 3, 1e300, X), y)


def test_numbers_that_are_too_large_for_the_dtype():
    X, y = IRIS
    clf = MLPClassifier(dtype="float32", max_iter=2, random_state=0)
    large = X * 1e39
    for use in (lambda: clf.fit(large, y), lambda: clf.fit(X, y, X_val=large, y_val=y)):
        with pytest.raises(ValueError, match="infinity or a value too large for dtype"):
            use()
    clf.fit(X, y)
    for rows in (large, large[:1], sparse.csr_array(large)):
        with pytest.raises(ValueError, match="infinity or a value too large for dtype"):
            clf.predict(rows)


def test_dtypes_by_any_name():
    X, y = IRIS
    expected = MLPClassifier(dtype="float32", max_iter=2, random_state=0).fit(X, y)
    for dtype in (np.float32, np.dtype("float32")):
        clf = MLPClassifier(dtype=dtype, max_iter=2, random_state=0).fit(X, y)
        assert_same(expected, clf, 0)
    with pytest.raises(ValueError, match="The 'dtype' parameter of MLPClassifier must be"):
        MLPClassifier(dtype=np.dtype("float16")).fit(X, y)


def test_threads(restore_threads):
    X, y = load_digits(return_X_y=True)
    threads.set_num_threads(2)
    seen = []
    watch = [lambda net, epoch, logs: seen.append(threads.num_threads())]
    MLPClassifier(callbacks=watch, max_iter=1, n_threads=1).fit(X, y)
    MLPClassifier(callbacks=watch, max_iter=1).fit(X, y)
    assert seen == [1, 2]
    assert threads.num_threads() == 2


# ---------------------------------------------------------------------------- scikit-learn's own


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_to_scikit_learn_and_back(name, solver):
    X, y = IRIS if name == "MLPClassifier" else regression()
    p = {"solver": solver, "max_iter": 15, "random_state": 0, "activation": "tanh"}
    ours = getattr(mlpfast, name)(n_threads=1, **p).fit(X, y)
    theirs = ours.to_sklearn()
    assert type(theirs) is getattr(neural_network, name)
    assert theirs.get_params() == {k: ours.get_params()[k] for k in theirs.get_params()}
    np.testing.assert_allclose(theirs.predict(X), ours.predict(X), rtol=1e-12)
    assert theirs.score(X, y) == pytest.approx(ours.score(X, y))
    assert not np.shares_memory(theirs.coefs_[0], ours.coefs_[0])
    np.testing.assert_allclose(pickle.loads(pickle.dumps(theirs)).predict(X), ours.predict(X))
    back = getattr(mlpfast, name).from_sklearn(theirs)
    np.testing.assert_array_equal(back.predict(X), ours.predict(X))
    public = {a for a in vars(ours) if a.endswith("_") and not a.startswith("_")}
    assert {a for a in vars(theirs) if a.endswith("_") and not a.startswith("_")} == public
    if solver != "lbfgs":
        assert_same(theirs.partial_fit(X, y), back.partial_fit(X, y))
        warm = back.set_params(warm_start=True, max_iter=3).fit(X, y)
        assert warm.n_iter_ == 3


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_a_warm_start_after_early_stopping_and_conversion(name):
    X, y = IRIS
    p = {"early_stopping": True, "warm_start": True, "max_iter": 8, "random_state": 0}
    theirs = getattr(neural_network, name)(**p).fit(X, y)
    ours = getattr(mlpfast, name)(**p).fit(X, y)
    back, there = getattr(mlpfast, name).from_sklearn(theirs), ours.to_sklearn()
    for estimator in (theirs, ours, back, there):
        estimator.fit(X, y)
        assert_same(theirs, estimator)


def test_conversion_of_subclasses():
    X, y = IRIS
    mine = Narrow(alpha=0.5).fit(X, y)
    theirs = mine.to_sklearn()
    assert type(theirs) is neural_network.MLPClassifier
    assert theirs.alpha == 0.5
    assert theirs.hidden_layer_sizes == (4,)
    np.testing.assert_allclose(theirs.predict_proba(X), mine.predict_proba(X), rtol=1e-12)


def test_conversion_of_what_is_ours_alone():
    X, y = regression()
    robust = MLPRegressor("huber", dtype="float32", learning_rate=lambda _: 0.01, max_iter=5)
    theirs = robust.fit(X.astype(np.float32), y).to_sklearn()
    assert theirs.loss == "squared_error"
    assert theirs.learning_rate == "constant"
    expected = robust.predict(X.astype(np.float32))
    np.testing.assert_allclose(theirs.predict(X.astype(np.float32)), expected, rtol=1e-4)
    for activation in ("sigmoid", ["sigmoid"], ["logistic"]):
        clf = MLPClassifier((4,), activation, max_iter=2, random_state=0).fit(*IRIS)
        assert clf.to_sklearn().activation == "logistic"
    with pytest.raises(ValueError, match="the same for all layers"):
        MLPClassifier((4, 4), ["relu", "tanh"]).to_sklearn()
    with pytest.raises(ValueError, match="activation='gelu' is not among those"):
        MLPRegressor(activation="gelu", max_iter=2).fit(X, y).to_sklearn()
    with pytest.raises(TypeError, match="estimator must be scikit-learn's MLPClassifier"):
        MLPClassifier.from_sklearn(theirs)
    assert not hasattr(MLPClassifier(alpha=3).to_sklearn(), "coefs_")

    class Mine(MLPRegressor):
        pass

    assert type(Mine.from_sklearn(theirs)) is Mine


def test_loss_curve_display():
    pytest.importorskip("matplotlib")
    X, y = load_digits(return_X_y=True)
    clf = MLPClassifier(max_iter=12, early_stopping=True, random_state=0).fit(X, y)
    display = LossCurveDisplay.from_estimator(clf, color="red")
    np.testing.assert_array_equal(display.line_.get_ydata(), clf.loss_curve_)
    np.testing.assert_array_equal(display.score_line_.get_ydata(), clf.validation_scores_)
    assert display.line_.get_color() == "red"
    assert display.ax_.get_ylabel() == "loss"
    assert "accuracy" in display.score_ax_.get_ylabel()
    theirs = neural_network.MLPRegressor(max_iter=1).fit(*regression())
    pipe = make_pipeline(StandardScaler(), theirs)
    pipe[0].fit(X)
    drawn = LossCurveDisplay.from_estimator(pipe, ax=display.ax_, name="theirs")
    assert drawn.ax_ is display.ax_
    assert drawn.score_line_ is None
    assert drawn.line_.get_label() == "theirs: loss"
    p = {"max_iter": 4, "warm_start": True}
    rows = {"X_val": X, "y_val": y}
    for first, second, scored in (({}, rows, range(4, 8)), (rows, {}, range(4))):
        clf = MLPClassifier(**p).fit(X, y, **first).fit(X, y, **second)
        scores = LossCurveDisplay.from_estimator(clf).score_line_.get_ydata()
        np.testing.assert_array_equal(np.flatnonzero(np.isfinite(scores)), scored)
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(MLPClassifier())
    with pytest.raises(ValueError, match="solver='lbfgs'"):
        LossCurveDisplay.from_estimator(MLPClassifier(solver="lbfgs").fit(*IRIS))


# ---------------------------------------------------------------------------- programs


def test_patching():
    before = neural_network.MLPClassifier
    try:
        patch_sklearn()
        patch_sklearn()
        from sklearn.neural_network import MLPClassifier as Patched
        from sklearn.neural_network import MLPRegressor as PatchedToo

        assert Patched is MLPClassifier
        assert PatchedToo is MLPRegressor
        clf = Patched(max_iter=3, random_state=0).fit(*IRIS)
        assert type(clf.to_sklearn()) is before
        old = before(max_iter=3, random_state=0).fit(*IRIS)  # whoever has it may go on with it
        assert type(pickle.loads(pickle.dumps(old))) is before
        assert type(MLPClassifier.from_sklearn(old)) is MLPClassifier
    finally:
        unpatch_sklearn()
    assert neural_network.MLPClassifier is before
    unpatch_sklearn()
    assert neural_network.MLPClassifier is before


PROGRAM = """
import sys
from sklearn.neural_network import MLPClassifier
import beside
if __name__ == "__main__":
    print(MLPClassifier.__module__.split(".")[0], sys.argv[1:], beside.HERE)
    sys.exit(5)
"""


@pytest.mark.slow
def test_running_a_program(tmp_path):
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))
    (tmp_path / "beside.py").write_text("HERE = True\n")
    command = [sys.executable, "-m", "mlpfast.accel"]

    def run(*arguments, cwd=None):
        return subprocess.run(
            [*command, *arguments], capture_output=True, text=True, cwd=cwd, check=False
        )

    done = run(str(tmp_path / "program.py"), "--depth", "3")
    assert done.stdout == "mlpfast ['--depth', '3'] True\n", done.stderr
    assert done.returncode == 5
    done = run("-m", "program", "x", cwd=tmp_path)
    assert done.stdout == "mlpfast ['x'] True\n", done.stderr
    done = run(str(tmp_path / "none.py"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no file" in done.stderr
    assert run().returncode == 2
    assert run("--help").stdout.startswith("usage: python -m mlpfast.accel")
