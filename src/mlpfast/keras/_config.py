"""Models as Keras writes them in JSON: from objects to dicts, and back by known names alone.

Nothing in a configuration is looked up outside this package, so that one from a stranger can do no
more than be refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from mlpfast.keras import initializers, layers, losses, metrics, optimizers, regularizers
from mlpfast.keras._unsupported import refuse
from mlpfast.keras.optimizers import schedules


class Compiled(NamedTuple):
    """What `Sequential.compile` was given."""

    optimizer: optimizers.Optimizer
    loss: losses.Loss
    metrics: Sequence[metrics.Metric | str]


class Blueprint(NamedTuple):
    """What a configuration describes: a model's name, its layers and what they were built for."""

    name: str | None
    layers: list[layers.Layer]
    build_input_shape: Sequence[int | None] | None


def write(
    name: str,
    stack: Sequence[layers.Layer],
    input_shape: Sequence[int] | None,
    compiled: Compiled | None = None,
) -> dict[str, Any]:
    """Return what Keras writes to config.json for a model.

    Parameters
    ----------
    name : str
    stack : list of Layer
        Without an `Input`.
    input_shape : tuple of int, optional
        Of a sample.
    compiled : Compiled, optional
    """
    shape = None if input_shape is None else [None, *input_shape]
    first = [layers.InputLayer(batch_shape=shape, name="input_layer")] if shape else []
    config: dict[str, Any] = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {
            "name": name,
            "trainable": True,
            "layers": [_entry(layer) for layer in [*first, *stack]],
            "build_input_shape": shape,
        },
        "registered_name": None,
        "build_config": {"input_shape": shape},
    }
    if compiled is not None:
        config["compile_config"] = {
            "optimizer": _object(compiled.optimizer, "keras.optimizers"),
            "loss": _object(compiled.loss, "keras.losses"),
            "loss_weights": None,
            "metrics": [
                m if isinstance(m, str) else _object(m, "keras.metrics") for m in compiled.metrics
            ],
            "weighted_metrics": None,
            "run_eagerly": False,
            "steps_per_execution": 1,
            "jit_compile": False,
        }
    return _plain(config)


def _plain(value: Any) -> Any:
    """Return the same with Python's numbers in the place of NumPy's, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def read(name: str, config: Any) -> Blueprint:
    """Return what a configuration describes; `name` is that of its source, for errors.

    Raises
    ------
    UnsupportedError
        If the model is not a chain of Dense layers; names the layer.
    ValueError
        If it is no configuration of a model.
    """
    try:
        kind, inner = config["class_name"], config["config"]
        if kind != "Sequential":
            refuse(f"{name}: a model of class {kind!r}", "there is Sequential")
        stack = [_layer(name, entry) for entry in inner["layers"]]
        shape = inner.get("build_input_shape") or config.get("build_config", {}).get("input_shape")
    except (KeyError, TypeError, AttributeError) as error:
        raise not_a_model(name, error) from None
    return Blueprint(inner.get("name"), stack, shape)


def check_custom_objects(custom_objects: Any) -> None:
    """Raise an error unless there are none."""
    if custom_objects:
        refuse("custom_objects", "a model here has the layers of mlpfast.keras.layers alone")


def not_a_model(name: str, error: Exception) -> ValueError:
    """Return the error for a configuration that makes no sense."""
    return ValueError(f"{name}: its configuration is not that of a model: {error!r}")


def _object(thing: Any, module: str) -> dict[str, Any]:
    return {
        "module": module,
        "class_name": type(thing).__name__,
        "config": thing.get_config(),
        "registered_name": None,
    }


def _entry(layer: layers.Layer) -> dict[str, Any]:
    entry = _object(layer, "keras.layers")
    if layer.shapes is not None:
        entry["build_config"] = {"input_shape": [None, *layer.shapes[0]]}
    return entry


def _layer(name: str, entry: dict[str, Any]) -> layers.Layer:
    kind, config = entry["class_name"], dict(entry["config"])
    label = f"{name}: layer {config.get('name')!r} ({kind})"
    if kind not in layers.CLASSES or entry.get("registered_name"):
        refuse(label)
    dtype = config.pop("dtype", None)
    if isinstance(dtype, dict):
        dtype = dtype.get("config", {}).get("name")
    for key, value in config.items():
        if isinstance(value, dict):
            config[key] = _part(label, key, value)
    if "batch_shape" in config:
        config["batch_shape"] = tuple(config["batch_shape"])
    return layers.CLASSES[kind](dtype=dtype, **config)


_PARTS: dict[str, dict[str, Any]] = {
    "keras.initializers": initializers.CLASSES,
    "keras.regularizers": {"L2": regularizers.L2},
    "keras.optimizers": optimizers.CLASSES,
    "keras.optimizers.schedules": schedules.CLASSES,
    "keras.losses": losses.CLASSES,
    "keras.metrics": metrics.CLASSES,
}
#: Arguments of later versions of Keras that say nothing while they are None.
_EMPTY = ("input_axes", "output_axes", "dtype", "axis")


def _part(label: str, key: str, value: dict[str, Any]) -> Any:
    """Return the object that a part of a configuration stands for."""
    module, kind = value.get("module"), value.get("class_name")
    if module == "builtins" and kind == "function":
        return value["config"]  # the name of a function, to be looked up among those of this face
    known = _PARTS.get(module or "", {})
    if kind not in known or value.get("registered_name"):
        if key == "kernel_regularizer" or module != "keras.initializers":
            refuse(f"{label}: {key}={module}.{kind}")
        return "zeros"  # how the weights began does not matter: they are in the file
    config = {
        k: v for k, v in value.get("config", {}).items() if k not in _EMPTY or v not in (None, -1)
    }
    for inner, part in config.items():
        if isinstance(part, dict) and "class_name" in part:
            config[inner] = _part(label, inner, part)
    config.pop("dtype", None)
    return known[kind](**config)


def compile_arguments(name: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with which a model is compiled as it was."""
    label = f"{name}: compile_config (compile=False goes without)"
    try:
        parts = {
            key: _part(label, key, value) if isinstance(value, dict) else value
            for key, value in config.items()
            if key in ("optimizer", "loss")
        }
        wanted = config.get("metrics") or []
        if isinstance(wanted, dict):
            refuse(f"{label}: metrics by the names of outputs")
        figures = [
            _part(label, "metrics", metric) if isinstance(metric, dict) else metric
            for metric in _flat(wanted)
        ]
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{label}: {error!r}") from None
    return {
        **parts,
        "metrics": figures,
        "loss_weights": config.get("loss_weights"),
        "weighted_metrics": config.get("weighted_metrics") or None,
    }


def _flat(values: Any) -> list[Any]:
    return [x for value in values for x in (value if isinstance(value, list) else [value])]
