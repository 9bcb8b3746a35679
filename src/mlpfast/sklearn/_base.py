"""What classifier and regressor have in common: checks, weights, and the two ways to fit."""

from __future__ import annotations

from itertools import pairwise
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from mlpfast.backends.base import Array
from mlpfast.sklearn import _lbfgs, _stochastic
from mlpfast.sklearn._rows import Rows, dense_pieces, is_sparse
from mlpfast.sklearn._weights import Weights, engine_name
from mlpfast.spec import NetSpec

STOCHASTIC_SOLVERS = ("sgd", "adam")


class BaseMLP(BaseEstimator):  # type: ignore[misc]
    """Base of the two estimators; a subclass says what targets, outputs and scores are."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
    }

    # ------------------------------------------------------------------ what subclasses say

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Array]:
        """Return checked inputs, and targets as scikit-learn's MLP has them."""
        raise NotImplementedError

    def _output(self) -> str:
        """Return scikit-learn's name of the output activation."""
        raise NotImplementedError

    def _engine_loss(self) -> tuple[str, float | None]:
        """Return the engine's name of the loss, and its parameter."""
        raise NotImplementedError

    def _loss_factor(self) -> float:
        """Return by what the engine's loss is to be multiplied to be scikit-learn's."""
        return 1.0

    def _engine_targets(self, y: Array) -> Array:
        """Return targets of (n, n_outputs) as `Rows` takes them."""
        return y

    def _score(self, wanted: Array, outputs: Array, weight: Array | None) -> float:
        """Return the score that early stopping goes by; `wanted` are engine targets."""
        raise NotImplementedError

    # ------------------------------------------------------------------ fitting

    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fit the model to the data.

        Parameters
        ----------
        X : array or CSR or CSC matrix of shape (n_samples, n_features)
        y : array of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or numbers for a regression.
        sample_weight : array of shape (n_samples,), default None

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, incremental=False)

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> Any:
        hidden = self.hidden_layer_sizes
        hidden = list(hidden) if hasattr(hidden, "__iter__") else [hidden]
        if np.any(np.array(hidden) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {hidden}.")
        first_pass = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        X, y = self._validate_input(X, y, incremental, reset=first_pass)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        if y.ndim == 1:
            y = y.reshape(-1, 1)
        self.n_outputs_ = y.shape[1]
        self._random_state = check_random_state(self.random_state)
        if first_pass:
            self._initialize([X.shape[1], *hidden, self.n_outputs_], X.dtype)
        weights = self._weights_to_train()
        if self.solver == "lbfgs":
            rows = Rows(weights.net.spec, X, self._engine_targets(y), sample_weight)
            _lbfgs.fit(self, weights.net, rows)
        else:
            _stochastic.fit(self, weights, X, y, sample_weight, incremental)
        if not np.isfinite(weights.net.params).all():
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may"
                " contain large values and need to be preprocessed."
            )
        return self

    def _initialize(self, units: list[int], dtype: Any) -> None:
        """Begin anew: random weights and empty records."""
        self.n_iter_ = 0
        self.t_ = 0
        self.n_layers_ = len(units)
        self.out_activation_ = self._output()
        # Glorot and Bengio's bound, with the factor that scikit-learn gives sigmoids.
        factor = 2.0 if self.activation == "logistic" else 6.0
        coefs, intercepts = [], []
        for n_in, n_out in pairwise(units):
            bound = np.sqrt(factor / (n_in + n_out))
            draw = self._random_state.uniform
            coefs.append(draw(-bound, bound, (n_in, n_out)).astype(dtype, copy=False))
            intercepts.append(draw(-bound, bound, n_out).astype(dtype, copy=False))
        self.coefs_, self.intercepts_ = coefs, intercepts
        for name in ("_weights", "_best_coefs", "_best_intercepts"):
            self.__dict__.pop(name, None)
        if self.solver in STOCHASTIC_SOLVERS:
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            early = self.early_stopping
            self.best_loss_ = None if early else np.inf
            self.validation_scores_: list[float] | None = [] if early else None
            self.best_validation_score_ = -np.inf if early else None

    def _weights_to_train(self) -> Weights:
        """Return the weights for a fit, of which `coefs_` and `intercepts_` become views."""
        dtype = np.result_type(np.float32, *self.coefs_, *self.intercepts_)
        weights = self._weights_for(self._spec("float64" if self.solver == "lbfgs" else dtype))
        self._weights = weights
        self.coefs_, self.intercepts_ = weights.coefs, weights.intercepts
        return weights

    def _weights_for(self, spec: NetSpec) -> Weights:
        """Return weights with the values of `coefs_` and `intercepts_`, the kept ones if those."""
        kept = self.__dict__.get("_weights")
        if kept is not None and kept.net.spec == spec:
            kept.take(self.coefs_, self.intercepts_)
            return kept
        return Weights.from_arrays(spec, self.coefs_, self.intercepts_, None)

    def _spec(self, dtype: Any) -> NetSpec:
        """Return the net that `coefs_` and the parameters stand for."""
        sizes = [self.coefs_[0].shape[0], *(c.shape[1] for c in self.coefs_)]
        loss, parameter = self._engine_loss()
        hidden = [engine_name(self.activation)] * (len(sizes) - 2)
        return NetSpec(
            tuple(map(int, sizes)),
            (*hidden, engine_name(self.out_activation_)),
            loss,
            dtype=np.dtype(dtype).name,
            loss_parameter=parameter,
        )

    def _check_solver(self) -> bool:
        if self.solver not in STOCHASTIC_SOLVERS:
            raise AttributeError(
                "partial_fit is only available for stochastic"
                f" optimizers. {self.solver} is not stochastic."
            )
        return True

    # ------------------------------------------------------------------ running

    def _quick_outputs(self, X: Any) -> Array | None:
        """Return the outputs for a few good rows, or None: then they want the long way."""
        state = self.__dict__
        weights = state.get("_weights")
        if weights is None or "feature_names_in_" in state:
            return None
        if not weights.shown_by(state["coefs_"], state["intercepts_"]):
            return None
        return weights.quick_outputs(X)

    def _outputs(self, X: Any) -> Array:
        """Return the net's outputs (n, n_outputs) for inputs that are yet to be checked."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        weights = self.__dict__.get("_weights")
        if weights is None or not weights.shown_by(self.coefs_, self.intercepts_):
            dtype = np.result_type(np.float32, *self.coefs_, *self.intercepts_)
            weights = Weights.from_arrays(self._spec(dtype), self.coefs_, self.intercepts_, None)
        if not is_sparse(X):
            return weights.outputs(X)
        return np.concatenate([weights.outputs(x) for _, x in dense_pieces(X)])

    # ------------------------------------------------------------------ keeping

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        state.pop("_weights", None)  # coefs_ and intercepts_ say the same
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "coefs_" in state and "out_activation_" in state:
            dtype = np.result_type(np.float32, *self.coefs_, *self.intercepts_)
            weights = Weights.from_arrays(self._spec(dtype), self.coefs_, self.intercepts_, None)
            if state.get("_best_coefs") is state["coefs_"]:
                self._best_coefs, self._best_intercepts = weights.coefs, weights.intercepts
            self._weights = weights
            self.coefs_, self.intercepts_ = weights.coefs, weights.intercepts

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
