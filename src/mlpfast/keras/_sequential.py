"""Sequential, a chain of layers that is translated to a `NetSpec` and trained as an `MLP`."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from mlpfast.backends.base import Array
from mlpfast.backends.numpy import l2_term
from mlpfast.keras import _callback, _data
from mlpfast.keras import metrics as _metrics
from mlpfast.keras._compiled import CompiledStack
from mlpfast.keras._fit import Bridge, diverged
from mlpfast.keras._progress import print_line
from mlpfast.keras._random import generator
from mlpfast.keras._stack import Stack
from mlpfast.keras._unsupported import check_none
from mlpfast.keras.callbacks import History
from mlpfast.keras.layers import Layer
from mlpfast.spec import check_int
from mlpfast.training import TrainingDiverged


class Sequential(CompiledStack):
    """A stack of layers: Dense ones, and those that can be folded into them.

    Parameters
    ----------
    layers : list of Layer, optional
    name : str, optional

    Attributes
    ----------
    layers : list of Layer
        Without the `Input`.
    optimizer, loss
        As given to `compile`, made into objects.
    history : History
        Of the last fit.
    stop_training : bool
        A callback sets it to end a fit.

    Notes
    -----
    The net is of float32. A loss that is not finite raises `mlpfast.TrainingDiverged`, where Keras
    would go on with NaN.

    Examples
    --------
    >>> import mlpfast.keras as keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, "tanh")])
    >>> model.add(keras.layers.Dense(1, activation="sigmoid"))
    >>> model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    >>> h = model.fit([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], epochs=3, verbose=0)
    >>> sorted(h.history)
    ['accuracy', 'loss']
    """

    def __init__(
        self, layers: Iterable[Layer | Stack] | None = None, name: str | None = None
    ) -> None:
        super().__init__(layers, name)
        self.history: History | None = None
        self.stop_training = False

    # ------------------------------------------------------------------ training

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
    ) -> History:
        """Train, and return what happened.

        Parameters
        ----------
        x : (n, ...) array
        y : (n, n_out) array, (n,) for one output, or (n,) labels for the sparse loss
        batch_size : int, default 32
        epochs : int
            Number of the last epoch, counted from 1.
        verbose : {"auto", 0, 1, 2}
            A progress bar (1 and "auto", with tqdm, else lines), nothing (0), lines for each
            epoch (2).
        callbacks : list of Callback, optional
        validation_split : float, default 0
            Share of the last rows that is set aside for validation, before any shuffling.
        validation_data : (x, y) or (x, y, sample_weight), optional
        shuffle : bool
        class_weight : dict of int to float, optional
        sample_weight : (n,) array, optional
        initial_epoch : int, default 0

        Returns
        -------
        History

        Raises
        ------
        UnsupportedError
            For generators, steps_per_epoch and the like.
        ValueError, TypeError
            If an argument does not fit; the model is unchanged.
        """
        steps = {"steps_per_epoch": steps_per_epoch, "validation_steps": validation_steps}
        check_none(
            "fit", **steps, validation_freq=None if validation_freq == 1 else validation_freq
        )
        loss = self._compiled()
        net, chain = self._learning(x)
        watchers = _callback.check_list(callbacks)
        data, validation = _data.batch(chain, loss, x, y, sample_weight), None
        if validation_data is not None:
            validation = self._validation(validation_data)
        elif validation_split:
            data, validation = _data.split(data, validation_split)
        data = _data.weigh(data, class_weight)
        check_int("epochs", epochs, 0)
        check_int("initial_epoch", initial_epoch, 0)
        size = check_int("batch_size", 32 if batch_size is None else batch_size, 1)
        parts = [data] if validation is None else [data, validation]
        names = self._check_metrics(*(part.y for part in parts))
        bridge = Bridge(
            self,
            watchers,
            names,
            verbose,
            {"epochs": epochs, "steps": -(-len(data.x) // size)},
            initial_epoch,
        )
        self.stop_training = False
        optimizer = self.optimizer
        assert optimizer is not None
        rule, rate = optimizer.rule(), optimizer.constant_rate()
        if rate is not None and not watchers:
            rule = replace(rule, learning_rate=rate)
        self.history = bridge.history
        net.generator = generator()  # of the time, which `set_random_seed` may have changed
        try:
            history = net.fit(
                data.x,
                data.y,
                epochs=max(epochs - initial_epoch, 0),
                batch_size=size,
                optimizer=rule,
                shuffle=bool(shuffle),
                sample_weight=data.weight,
                validation_data=validation,
                metrics=sorted({metric.engine_name for metric in names}),
                l2=chain.l2,
                l2_in_loss=True,
                callbacks=[bridge] if bridge.needed else [],
                on_nonfinite=bridge.on_nonfinite,
                input_scale=_data.input_scale(chain),
            )
        except TrainingDiverged as error:
            raise diverged(error) from None
        return bridge.result(history)

    def _validation(self, value: Any) -> _data.Batch:
        if not isinstance(value, tuple | list) or len(value) not in (2, 3):
            raise ValueError(
                "validation_data must be (x, y) or (x, y, sample_weight), got "
                f"{type(value).__name__}"
            )
        weight = value[2] if len(value) == 3 else None
        chain = self._built()[1]
        loss = self._compiled()
        return _data.batch(chain, loss, value[0], value[1], weight, prefix="validation ")

    def _check_metrics(self, *targets: Array) -> list[_metrics.Metric]:
        loss, chain = self._compiled(), self._built()[1]
        found = self.resolved_metrics
        for metric in found:
            metric.check(loss, chain.sizes[-1])
        if any(isinstance(metric, _metrics.BinaryAccuracy) for metric in found) and not (
            loss.label_smoothing or _data.is_binary(*targets)
        ):
            warnings.warn(
                "accuracy is for targets that are 0 or 1: of others, mlpfast compares output and "
                "target with 0.5, where Keras takes none to be right; ask for 'mae' instead",
                UserWarning,
                stacklevel=3,
            )
        return found

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Return ``[loss, metrics...]``, the loss alone if there are none, or a dict.

        The batch size is of no account. Unless `verbose` is 0, a line with the figures is printed.
        """
        check_none("evaluate", steps=steps, callbacks=callbacks or None)
        size = check_int("batch_size", 32 if batch_size is None else batch_size, 1)
        start = time.perf_counter()
        loss = self._compiled()
        net, chain = self._learning(x)
        data = _data.batch(chain, loss, x, y, sample_weight)
        names = self._check_metrics(data.y)
        engine = net.evaluate(
            data.x,
            data.y,
            data.weight,
            metrics=sorted({metric.engine_name for metric in names}),
            input_scale=_data.input_scale(chain),
        )
        engine["loss"] += l2_term(net.spec, net.params, chain.l2)
        figures = {"loss": engine["loss"], **{m.name: engine[m.engine_name] for m in names}}
        if verbose:
            steps_made = -(-len(data.x) // size)
            print_line(steps_made, time.perf_counter() - start, dict(sorted(figures.items())))
        return figures if return_dict else _flat(figures)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Array:
        """Return the outputs (n, n_out), float32."""
        check_none("predict", steps=steps, callbacks=callbacks or None)
        _, chain = self._built(x)
        rows = _data.inputs(chain, x)
        return self._answering_net().predict(rows, input_scale=_data.input_scale(chain))

    def predict_on_batch(self, x: Any) -> Array:
        """Return the outputs (n, n_out), float32."""
        return self.predict(x)

    def __call__(self, x: Any, training: bool | None = None) -> Array:
        """Return the outputs (n, n_out), float32, with nothing dropped."""
        check_none(f"model {self.name!r} called", training=training)
        return self.predict(x)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Make one update by all rows of x; return the figures from before it, as `evaluate`."""
        arguments: dict[str, Any] = {"sample_weight": sample_weight, "class_weight": class_weight}
        rows = max(len(np.shape(x)) and len(x), 1)
        kept = self.history
        history = self.fit(x, y, rows, 1, 0, shuffle=False, **arguments).history
        self.history = kept
        figures = {name: history[name][0] for name in self.metrics_names}
        return figures if return_dict else _flat(figures)

    def test_on_batch(
        self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False
    ) -> Any:
        """Return the figures of `evaluate`, and print nothing."""
        return self.evaluate(x, y, verbose=0, sample_weight=sample_weight, return_dict=return_dict)


def _flat(figures: dict[str, float]) -> Any:
    values = list(figures.values())
    return values if len(values) > 1 else values[0]
