"""Models and weights in files: Keras' own, read as data alone, and mlpfast's.

A .keras file, or one of weights that ends in .weights.h5, can be exchanged with Keras. Nothing but
numbers and the names of known layers is taken from it: no code, no links to other files, no objects
of other modules. A .safetensors or .npz file is one of `mlpfast.files` with the layers in its extra
facts. The optimizer's moments are not kept.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mlpfast.keras import _config, _files
from mlpfast.keras._sequential import Sequential
from mlpfast.keras._unsupported import refuse

__all__ = ["load_model", "save_model"]


def save_model(model: Sequential, filepath: Any, overwrite: bool = True) -> None:
    """Write a model, whole or not at all; see `Sequential.save`."""
    model.save(filepath, overwrite)


def load_model(filepath: Any, custom_objects: Any = None, compile: bool = True) -> Sequential:  # noqa: A002
    """Read a model that `Sequential.save` wrote, or a .keras file of Keras.

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
    _config.check_custom_objects(custom_objects)
    path = Path(filepath)
    name = os.fspath(path)
    saved = _files.read_model(path)
    model = _model_of(name, saved.config, most_params=saved.most_params)
    try:
        model.set_weights(saved.arrays(name, model.layers))
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith(name) else f"{name}: {text}") from None
    if compile and saved.config.get("compile_config"):
        model.compile(**_config.compile_arguments(name, saved.config["compile_config"]))
    return model


def model_from_json(json_string: str, custom_objects: Any = None) -> Sequential:
    """Return the model that `Sequential.to_json` described, with fresh weights, not compiled."""
    _config.check_custom_objects(custom_objects)
    try:
        config = json.loads(json_string)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"json_string: not JSON: {error}") from None
    return _model_of("json_string", config)


def clone_model(model: Sequential) -> Sequential:
    """Return a model of the same layers, with fresh weights, not compiled."""
    if not isinstance(model, Sequential):
        refuse(f"clone_model of a {type(model).__name__}", "there is Sequential")
    return Sequential.from_config(model.get_config())


def _model_of(name: str, config: Any, most_params: int | None = None) -> Sequential:
    return Sequential._of(name, _config.read(name, config), most_params)
