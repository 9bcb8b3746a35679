"""Models and weights in files: Keras' own, read as data alone, and mlpfast's.

A .keras file is a ZIP archive with two JSON texts and an HDF5 file; .weights.h5 is that HDF5 file
on its own. Of them nothing but numbers and the names of known layers is taken: no code, no links
to other files, no objects of other modules. A .safetensors or .npz file is one of `mlpfast.io` with
the layers in its extra facts. The optimizer's moments are not kept.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

from mlpfast import io as native
from mlpfast._version import __version__
from mlpfast.backends.base import Array
from mlpfast.keras import (
    _hdf5,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
)
from mlpfast.keras._unsupported import refuse
from mlpfast.keras.models import Sequential
from mlpfast.keras.optimizers import schedules

__all__ = ["load_model", "save_model"]

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
#: Beyond these a file is no Dense-only model, or a lie about its size.
_MOST_JSON_BYTES = 1 << 24
_KEY = "keras"
#: What is written as the version: files of this one are laid out so.
_KERAS_VERSION = "3.5.0"


def save_model(model: Sequential, filepath: Any, overwrite: bool = True) -> None:
    """Write a model, whole or not at all.

    Parameters
    ----------
    model : Sequential
    filepath : path
        Ends in ".keras" (for Keras too; needs ``pip install "mlpfast[keras]"``), ".safetensors"
        or ".npz".
    overwrite : bool, default True

    Raises
    ------
    FileExistsError
        If the file is there and is not to be overwritten.
    ValueError
        If the suffix is another, or the model has no weights yet.
    """
    net, _ = model._built()
    path = _checked(filepath, overwrite)
    if path.suffix == ".keras":
        content = io.BytesIO()
        meta = {
            "keras_version": _KERAS_VERSION,
            "date_saved": datetime.now().astimezone().strftime("%Y-%m-%d@%H:%M:%S"),
            "mlpfast_version": __version__,
        }
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr(_METADATA, json.dumps(meta))
            archive.writestr(_CONFIG, json.dumps(config_of(model)))
            archive.writestr(_WEIGHTS, _hdf5.write(model))
        native.replace_file(path, content.getvalue())
    elif path.suffix in native.SUFFIXES:
        native.save(net, path, extra={_KEY: config_of(model)})
    else:
        refuse(
            f"a model in a {path.suffix or 'nameless'} file", "there are .keras and .safetensors"
        )


def save_weights(model: Sequential, filepath: Any, overwrite: bool = True) -> None:
    """Write the weights to a .weights.h5 file, whole or not at all."""
    model._built()
    path = _checked(filepath, overwrite)
    _check_weights_path(path)
    native.replace_file(path, _hdf5.write(model))


def load_weights(model: Sequential, filepath: Any) -> None:
    """Read the weights of a model from a .weights.h5 file of the same layers."""
    model._built()
    path = Path(filepath)
    _check_weights_path(path)
    model.set_weights(_hdf5.read(os.fspath(path), path.read_bytes(), model))


def load_model(filepath: Any, custom_objects: Any = None, compile: bool = True) -> Sequential:  # noqa: A002
    """Read a model that `save_model` wrote, or a .keras file of Keras.

    Parameters
    ----------
    filepath : path
    custom_objects
        Not taken: nothing in a file is looked up anywhere.
    compile : bool, default True
        Whether to compile the model as it was.

    Raises
    ------
    UnsupportedError
        If the model is not a chain of Dense layers; names the layer. If the loss, a metric or the
        optimizer is not offered; ``compile=False`` goes without.
    ValueError
        If the file is damaged, or no model of either.
    """
    if custom_objects:
        refuse("custom_objects", "a model here has the layers of mlpfast.keras.layers alone")
    path = Path(filepath)
    name = os.fspath(path)
    if path.suffix in native.SUFFIXES:
        net, extra = native.load_with_extra(path)
        if not isinstance(extra.get(_KEY), dict):
            raise ValueError(
                f"{name}: a net of mlpfast, not a model of mlpfast.keras: MLP.load reads it"
            )
        model = _model_of(name, extra[_KEY])
        weights: list[Array] = [
            a for pair in net.spec.unflatten(net.params) for a in pair if a is not None
        ]
        config = extra[_KEY]
    elif path.suffix == ".keras":
        config, content = _unzip(name, path)
        model = _model_of(name, config)
        weights = _hdf5.read(name, content, model)
    else:
        refuse(
            f"a model in a {path.suffix or 'nameless'} file", "there are .keras and .safetensors"
        )
    try:
        model.set_weights(weights)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if compile and config.get("compile_config"):
        _compile(name, model, config["compile_config"])
    return model


def _checked(filepath: Any, overwrite: bool) -> Path:
    path = Path(filepath)
    if not overwrite and path.exists():
        raise FileExistsError(f"{os.fspath(path)} is there already, and overwrite is False")
    return path


def _check_weights_path(path: Path) -> None:
    if not path.name.endswith(".weights.h5"):
        raise ValueError(f"filepath must end in .weights.h5, got {os.fspath(path)!r}")


# ---------------------------------------------------------------------------- configurations


def config_of(model: Sequential) -> dict[str, Any]:
    """Return what Keras writes to config.json."""
    shape = None if model._chain is None else [None, *model._chain.input_shape]
    first = layers.InputLayer(batch_shape=shape, name="input_layer") if shape else None
    kept = [] if first is None else [first]
    config: dict[str, Any] = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {
            "name": model.name,
            "trainable": True,
            "layers": [_entry(layer) for layer in [*kept, *model.layers]],
            "build_input_shape": shape,
        },
        "registered_name": None,
        "build_config": {"input_shape": shape},
    }
    if model.optimizer is not None and model.loss is not None:
        config["compile_config"] = {
            "optimizer": _object(model.optimizer, "keras.optimizers"),
            "loss": _object(model.loss, "keras.losses"),
            "loss_weights": None,
            "metrics": [
                m if isinstance(m, str) else _object(m, "keras.metrics") for m in model._metrics
            ],
            "weighted_metrics": None,
            "run_eagerly": False,
            "steps_per_execution": 1,
            "jit_compile": False,
        }
    return config


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


def _model_of(name: str, config: Any) -> Sequential:
    """Return the model that a configuration describes, without its weights."""
    try:
        kind, inner = config["class_name"], config["config"]
        if kind != "Sequential":
            refuse(f"{name}: a model of class {kind!r}", "there is Sequential")
        model = Sequential(name=inner.get("name"))
        for entry in inner["layers"]:
            model.add(_layer(name, entry))
        shape = inner.get("build_input_shape") or config.get("build_config", {}).get("input_shape")
        if not model.built:
            model.build(shape)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{name}: its configuration is not that of a model: {error!r}") from None
    return model


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
    if module == "builtins" and value.get("registered_name") is None and kind == "function":
        return value["config"]  # the name of a function
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


def _compile(name: str, model: Sequential, config: dict[str, Any]) -> None:
    """Compile a model as it was."""
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
    model.compile(
        **parts,
        metrics=figures,
        loss_weights=config.get("loss_weights"),
        weighted_metrics=config.get("weighted_metrics") or None,
    )


def _flat(values: Any) -> list[Any]:
    return [x for value in values for x in (value if isinstance(value, list) else [value])]


def _unzip(name: str, path: Path) -> tuple[dict[str, Any], bytes]:
    """Return the configuration and the HDF5 file of a .keras archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(_CONFIG)
            if info.file_size > _MOST_JSON_BYTES:
                raise ValueError(f"{name}: its {_CONFIG} is of {info.file_size} bytes")
            config = json.loads(archive.read(info))
            weights = archive.getinfo(_WEIGHTS)
            # Weights are hardly compressible: what unpacks to much more than the file is a trap.
            if weights.file_size > 20 * path.stat().st_size + _MOST_JSON_BYTES:
                raise ValueError(f"{name}: its {_WEIGHTS} is of {weights.file_size} bytes")
            return config, archive.read(weights)
    except (
        zipfile.BadZipFile,
        KeyError,
        RecursionError,
        UnicodeDecodeError,
        json.JSONDecodeError,
    ) as error:
        raise ValueError(f"{name}: damaged, or no .keras file: {error}") from None
