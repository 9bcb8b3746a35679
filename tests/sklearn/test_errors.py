"""What the estimators say of bad input and unfinished fits, beside scikit-learn's own."""

import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.7")

from sklearn import neural_network
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning

import mlpfast
from mlpfast.sklearn import MLPClassifier, MLPRegressor

X, Y = load_iris(return_X_y=True)
NAMES = ["MLPClassifier", "MLPRegressor"]


def warnings_of(action):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action()
    return [(w.category, str(w.message)) for w in caught]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_filter_for_scikit_learn_is_for_ours_as_well(solver):
    """Many programs silence what comes from the module "sklearn", and scikit-learn's examples."""

    def fit(package):
        clf = package.MLPClassifier(solver=solver, max_iter=True, batch_size=1000, random_state=0)
        clf.fit(X, Y[:, None])

    heard = warnings_of(lambda: fit(mlpfast))
    assert heard == warnings_of(lambda: fit(neural_network))
    kinds = {kind for kind, _ in heard}
    assert {ConvergenceWarning, DataConversionWarning} <= kinds
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module="sklearn")
        fit(mlpfast)


@pytest.mark.parametrize("sizes", [(3.0,), (5, 2.5), True, (True,)])
def test_sizes_that_are_no_integers(sizes):
    for package in (neural_network, mlpfast):
        clf = package.MLPClassifier(sizes)
        with pytest.raises(TypeError):
            clf.fit(X, Y)
    with pytest.raises(TypeError, match=r"hidden_layer_sizes\[[01]\] must be an integer, got"):
        clf.fit(X, Y)
    assert not hasattr(clf, "coefs_")


@pytest.mark.parametrize("activation", [["step"], ["relux"], [1]])
def test_activations_that_cannot_be_trained(activation):
    with pytest.raises((ValueError, TypeError), match=r"activation\[0\] must be"):
        MLPClassifier((5,), activation).fit(X, Y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("name", NAMES)
def test_targets_of_another_width(name, solver):
    """Each would be read past its end, or as rows of another length."""
    one = Y % 2
    two = np.stack([one, 1 - one], axis=1)
    for before, after in ((one, two), (two, one)):
        p = {"warm_start": True, "max_iter": 3, "solver": solver, "random_state": 0}
        estimator = getattr(mlpfast, name)(**p)
        estimator.fit(X, before)
        first = [c.copy() for c in estimator.coefs_]
        with pytest.raises(ValueError, match="as many outputs as|multilabel"):
            estimator.fit(X, after)
        for a, b in zip(first, estimator.coefs_, strict=True):
            np.testing.assert_array_equal(a, b)
        assert estimator.predict(X).shape == before.shape


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_held_out_targets_of_another_width():
    y = X[:, 0]
    with pytest.raises(ValueError, match=r"y_val must have as many outputs as y \(1\), got 2"):
        MLPRegressor().fit(X, y, X_val=X, y_val=np.stack([y, y], axis=1))
    with pytest.raises(ValueError, match=r"y_val must have as many outputs as y \(2\), got 1"):
        MLPRegressor().fit(X, np.stack([y, y], axis=1), X_val=X, y_val=y)
    labels = np.eye(3, dtype=int)[Y]
    with pytest.raises(ValueError, match="outputs|classes|multilabel"):
        MLPClassifier().fit(X, labels, X_val=X, y_val=labels[:, :2])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", NAMES)
def test_another_number_of_layers(name):
    estimator = getattr(mlpfast, name)(hidden_layer_sizes=(5,), max_iter=2, warm_start=True)
    estimator.fit(X, Y)
    estimator.set_params(hidden_layer_sizes=(5, 5))
    for method in (estimator.fit, estimator.partial_fit):
        with pytest.raises(ValueError, match=r"as many layers as the weights .* \(1\), got 2"):
            method(X, Y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_negative_targets_of_poisson():
    """scikit-learn trains, and calls the loss NaN."""
    y = X[:, 0] - X[:, 0].mean()
    for solver in ("adam", "lbfgs"):
        p = {"loss": "poisson", "solver": solver, "max_iter": 4, "random_state": 0}
        with np.errstate(all="ignore"):
            theirs = neural_network.MLPRegressor(**p).fit(X, y)
        for backend in ("numpy", "numba", "cpp"):
            mine = MLPRegressor(backend=backend, **p).fit(X, y)
            assert np.isnan(mine.loss_)
            assert np.isnan(theirs.loss_)
            assert mine.n_iter_ == theirs.n_iter_
            np.testing.assert_allclose(mine.coefs_[0], theirs.coefs_[0], rtol=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", NAMES)
def test_partial_fit_with_lbfgs(name):
    """scikit-learn's regressor has it, though it says otherwise."""
    theirs, mine = (
        getattr(package, name)(solver="lbfgs", max_iter=9, random_state=0)
        for package in (neural_network, mlpfast)
    )
    assert hasattr(mine, "partial_fit") == hasattr(theirs, "partial_fit")
    if hasattr(theirs, "partial_fit"):
        for _ in range(2):
            theirs.partial_fit(X, X[:, 0])
            mine.partial_fit(X, X[:, 0])
        assert mine.loss_ == pytest.approx(theirs.loss_, rel=1e-6)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_losses_are_numbers_of_numpy(solver):
    """So ``clf.loss_.round(3)`` works as it does with scikit-learn."""
    for package in (neural_network, mlpfast):
        clf = package.MLPClassifier(solver=solver, max_iter=2, random_state=0).fit(X, Y)
        assert type(clf.loss_) is np.float64
        if solver == "adam":
            assert type(clf.loss_curve_[0]) is type(clf.best_loss_) is np.float64
