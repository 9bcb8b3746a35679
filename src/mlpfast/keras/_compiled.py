"""A stack of layers that knows how it is to be trained, and how it is kept in files."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from mlpfast.keras import _config, _files, losses, optimizers
from mlpfast.keras import metrics as _metrics
from mlpfast.keras._stack import Stack
from mlpfast.keras._unsupported import check_none
from mlpfast.keras.layers import Layer
from mlpfast.model import MLP


class CompiledStack(Stack):
    """Base of `Sequential`, which adds the data."""

    def __init__(
        self, layers: Iterable[Layer | Stack] | None = None, name: str | None = None
    ) -> None:
        super().__init__(layers, name)
        self._metrics: list[_metrics.Metric | str] = []

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Say how to train.

        An optimizer begins afresh, unless it is the very object that was given before.

        Parameters
        ----------
        optimizer : str or Optimizer
        loss : str or Loss
        metrics : list of str or Metric, optional
            "accuracy" is chosen among binary, categorical and sparse categorical accuracy.
        run_eagerly, steps_per_execution, jit_compile, auto_scale_loss
            Without a meaning here.

        Raises
        ------
        UnsupportedError
            For what Keras has and mlpfast has not.
        """
        check_none("compile", loss_weights=loss_weights, weighted_metrics=weighted_metrics)
        if loss is None:
            raise ValueError("compile needs a loss")
        chosen, wanted = losses.get(loss), _metrics.check_list(metrics)
        rule = optimizers.get(optimizer)
        if self._chain is not None:
            self._spec(self._chain, chosen)  # complains while nothing is changed
        trainer = self._net.trainer if self._net is not None else None
        moments = trainer.state() if trainer is not None and rule is self.optimizer else None
        self.optimizer, self.loss, self._metrics = rule, chosen, wanted
        self._make_for_loss()
        if moments is not None and self._net is not None:
            self._net.trainer_for(rule.rule()).load_state(moments)

    @property
    def compiled(self) -> bool:
        """Whether `compile` has been called."""
        return self.loss is not None

    @property
    def resolved_metrics(self) -> list[_metrics.Metric]:
        """The metrics, "accuracy" being what it is for this net."""
        loss, chain = self._compiled(), self._built()[1]
        return [_metrics.resolve(metric, loss, chain.sizes[-1]) for metric in self._metrics]

    @property
    def metrics_names(self) -> list[str]:
        """What `evaluate` returns."""
        names = [m if isinstance(m, str) else m.name for m in self._metrics]
        return ["loss", *names] if self.compiled else []

    def _compiled(self) -> losses.Loss:
        if self.loss is None:
            raise ValueError("the model must be compiled first: model.compile(optimizer, loss)")
        return self.loss

    @property
    def mlp(self) -> MLP:
        """The `mlpfast.MLP` beneath, on the same weights; not of Keras.

        For `mlpfast.plotting`, `explain_step` and the like. Its inputs are what a Rescaling and a
        Flatten make of those of the model.
        """
        net, _ = self._learning() if self.compiled else self._built()
        return net

    # ------------------------------------------------------------------ keeping

    def save(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the model, whole or not at all.

        Parameters
        ----------
        filepath : path
            Ends in ".keras" (for Keras too; needs ``pip install "mlpfast[keras]"``),
            ".safetensors" or ".npz".
        overwrite : bool, default True

        Raises
        ------
        FileExistsError
            If the file is there and is not to be overwritten.
        ValueError
            If the suffix is another, or the model has no weights yet.
        """
        net, _ = self._built()
        _files.write_model(Path(filepath), overwrite, self._description(), self.layers, net)

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the weights to a .weights.h5 file that Keras can read, whole or not at all."""
        self._built()
        _files.write_weights(Path(filepath), overwrite, self.name, self.layers)

    def load_weights(self, filepath: Any) -> None:
        """Read the weights from a .weights.h5 file of the same layers, also one of Keras."""
        self._built()
        self.set_weights(_files.read_weights(Path(filepath), self.layers))

    def get_config(self) -> dict[str, Any]:
        """Return the name and the layers, in Keras' form."""
        return self._description()["config"]

    def to_json(self, **options: Any) -> str:
        """Return the layers and what was given to `compile` as JSON; `options` of `json.dumps`."""
        return json.dumps(self._description(), **options)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Return the model that `get_config` described, with fresh weights, not compiled."""
        _config.check_custom_objects(custom_objects)
        whole = {"class_name": "Sequential", "config": config}
        return cls._of("config", _config.read("config", whole))

    def _description(self) -> dict[str, Any]:
        compiled = None
        if self.optimizer is not None and self.loss is not None:
            compiled = _config.Compiled(self.optimizer, self.loss, self._metrics)
        shape = None if self._chain is None else self._chain.input_shape
        return _config.write(self.name, self.layers, shape, compiled)

    @classmethod
    def _of(cls, source: str, blueprint: _config.Blueprint, most_params: int | None = None) -> Self:
        """Return the model of a blueprint, unless it would be larger than what it came with."""
        model = cls(name=blueprint.name)
        try:
            model._assemble(blueprint.layers, blueprint.build_input_shape, most_params)
        except (KeyError, TypeError, AttributeError) as error:
            raise _config.not_a_model(source, error) from None
        except ValueError as error:
            raise ValueError(f"{source}: {error}") from None
        return model
