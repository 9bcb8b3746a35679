"""MLPRegressor: scikit-learn's, trained and run by mlpfast."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils._param_validation import Interval, StrOptions

from mlpfast.backends.base import Array
from mlpfast.sklearn import _convert, _scores
from mlpfast.sklearn._base import BaseMLP
from mlpfast.sklearn._parameters import LOSSES, sklearn_name
from mlpfast.sklearn._warnings import flat_column
from mlpfast.spec import LOSS_RECORDS, Huber, Loss, Quantile


class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """Multilayer perceptron regressor, scikit-learn's ``MLPRegressor`` on mlpfast's engine.

    The same parameters, data and random state give the same numbers as there, to rounding. What
    follows `max_fun` is mlpfast's own, and changes nothing as long as it is left alone; so are the
    losses other than "squared_error" and "poisson".

    Parameters
    ----------
    loss : str, default "squared_error"
        With y of several outputs: "squared_error" half the mean of the squared errors (whose
        gradient is taken as that of half their sum, as scikit-learn does), "poisson" half the sum
        of the deviances (y must be 0 or more, and the output is an exponential); of the others the
        mean: "absolute_error", "huber", "quantile" and every other loss that has a name for
        scikit-learn in `mlpfast.spec.LOSS_RECORDS`.
    hidden_layer_sizes : int or sequence of int, default (100,)
        Units of each hidden layer.
    activation : str or list of str, default "relu"
        Of the hidden layers, one for all or one each: "identity", "logistic" (also called
        "sigmoid"), "tanh", "relu", and mlpfast's own, those of `mlpfast.spec.ACTIVATIONS` that
        have a gradient.
    solver : {"adam", "sgd", "lbfgs"}, default "adam"
        "lbfgs" is SciPy's, on all rows at once; it ignores the parameters for batches, epochs,
        rates, moments, rows held out, dropout, decay, clipping and callbacks.
    alpha : float, default 0.0001
        Factor on half the sum of the squared weights, which is added to the loss of a batch and
        divided by its rows.
    batch_size : int or "auto", default "auto"
        Rows of a batch; "auto" is 200, or all if there are fewer.
    learning_rate : {"constant", "invscaling", "adaptive"} or callable, default "constant"
        "invscaling" divides ``learning_rate_init`` by the number of rows seen so far to the power
        of ``power_t``; "adaptive" divides the rate by 5 where training would stop. Both are for
        "sgd". A function from the epoch (0, 1, ...) to a rate, such as `mlpfast.CosineDecay`, or
        from the update, `mlpfast.PerStep`, is for "adam" as well.
    learning_rate_init : float, default 0.001
        The rate at the start, unless ``learning_rate`` is a function.
    power_t : float, default 0.5
        The power for "invscaling".
    max_iter : int, default 200
        Epochs at most, or iterations of "lbfgs".
    shuffle : bool, default True
        Draw a new order of the rows each epoch.
    random_state : int, RandomState or None, default None
        Where initial weights, rows held out, the order of rows and dropout come from.
    tol : float, default 1e-4
        What counts as an improvement of the loss or the score; the gradient at which "lbfgs" ends.
    verbose : bool, int or "progress", default False
        Print the figures of each epoch, or show a progress bar.
    warm_start : bool, default False
        Let `fit` go on from the weights there are.
    momentum : float in [0, 1], default 0.9
        How much of its velocity "sgd" keeps.
    nesterovs_momentum : bool, default True
        Whether "sgd" looks ahead, by Nesterov's rule.
    early_stopping : bool, default False
        Stop when the score on rows held out, not the loss, has not improved by ``tol`` for
        ``n_iter_no_change`` epochs, and go back to the best weights.
    validation_fraction : float in [0, 1), default 0.1
        Share of the rows held out for that.
    beta_1, beta_2 : float in [0, 1), default 0.9 and 0.999
        How much of its first and second moments "adam" keeps.
    epsilon : float, default 1e-8
        What "adam" adds to the root that it divides by.
    n_iter_no_change : int or inf, default 10
        Epochs without an improvement by ``tol`` that a fit bears; one more ends it.
    max_fun : int, default 15000
        Evaluations of the loss by "lbfgs" at most.
    quantile : float in (0, 1), default 0.5
        That which the "quantile" loss aims at.
    huber_delta : float, default 1
        Error at which the "huber" loss becomes a line.
    dropout : float or list of float in [0, 1), default 0
        Share of the hidden layers' outputs, one for all or one each, that is dropped in training.
    weight_decay : float, default 0
        That of AdamW, for "adam": each step also shrinks all parameters by this times the rate.
    clip_norm, clip_value : float, default None
        Limit of the gradient's Euclidean norm, or of each of its elements.
    dtype : {"float32", "float64"}, default None
        In which to train and predict; None takes that of X. "lbfgs" always takes float64.
    callbacks : list of mlpfast.Callback or functions (net, epoch, logs), default None
        Run after each epoch on the `mlpfast.MLP` inside; the figures are "loss" and, with rows
        held out, "val_loss" and "val_r2".
    n_threads : int, default None
        Threads for this estimator; None takes `mlpfast.get_num_threads`.
    backend : str, default None
        As for `mlpfast.MLP`.

    Attributes
    ----------
    coefs_, intercepts_ : list of arrays
        Weights (n_in, n_out) and biases (n_out,) of each layer.
    n_iter_ : int
        Epochs or iterations of the last fit.
    t_ : int
        Rows that have been trained on, each as often as it was; 0 with "lbfgs".
    n_layers_, n_outputs_, n_features_in_ : int
        Layers, inputs and outputs among them; outputs; inputs.
    out_activation_ : str
        Activation of the output layer: "exp" with the Poisson loss, else "identity".
    loss_ : float
        Of the last epoch, with the term of ``alpha``.
    loss_curve_ : list of float
        The same of every epoch; not with "lbfgs", as what follows.
    best_loss_ : float or None
        The least of them; None with early stopping.
    validation_scores_, best_validation_score_ : list of float and float, or None
        R squared on the rows held out after each epoch, and the best; None if there are none.
    feature_names_in_ : (n_features,) array
        Names of the columns, if X had names that are strings.

    See Also
    --------
    MLPClassifier : The same for classes and labels.
    mlpfast.MLP : The net itself, with more losses, outputs and optimizers.
    LossCurveDisplay : Draws ``loss_curve_``.

    Notes
    -----
    `coefs_` and `intercepts_` are views of one flat array, into which the fit writes. Weights,
    losses and predictions are bitwise the same for any number of threads.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> from mlpfast import MLPRegressor
    >>> X, y = make_regression(n_samples=200, n_features=10, random_state=1)
    >>> regr = MLPRegressor(max_iter=2000, tol=0.1, random_state=1).fit(X, y)
    >>> regr.score(X, y) > 0.9
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions(set(LOSSES))],
        "quantile": [Interval(Real, 0, 1, closed="neither")],
        "huber_delta": [Interval(Real, 0, None, closed="neither")],
    }
    _score_name = "r2"
    _y_numeric = True

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        quantile: float = 0.5,
        huber_delta: float = 1.0,
        dropout: Any = 0.0,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        dtype: Any = None,
        callbacks: Any = None,
        n_threads: int | None = None,
        backend: str | None = None,
    ) -> None:
        self._keep(locals())

    # ------------------------------------------------------------------ fitting

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Train one epoch on the given data, from the weights that there are.

        With "lbfgs" it is a whole fit from these weights, as in scikit-learn, whose regressor
        does not refuse it either.

        Parameters
        ----------
        X : array or CSR or CSC matrix of shape (n_samples, n_features)
            Rows to train on.
        y : array of shape (n_samples,) or (n_samples, n_outputs)
            What is to be predicted.
        sample_weight : array of shape (n_samples,), default None
            What each row counts; None is 1 for all.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            With early stopping, unless the solver is "lbfgs".

        Examples
        --------
        >>> from mlpfast import MLPRegressor
        >>> regr = MLPRegressor(hidden_layer_sizes=(4,), random_state=0)
        >>> for X, y in [([[0.0], [1.0]], [0.0, 0.5]), ([[2.0], [3.0]], [1.0, 1.5])]:
        ...     regr = regr.partial_fit(X, y)
        >>> len(regr.loss_curve_)
        2
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def _validate_targets(self, y: Any, incremental: bool) -> tuple[Array, Array | None]:
        return self._held_out_targets(y), None

    def _held_out_targets(self, y: Any) -> Array:
        return flat_column(y)

    def _output(self) -> str:
        return sklearn_name(LOSS_RECORDS[LOSSES[self.loss]].required_output or "identity")

    def _engine_loss(self, output: str) -> Loss:
        if self.loss == "huber":
            return Huber(float(self.huber_delta))
        if self.loss == "quantile":
            return Quantile(float(self.quantile))
        return LOSSES[self.loss]

    def _loss_factor(self) -> float:
        # scikit-learn reports the mean over outputs, and follows the gradient of their sum.
        return 1 / self.n_outputs_ if self.loss == "squared_error" else 1.0

    def _score(self, wanted: Array, outputs: Array, weight: Array | None) -> float:
        return _scores.r2(wanted, outputs, weight)

    @classmethod
    def from_sklearn(cls, estimator: Any) -> MLPRegressor:
        """Return an estimator with the parameters and weights of scikit-learn's `MLPRegressor`.

        Parameters
        ----------
        estimator : sklearn.neural_network.MLPRegressor
            Fitted or not. Its arrays are copied, its moments are not: training begins anew with
            them.

        Returns
        -------
        MLPRegressor

        Raises
        ------
        TypeError
            If it is something else.

        See Also
        --------
        to_sklearn : The other way.
        """
        return _convert.from_sklearn(cls, estimator)

    # ------------------------------------------------------------------ running

    def predict(self, X: Any) -> Array:
        """Return the predicted numbers.

        Parameters
        ----------
        X : array or CSR or CSC matrix of shape (n_samples, n_features)
            Finite numbers.

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_outputs)

        Raises
        ------
        NotFittedError
            If there has been no fit.
        ValueError
            If X is not such an array.
        """
        outputs = self._outputs(X)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs
