"""What classifier and regressor have in common: checks, weights, and the two ways to fit."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from mlpfast.backends.base import Array
from mlpfast.backends.threads import limited_to
from mlpfast.sklearn import _convert, _lbfgs, _stochastic
from mlpfast.sklearn._fitted import holds_best
from mlpfast.sklearn._parameters import COMMON, OWN, bound_factors, engine_name, engine_names
from mlpfast.sklearn._rows import Problem, Rows
from mlpfast.sklearn._weights import Weights
from mlpfast.spec import Loss, NetSpec, check_int

STOCHASTIC_SOLVERS = ("sgd", "adam")


class BaseMLP(BaseEstimator):  # type: ignore[misc]
    """Base of the two estimators; a subclass says what targets, outputs and scores are."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {**COMMON, **OWN}

    def _keep(self, arguments: dict[str, Any]) -> None:
        """Set every parameter to what `__init__` was given, that of a subclass or not."""
        for name, value in arguments.items():
            if name != "self":
                setattr(self, name, value)

    # ------------------------------------------------------------------ what subclasses say

    #: Name of the score in the figures that callbacks see, and whether targets are numbers.
    _score_name: str
    _y_numeric: bool

    def _validate_targets(self, y: Any, incremental: bool) -> tuple[Array, Array | None]:
        """Return targets as `Problem` has them, and the class weight of each row if any."""
        raise NotImplementedError

    def _held_out_targets(self, y: Any) -> Array:
        """Return targets of rows that the user holds out."""
        raise NotImplementedError

    def _output(self) -> str:
        """Return scikit-learn's name of the output activation."""
        raise NotImplementedError

    def _engine_loss(self, output: str) -> Loss:
        """Return the engine's name of the loss for an output activation."""
        raise NotImplementedError

    def _loss_factor(self) -> float:
        """Return by what the engine's loss is to be multiplied to be scikit-learn's."""
        return 1.0

    def _engine_targets(self, y: Array) -> Array:
        """Return targets as `Rows` takes them."""
        return y

    def _score(self, wanted: Array, outputs: Array, weight: Array | None) -> float:
        """Return the score for early stopping; `wanted` are engine targets."""
        raise NotImplementedError

    # ------------------------------------------------------------------ fitting

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> Any:
        """Fit the model to the data.

        Parameters
        ----------
        X : array or CSR or CSC matrix of shape (n_samples, n_features)
            Rows to train on. float32 and float64 are kept, all else becomes float64.
        y : array of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or numbers for a regression.
        sample_weight : array of shape (n_samples,), default None
            What each row counts; None is 1 for all.
        X_val, y_val : arrays, default None
            Rows that are scored after each epoch, into ``validation_scores_``. With
            ``early_stopping=True`` they take the place of those that would be split off X.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter or the data are not as they should be, or if the weights become NaN or
            infinite.
        ZeroDivisionError
            If the weights of a batch add up to 0.

        Warns
        -----
        ConvergenceWarning
            If ``max_iter`` ends the fit.
        """
        return self._fit(X, y, sample_weight, incremental=False, held_out=(X_val, y_val))

    def _fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        *,
        incremental: bool,
        held_out: tuple[Any, Any] = (None, None),
    ) -> Any:
        hidden = self.hidden_layer_sizes
        hidden = list(hidden) if hasattr(hidden, "__iter__") else [hidden]
        if np.any(np.array(hidden) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        for layer, units in enumerate(hidden):
            check_int(f"hidden_layer_sizes[{layer}]", units, 1)
        first_pass = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        problem = self._check_problem(X, y, sample_weight, incremental, first_pass)
        n_outputs = problem.y.shape[1]
        if not first_pass:
            self._check_goes_on(len(hidden), n_outputs)
        validation = self._check_held_out(*held_out, n_outputs)
        self.n_outputs_ = n_outputs
        self._random_state = check_random_state(self.random_state)
        if first_pass:
            self._initialize([problem.x.shape[1], *hidden, n_outputs], problem.x.dtype)
        weights = self._weights_to_train()
        with limited_to(self.n_threads):
            if self.solver == "lbfgs":
                y = self._engine_targets(problem.y)
                rows = Rows(weights.net.spec, problem.x, y, problem.training_weight)
                _lbfgs.fit(self, weights.net, rows)
            else:
                _stochastic.fit(self, weights, problem, validation, incremental)
        if not np.isfinite(weights.net.params).all():
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may"
                " contain large values and need to be preprocessed."
            )
        return self

    def _check_problem(
        self, X: Any, y: Any, sample_weight: Any, incremental: bool, reset: bool
    ) -> Problem:
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=self._y_numeric,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        y, class_weight = self._validate_targets(y, incremental)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        return Problem(X, y.reshape(-1, 1) if y.ndim == 1 else y, sample_weight, class_weight)

    def _check_goes_on(self, n_hidden: int, n_outputs: int) -> None:
        """Raise if the weights there are cannot be trained further."""
        units = [c.shape[1] for c in self.coefs_]
        if len(units) != n_hidden + 1:
            raise ValueError(
                "hidden_layer_sizes must have as many layers as the weights to go on from "
                f"({len(units) - 1}), got {n_hidden}"
            )
        if self.out_activation_ != self._output():
            raise ValueError(
                f"out_activation_ must be {self._output()!r} to go on from the weights there are, "
                f"got {self.out_activation_!r}"
            )
        if units[-1] != n_outputs:
            raise ValueError(
                f"y must have as many outputs as the weights to go on from ({units[-1]}), got "
                f"{n_outputs}"
            )

    def _check_held_out(self, X: Any, y: Any, n_outputs: int) -> Problem | None:
        if X is None and y is None:
            return None
        if X is None or y is None:
            raise ValueError("X_val and y_val must be given together.")
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=self._y_numeric,
            dtype=(np.float64, np.float32),
            reset=False,
        )
        y = self._held_out_targets(y)
        y = y.reshape(-1, 1) if y.ndim == 1 else y
        if y.shape[1] != n_outputs:
            raise ValueError(
                f"y_val must have as many outputs as y ({n_outputs}), got {y.shape[1]}"
            )
        return Problem(X, y, None)

    def _initialize(self, units: list[int], dtype: Any) -> None:
        """Begin anew: random weights and empty records."""
        output = self._output()
        self._spec(units, dtype, output)  # which objects to what is wrong with the parameters
        dtype = dtype if self.dtype is None else self.dtype
        self.n_iter_ = 0
        self.t_ = 0
        self.n_layers_ = len(units)
        self.out_activation_ = output
        self.coefs_: list[Array] = []
        self.intercepts_: list[Array] = []
        draw, factors = self._random_state.uniform, bound_factors(self.activation, len(units) - 1)
        for (n_in, n_out), factor in zip(pairwise(units), factors, strict=True):
            bound = np.sqrt(factor / (n_in + n_out))
            self.coefs_.append(draw(-bound, bound, (n_in, n_out)).astype(dtype, copy=False))
            self.intercepts_.append(draw(-bound, bound, n_out).astype(dtype, copy=False))
        for name in ("_weights", "_best_coefs", "_best_intercepts"):
            self.__dict__.pop(name, None)
        if self.solver in STOCHASTIC_SOLVERS:
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            early = self.early_stopping
            self.best_loss_ = None if early else np.inf
            self.validation_scores_: list[float] | None = [] if early else None
            self.best_validation_score_ = -np.inf if early else None

    def _spec(self, units: list[int], dtype: Any, output: str) -> NetSpec:
        """Return the net of the given units that the parameters ask for."""
        return NetSpec.create(
            units,
            engine_names(self.activation),
            engine_name(output),
            self._engine_loss(output),
            dtype=dtype,
            dropout=self.dropout,
        )

    def _spec_of_weights(self, dtype: Any = None) -> NetSpec:
        """Return the net that `coefs_` and the parameters stand for."""
        return self._spec(self._units(), dtype or self._dtype(), self.out_activation_)

    def _spec_to_run(self) -> NetSpec:
        """Return the same for predictions alone, whose output may be any that has been set."""
        output = engine_name(self.out_activation_)
        hidden = engine_names(self.activation)
        return NetSpec.create(self._units(), hidden, output, "squared_error", dtype=self._dtype())

    def _units(self) -> list[int]:
        return [int(self.coefs_[0].shape[0]), *(int(c.shape[1]) for c in self.coefs_)]

    def _dtype(self) -> Any:
        return np.result_type(np.float32, *self.coefs_, *self.intercepts_)

    def _weights_to_train(self) -> Weights:
        """Return the weights for a fit, of which `coefs_` and `intercepts_` become views."""
        # As in scikit-learn, whose L-BFGS does so because SciPy's does.
        spec = self._spec_of_weights("float64" if self.solver == "lbfgs" else None)
        weights: Weights | None = self.__dict__.get("_weights")
        if weights is not None and weights.net.spec == spec and self._same_backend(weights):
            weights.take(self.coefs_, self.intercepts_)
        else:
            weights = Weights.from_arrays(spec, self.coefs_, self.intercepts_, self.backend)
        self._show(weights)
        return weights

    def _same_backend(self, weights: Weights) -> bool:
        return weights.net.requested_backend == self.backend

    def _show_arrays(self) -> None:
        """Take the arrays in `coefs_` and `intercepts_` for the weights."""
        spec = self._spec_of_weights()
        self._show(Weights.from_arrays(spec, self.coefs_, self.intercepts_, self.backend))

    def _show(self, weights: Weights) -> None:
        """Let `coefs_` and `intercepts_` be views of these weights."""
        self._weights = weights
        weights.names = (self.activation, self.out_activation_)
        if not weights.shown_by(self.coefs_, self.intercepts_):
            self.coefs_, self.intercepts_ = list(weights.coefs), list(weights.intercepts)

    def _check_solver(self) -> bool:
        if self.solver not in STOCHASTIC_SOLVERS:
            raise AttributeError(
                "partial_fit is only available for stochastic"
                f" optimizers. {self.solver} is not stochastic."
            )
        return True

    # ------------------------------------------------------------------ running

    def _outputs(self, X: Any) -> Array:
        """Return the net's outputs (n, n_outputs) for inputs that are yet to be checked."""
        state = self.__dict__
        weights: Weights | None = state.get("_weights")
        shown = (
            weights is not None
            and weights.names == (state["activation"], state["out_activation_"])
            and weights.shown_by(state["coefs_"], state["intercepts_"])
        )
        if weights is not None and shown and "feature_names_in_" not in state:
            outputs = weights.quick_outputs(X, narrow=self.dtype is not None)
            if outputs is not None:
                return outputs
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        if weights is None or not shown:  # other arrays are in coefs_, or other names were given
            spec = self._spec_to_run()
            weights = Weights.from_arrays(spec, self.coefs_, self.intercepts_, self.backend)
        with limited_to(self.n_threads):
            return weights.outputs(X, narrow=self.dtype is not None)

    # ------------------------------------------------------------------ keeping

    def to_sklearn(self) -> Any:
        """Return scikit-learn's own estimator with the same parameters and weights.

        It predicts the same without mlpfast. Fitted further, it begins with fresh moments, and
        without what mlpfast alone has: another loss becomes the squared error, a schedule a
        constant rate.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or MLPRegressor
            Fitted if this one is; with copies of the arrays.

        Raises
        ------
        ValueError
            If scikit-learn does not have the activation.

        See Also
        --------
        from_sklearn : The other way.
        """
        return _convert.to_sklearn(self)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        state.pop("_weights", None)  # coefs_ and intercepts_ say the same
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "coefs_" not in state or "out_activation_" not in state:
            return
        best = holds_best(self)
        self._show_arrays()
        if best:
            self._best_coefs, self._best_intercepts = self.coefs_, self.intercepts_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
