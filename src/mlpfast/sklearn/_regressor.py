"""MLPRegressor: scikit-learn's, trained and run by mlpfast."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if

from mlpfast.backends.base import Array
from mlpfast.sklearn import _scores
from mlpfast.sklearn._base import BaseMLP
from mlpfast.spec import Huber, Loss, Quantile

#: The engine's names of the losses.
LOSSES = {
    "squared_error": "squared_error",
    "poisson": "poisson_deviance",
    "absolute_error": "mae",
    "huber": "huber",
    "quantile": "quantile",
}


class MLPRegressor(RegressorMixin, BaseMLP):  # type: ignore[misc]
    """Multilayer perceptron regressor; scikit-learn's ``MLPRegressor``, many times faster."""

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

    @available_if(lambda estimator: estimator._check_solver())  # type: ignore[untyped-decorator]
    @_fit_context(prefer_skip_nested_validation=True)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Train one epoch on the given data, from the weights that there are.

        Parameters
        ----------
        X : array or CSR or CSC matrix of shape (n_samples, n_features)
        y : array of shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array of shape (n_samples,), default None

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def _validate_targets(self, y: Any, incremental: bool) -> tuple[Array, Array | None]:
        return self._held_out_targets(y), None

    def _held_out_targets(self, y: Any) -> Array:
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return y

    def _output(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

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

    # ------------------------------------------------------------------ running

    def predict(self, X: Any) -> Array:
        """Return the predicted numbers.

        Parameters
        ----------
        X : array or CSR or CSC matrix of shape (n_samples, n_features)

        Returns
        -------
        array of shape (n_samples,) or (n_samples, n_outputs)
        """
        outputs = self._outputs(X)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs
