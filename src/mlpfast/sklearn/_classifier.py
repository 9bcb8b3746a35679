"""MLPClassifier: scikit-learn's, trained and run by mlpfast."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import _check_partial_fit_first_call, type_of_target, unique_labels

from mlpfast.backends.base import Array
from mlpfast.sklearn import _convert, _scores
from mlpfast.sklearn._base import BaseMLP
from mlpfast.sklearn._warnings import flat_column
from mlpfast.spec import Loss


class MLPClassifier(ClassifierMixin, BaseMLP):  # type: ignore[misc]
    """Multilayer perceptron classifier, scikit-learn's ``MLPClassifier`` on mlpfast's engine.

    The same parameters, data and random state give the same numbers as there, to rounding. What
    follows `max_fun` is mlpfast's own, and changes nothing as long as it is left alone.

    Parameters
    ----------
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
    class_weight : dict, list of dict, "balanced" or None, default None
        Factor on the rows of each class; "balanced" makes the classes weigh the same, and is not
        for `partial_fit`, which does not have all rows. With several labels a list has a dict for
        each, and the factors of a row are multiplied.
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
        held out, "val_loss" and "val_accuracy".
    n_threads : int, default None
        Threads for this estimator; None takes `mlpfast.get_num_threads`.
    backend : str, default None
        As for `mlpfast.MLP`.

    Attributes
    ----------
    classes_ : (n_classes,) array
        Labels of the classes, in the order of the outputs.
    coefs_, intercepts_ : list of arrays
        Weights (n_in, n_out) and biases (n_out,) of each layer.
    n_iter_ : int
        Epochs or iterations of the last fit.
    t_ : int
        Rows that have been trained on, each as often as it was; 0 with "lbfgs".
    n_layers_, n_outputs_, n_features_in_ : int
        Layers, inputs and outputs among them; outputs; inputs.
    out_activation_ : str
        Activation of the output layer: "softmax" of several classes, else "logistic".
    loss_ : float
        Of the last epoch, with the term of ``alpha``.
    loss_curve_ : list of float
        The same of every epoch; not with "lbfgs", as what follows.
    best_loss_ : float or None
        The least of them; None with early stopping.
    validation_scores_, best_validation_score_ : list of float and float, or None
        Accuracy on the rows held out after each epoch, and the best; None if there are none.
    feature_names_in_ : (n_features,) array
        Names of the columns, if X had names that are strings.

    See Also
    --------
    MLPRegressor : The same for numbers.
    mlpfast.MLP : The net itself, with more losses, outputs and optimizers.
    LossCurveDisplay : Draws ``loss_curve_``.

    Notes
    -----
    `coefs_` and `intercepts_` are views of one flat array, into which the fit writes. Weights,
    losses and predictions are bitwise the same for any number of threads.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from mlpfast import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = MLPClassifier(max_iter=1000, random_state=0).fit(X, y)
    >>> clf.score(X, y) > 0.95
    True
    >>> clf.predict_proba(X[:1]).argmax()
    np.int64(0)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **BaseMLP._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }
    _score_name = "accuracy"
    _y_numeric = False

    #: As scikit-learn's has it, though it is no parameter.
    loss = "log_loss"

    def __init__(
        self,
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
        class_weight: Any = None,
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

    @available_if(lambda estimator: estimator._check_solver())  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
        """Train one epoch on the given data, from the weights that there are.

        Parameters
        ----------
        X : array or CSR or CSC matrix of shape (n_samples, n_features)
            Rows to train on.
        y : array of shape (n_samples,) or (n_samples, n_classes)
            Their classes, or which labels apply.
        sample_weight : array of shape (n_samples,), default None
            What each row counts; None is 1 for all.
        classes : array of shape (n_classes,), default None
            All classes there will ever be. Wanted by the first call.

        Returns
        -------
        self

        Raises
        ------
        AttributeError
            If the solver is "lbfgs".
        ValueError
            If the first call has no classes or a later one brings others, or with early stopping
            or balanced classes.

        Examples
        --------
        >>> from mlpfast import MLPClassifier
        >>> clf = MLPClassifier((4,), random_state=0)
        >>> for X, y in [([[0.0], [1.0]], [0, 1]), ([[2.0], [3.0]], [1, 2])]:
        ...     clf = clf.partial_fit(X, y, classes=[0, 1, 2])
        >>> clf.classes_
        array([0, 1, 2])
        >>> int(clf.t_)
        4
        """
        if _check_partial_fit_first_call(self, classes):
            self._label_binarizer = LabelBinarizer()
            multilabel = type_of_target(y).startswith("multilabel")
            self._label_binarizer.fit(y if multilabel else classes)
        return self._fit(X, y, sample_weight, incremental=True)

    def _validate_targets(self, y: Any, incremental: bool) -> tuple[Array, Array | None]:
        y = flat_column(y)
        if incremental and self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all of the data at once, and partial_fit does not "
                "have them. Give a dict, as sklearn.utils.compute_class_weight can make it."
            )
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = classes = self._label_binarizer.classes_
            known = y.ndim == 1 and len(classes) > 1
        else:
            self._check_classes(unique_labels(y))
            known = False
        weight = None
        if self.class_weight is not None:
            weight = compute_sample_weight(self.class_weight, y)
            if not np.isfinite(weight).all():
                raise ValueError(f"class_weight must be finite, got {self.class_weight}")
        if known:  # `transform` would give the same, after having checked all of y once more
            return y[:, None] == (classes if len(classes) > 2 else classes[1:]), weight
        return self._label_binarizer.transform(y).astype(bool), weight

    def _held_out_targets(self, y: Any) -> Array:
        y = flat_column(y)
        unknown = np.setdiff1d(unique_labels(y), self.classes_)
        if len(unknown):
            raise ValueError(f"y_val has classes that y has not: {unknown}.")
        return self._label_binarizer.transform(y).astype(bool)

    def _check_classes(self, classes: Array) -> None:
        """Raise if a warm start or a partial fit brings classes that it must not."""
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same "
                    "classes as in the previous call to fit. Previously "
                    f"got {self.classes_}, `y` has {classes}"
                )
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                "`y` has classes not in `self.classes_`. "
                f"`self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _output(self) -> str:
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _engine_loss(self, output: str) -> Loss:
        return "log_loss" if output == "softmax" else "binary_log_loss"

    def _engine_targets(self, y: Array) -> Array:
        return y.argmax(axis=1) if self.out_activation_ == "softmax" else y

    def _score(self, wanted: Array, outputs: Array, weight: Array | None) -> float:
        return _scores.accuracy(wanted, outputs, weight)

    @classmethod
    def from_sklearn(cls, estimator: Any) -> MLPClassifier:
        """Return an estimator with the parameters and weights of scikit-learn's `MLPClassifier`.

        Parameters
        ----------
        estimator : sklearn.neural_network.MLPClassifier
            Fitted or not. Its arrays are copied, its moments are not: training begins anew with
            them.

        Returns
        -------
        MLPClassifier

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
        """Return the most likely class of each row, or whether each label applies.

        Parameters
        ----------
        X : array or CSR or CSC matrix of shape (n_samples, n_features)
            Finite numbers.

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_classes)

        Raises
        ------
        NotFittedError
            If there has been no fit.
        ValueError
            If X is not such an array.
        """
        outputs = self._outputs(X)
        if self.n_outputs_ == 1:
            outputs = outputs.ravel()
        return self._label_binarizer.inverse_transform(outputs)

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class, or that each label applies.

        Parameters
        ----------
        X : array or CSR or CSC matrix of shape (n_samples, n_features)
            Finite numbers.

        Returns
        -------
        (n_samples, n_classes) array
            Columns in the order of `classes_`. The rows add up to 1, but for labels.

        Raises
        ------
        NotFittedError
            If there has been no fit.
        ValueError
            If X is not such an array.
        """
        outputs = self._outputs(X)
        if self.n_outputs_ > 1:
            return outputs
        both = np.empty((len(outputs), 2), outputs.dtype)
        both[:, 1:] = outputs
        np.subtract(1.0, outputs, both[:, :1])
        return both

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithm of `predict_proba`.

        Parameters
        ----------
        X : array or CSR or CSC matrix of shape (n_samples, n_features)
            Finite numbers.

        Returns
        -------
        (n_samples, n_classes) array
            -inf where the probability is 0.
        """
        probabilities = self.predict_proba(X)
        return np.log(probabilities, out=probabilities)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
