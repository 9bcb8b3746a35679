"""MLP, the thin class: one flat parameter buffer, and a backend that does the work."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import numpy as np

from mlpfast import files, training
from mlpfast.arrays import as_array, check_data, check_out, check_x
from mlpfast.backends.base import Array, Data
from mlpfast.initializers import initialize, random_source
from mlpfast.net import Net
from mlpfast.spec import Loss, NetSpec, Optimizer, check_optimizer, check_real
from mlpfast.training.callbacks import Callback
from mlpfast.training.history import History, check_metrics, summarize

__all__ = [
    "MLP",
    "check_net",
]


class MLP(Net):
    """A multilayer perceptron: a chain of dense layers.

    Parameters
    ----------
    layer_sizes : list of int
        Units of every layer, inputs first: ``[n_in, hidden..., n_out]``.
    activation : str or list of str, default "relu"
        Of the hidden layers, one for all or one each; see `mlpfast.spec.ACTIVATIONS`.
    output_activation : str, default "identity"
    loss : str, Huber or Quantile, default "mse"
        One of `mlpfast.spec.LOSSES`; `mlpfast.spec.LOSS_RECORDS` has the formula of each. Among
        them are, with o the outputs and t the targets of a row: "mse" mean (o-t)^2, "squared_error"
        1/2 sum (o-t)^2, "mae" mean abs(o-t), "huber" or ``Huber(delta)``, "quantile" (0.5) or
        ``Quantile(quantile)``, "poisson" mean(o - t log o), "binary_crossentropy" (mean over
        outputs; needs a sigmoid output) and "categorical_crossentropy" (needs softmax), both from
        the logits. Means are over outputs. As scikit-learn has them, sums over outputs:
        "binary_log_loss" (sigmoid) and "log_loss" (softmax), the same but for probabilities that
        are clipped by the resolution of the dtype, and "poisson_deviance" (exp), half of it,
        sum(t log(t / o) - t + o).
    reduction : {"mean", "sum", "mean_over_rows"}
        Over the rows of a batch. The mean is weighted by the sample weights; "mean_over_rows" is
        the weighted sum divided by the number of rows, and other figures are not weighted (Keras).
    dtype : {"float32", "float64"}
    bias : bool, default True
    dropout : float or list of float in [0, 1), default 0
        Share of the hidden layers' outputs, one for all or one each, that each step of `fit`
        sets to 0, drawn anew for every row; the others are divided by one minus it. Nothing is
        dropped elsewhere.
    input_dropout : float in [0, 1), default 0
        The same for the inputs.
    init : str or (weights, biases), default "glorot_uniform"
        Also "he_normal", "lecun_normal", "sklearn".
    random_state : None, int, numpy.random.Generator or RandomState
        Source of the initial weights, and in `fit` of the row order and of what is dropped.
    backend : str, optional
        "cpp", "numba" or "numpy", also "cpp:avx2" and the like; None takes the fastest there is.

    Attributes
    ----------
    spec : NetSpec
        All of the above that describes the net, frozen.
    params : (n_params,) array
        Every parameter, layer by layer W (n_in, n_out) row-major, then b. Writable.
    weights, biases : list of arrays
        Views into `params`, of shapes (n_in, n_out) and (n_out,).

    Examples
    --------
    >>> import mlpfast
    >>> X, y = mlpfast.datasets.xor()
    >>> net = mlpfast.MLP([2, 8, 1], "tanh", "sigmoid", "binary_crossentropy", random_state=0)
    >>> h = net.fit(X, y, epochs=500, optimizer=mlpfast.Adam(0.05))
    >>> (net.predict(X) > 0.5).ravel().tolist()
    [False, True, True, False]
    """

    def __init__(
        self,
        layer_sizes: Sequence[int],
        activation: str | Sequence[str] = "relu",
        output_activation: str = "identity",
        loss: Loss = "mse",
        *,
        reduction: str = "mean",
        dtype: Any = "float32",
        bias: bool = True,
        dropout: float | Sequence[float] = 0.0,
        input_dropout: float = 0.0,
        init: Any = "glorot_uniform",
        random_state: Any = None,
        backend: str | None = None,
    ) -> None:
        spec = NetSpec.create(
            layer_sizes,
            activation,
            output_activation,
            loss,
            reduction,
            dtype,
            bias,
            dropout,
            input_dropout,
        )
        self._setup(spec, backend, random_source(random_state, init))
        initialize(spec, self._params, init, self.generator)

    # ------------------------------------------------------------------ running

    def predict(self, X: Any, out: Array | None = None, *, input_scale: float = 1.0) -> Array:
        """Return the net's outputs.

        Parameters
        ----------
        X : (n, n_in) or (n_in,) array
        out : (n, n_out) or (n_out,) array of the net's dtype, optional
            Where to write.
        input_scale : float, default 1
            Factor on X, as given to `fit`.

        Returns
        -------
        (n, n_out) or (n_out,) array
            A row's answer does not depend on what other rows come with it. NaN gives NaN.

        Raises
        ------
        ValueError, TypeError
            If X or out does not fit the net.
        """
        if input_scale == 1.0:
            result = self.fast_predict(X, out)
            if result is not NotImplemented:
                return result
        spec = self.spec
        if type(X) is not np.ndarray:
            X = as_array("X", X)
        single = X.ndim == 1
        if single and X.shape[0] != spec.n_in:
            raise ValueError(f"X must have shape (n, {spec.n_in}) or ({spec.n_in},), got {X.shape}")
        x = check_x(spec, X[None] if single else X)
        if input_scale != 1.0:
            check_real("input_scale", input_scale)
        shape = (spec.n_out,) if single else (x.shape[0], spec.n_out)
        if out is None:
            out = np.empty(shape, self._params.dtype)
        else:
            check_out("out", out, shape, self._params.dtype)
            if np.may_share_memory(out, x) or np.may_share_memory(out, self._params):
                raise ValueError("out must not share memory with X or the net's parameters")
        if x.shape[0]:
            target = out[None] if single else out
            self.engine.forward(spec, self._params, x, input_scale, target)
        return out

    def forward(self, X: Any, *, input_scale: float = 1.0) -> Array:
        """Return the net's outputs (n, n_out), or (n_out,) for a single row; see `predict`."""
        return self.predict(X, input_scale=input_scale)

    __call__ = forward

    def activations(self, X: Any, *, input_scale: float = 1.0) -> list[Array]:
        """Return the output of every layer, (n, units) each, or (units,) for a single row."""
        x = as_array("X", X)
        single = x.ndim == 1
        a = check_x(self.spec, x[None] if single else x).astype(self.spec.dtype)
        a = np.ascontiguousarray(a)
        if input_scale != 1.0:
            a *= a.dtype.type(check_real("input_scale", input_scale))
        outputs = []
        layers = self.spec.unflatten(self._params)
        for (w, b), name in zip(layers, self.spec.activations, strict=True):
            out = np.empty((len(a), w.shape[1]), a.dtype)
            self.engine.dense_forward(a, w, b, name, out)
            outputs.append(out[0] if single else out)
            a = out
        return outputs

    def loss_and_grad(
        self,
        X: Any,
        Y: Any,
        sample_weight: Any = None,
        *,
        input_scale: float = 1.0,
        out: Array | None = None,
    ) -> tuple[float, Array]:
        """Return the loss on all of X and its gradient with respect to the parameters.

        Parameters
        ----------
        X : (n, n_in) array
        Y : (n, n_out) array, (n,) if n_out is 1, or (n,) class labels
        sample_weight : (n,) array, optional
        input_scale : float, default 1
        out : (n_params,) array of the net's dtype, optional
            Where to write the gradient.

        Returns
        -------
        loss : float
        grad : (n_params,) array
            In the layout of `params`; `out` if that was given.

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit the net.
        """
        if input_scale == 1.0:
            result: tuple[float, Array] = self.fast_gradient(X, Y, sample_weight, out)
            if result is not NotImplemented:
                return result
        self.check_trainable()
        data = check_data(self.spec, X, Y, sample_weight, input_scale)
        if out is None:
            out = np.empty_like(self._params)
        else:
            check_out("out", out, self._params.shape, self._params.dtype)
            others = (data.x, data.y, data.sample_weight, self._params)
            if any(a is not None and np.may_share_memory(out, a) for a in others):
                raise ValueError("out must not share memory with the data or the net's parameters")
        return self.engine.loss_and_grad(self.spec, self._params, data, out), out

    def evaluate(
        self,
        X: Any,
        Y: Any,
        sample_weight: Any = None,
        *,
        metrics: Iterable[str] = ("accuracy",),
        input_scale: float = 1.0,
    ) -> dict[str, float]:
        """Return ``{"loss": ..., "accuracy": ...}`` on the given rows, weighted if asked for.

        "accuracy" compares the largest output with the largest target, or with one output
        both with 0.5. Also "mse" and "mae".
        """
        names = check_metrics(metrics)
        data = check_data(self.spec, X, Y, sample_weight, input_scale)
        totals = self.engine.evaluate(self.spec, self._params, data)
        columns = summarize(self.spec, totals[None], names)
        return {name: values[0] for name, values in columns.items()}

    # ------------------------------------------------------------------ learning

    def fit(
        self,
        X: Any,
        Y: Any,
        *,
        epochs: int = 1,
        batch_size: int = 32,
        optimizer: str | Optimizer = "adam",
        shuffle: bool = True,
        sample_weight: Any = None,
        validation_data: Sequence[Any] | None = None,
        metrics: Iterable[str] = ("accuracy",),
        l2: float | Sequence[float] = 0.0,
        l2_in_loss: bool = False,
        callbacks: Iterable[Callback | Callable[..., Any]] = (),
        verbose: int = 0,
        input_scale: float = 1.0,
        on_nonfinite: str = "raise",
    ) -> History:
        """Train from the weights the net has, and return what happened.

        Parameters
        ----------
        X : (n, n_in) array
            float32, float64 and uint8 are read as they are, a batch at a time, so a
            memory-mapped array is never loaded whole; other dtypes are converted first.
        Y : (n, n_out) array, (n,) if n_out is 1, or (n,) class labels (taken as one-hot)
        epochs, batch_size : int
            The last batch of an epoch may be smaller.
        optimizer : str or Optimizer, default "adam"
            "sgd", "adam", "adamw", "rmsprop" or an instance. A later fit with the same rule
            (but for the learning rate) goes on with its moments; see `reset_optimizer`.
        shuffle : bool, default True
            Draw a new row order each epoch. With one batch an epoch the order is left alone.
        sample_weight : (n,) array, optional
            None negative, not all 0. The losses of a batch are multiplied by them, added up and
            divided by the sum of the batch's weights (unless the reduction is "sum"), as if a
            row of weight 2 came twice. A batch without weight has the gradient 0, which is a step
            nonetheless: of momentum, weight decay and l2.
        validation_data : (X, Y) or (X, Y, sample_weight), optional
            Evaluated after each epoch.
        metrics : names out of "accuracy", "mse", "mae"
            "accuracy" means little for a regression: there ask for "mae", or for nothing by ().
        l2 : float or list of float, default 0
            Adds ``1/2 l2 sum(W^2)`` over the weights, not the biases, to each batch's loss; a list
            has a factor for each layer.
        l2_in_loss : bool, default False
            Whether the losses of the history take that in.
        callbacks : Callback instances or functions (net, epoch, logs)
            Run after each epoch; one that returns True ends the fit.
        verbose : {0, 1, 2}
            Silent, a progress bar (with tqdm, else lines), a line an epoch.
        input_scale : float, default 1
            Factor on X, such as 1/255 for uint8 images. The net does not remember it: give it to
            `predict` and `evaluate` as well.
        on_nonfinite : {"raise", "stop"}
            What to do when the loss or a weight becomes NaN or infinite.

        Returns
        -------
        History

        Raises
        ------
        ValueError, TypeError
            If an argument does not fit; the net is unchanged.
        TrainingDiverged
            See `on_nonfinite`; the net has the weights from before the failing epoch.

        Warns
        -----
        RuntimeWarning
            On Ctrl-C: training ends at the batch, the weights are kept and
            ``history.stop_reason`` is "interrupted".
        """
        self.check_trainable()
        rule = check_optimizer(optimizer)
        names = check_metrics(metrics)
        trainer = self.trainer_for(rule)
        # A trainer that looks at the rows as it reads them spares a pass over X.
        data = check_data(
            self.spec, X, Y, sample_weight, input_scale, finite_x=not trainer.checks_input
        )
        if data.sample_weight is not None and not data.sample_weight.any():
            raise ValueError("sample_weight must not be all zeros")
        return training.fit(
            self,
            data,
            rule,
            epochs=epochs,
            batch_size=batch_size,
            shuffle=shuffle,
            validation=self._check_validation(validation_data, input_scale),
            metrics=names,
            l2=l2,
            l2_in_loss=l2_in_loss,
            callbacks=callbacks,
            verbose=verbose,
            on_nonfinite=on_nonfinite,
        )

    def _check_validation(self, value: Sequence[Any] | None, input_scale: float) -> Data | None:
        if value is None:
            return None
        if not isinstance(value, tuple | list) or len(value) not in (2, 3):
            raise ValueError(
                "validation_data must be (X, Y) or (X, Y, sample_weight), got "
                f"{type(value).__name__}"
            )
        weight = value[2] if len(value) == 3 else None
        return check_data(self.spec, value[0], value[1], weight, input_scale, prefix="validation ")

    # ------------------------------------------------------------------ keeping

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the net to a .safetensors or .npz file, whole or not at all.

        See `mlpfast.files.save`, which can keep more facts with it.
        """
        files.save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, backend: str | None = None) -> Self:
        """Read a net that `save` wrote.

        Parameters
        ----------
        path : path
        backend : str, optional

        Raises
        ------
        OSError, ValueError, ImportError
            See `mlpfast.files.read`.

        Warns
        -----
        UserWarning
            If the command line stored a standardization with the net, which is not part of it.
        """
        saved = files.read(path)
        if any(saved.extra.get(name) is not None for name in files.PREPROCESSING):
            warnings.warn(
                f"{os.fspath(path)} keeps a scaling of the inputs or outputs, which the net does "
                "not apply itself; mlpfast.files.read(path).extra has it",
                UserWarning,
                stacklevel=2,
            )
        return cls.from_spec(saved.spec, saved.params, backend=backend)

    def __repr__(self) -> str:
        spec = self.spec
        lines = [f"MLP({spec.dtype}, loss={spec.loss_label!r}, backend={self.backend!r})"]
        for i, (part, name) in enumerate(zip(spec.layers(), spec.activations, strict=True)):
            n_in, n_out = part.shape
            count = (n_in + spec.bias) * n_out
            drops = f", dropout {spec.dropout[i]:g} before" if any(spec.dropout[i : i + 1]) else ""
            lines.append(
                f"  {i}: {n_in:>5} -> {n_out:<5} {name:<10} {count:>12,} parameters{drops}"
            )
        lines.append(f"  {spec.n_params:,} parameters in all")
        return "\n".join(lines)


def check_net(value: object) -> None:
    """Raise a TypeError unless `value` is an MLP."""
    if not isinstance(value, MLP):
        raise TypeError(f"net must be a mlpfast.MLP, got {type(value).__name__}")
