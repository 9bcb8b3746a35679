"""Files of models and weights: what is in them, as numbers and JSON alone.

A .keras file is a ZIP archive with two JSON texts and an HDF5 file; .weights.h5 is that HDF5 file
on its own. A .safetensors or .npz file is one of `mlpfast.files` with the layers in its extra
facts.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from mlpfast import files
from mlpfast._version import __version__
from mlpfast.backends.base import Array
from mlpfast.keras import _hdf5
from mlpfast.keras._unsupported import refuse
from mlpfast.keras.layers import Layer
from mlpfast.model import MLP

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
#: Beyond these a file is no Dense-only model, or a lie about its size.
_MOST_JSON_BYTES = 1 << 24
_KEY = "keras"
#: What is written as the version: files of this one are laid out so.
_KERAS_VERSION = "3.5.0"
#: The least that a number takes in a file: half precision. So many parameters always find room.
_LEAST_BYTES, _FREE = 2, 1 << 20
_SUFFIXES = (".keras", *files.SUFFIXES)


class Saved(NamedTuple):
    """What is in a file: its configuration, and its arrays or the HDF5 file that has them."""

    config: dict[str, Any]
    content: bytes | list[Array]

    @property
    def most_params(self) -> int:
        """How many parameters are worth allocating: about as many as the file can hold."""
        if isinstance(self.content, bytes):
            return max(_FREE, len(self.content) // _LEAST_BYTES)
        return max(_FREE, sum(array.size for array in self.content))

    def arrays(self, name: str, layers: Sequence[Layer]) -> list[Array]:
        """Return the arrays of these layers; `name` is the file's, for errors."""
        if isinstance(self.content, bytes):
            return _hdf5.read(name, self.content, layers)
        return self.content


def check_suffix(path: Path) -> None:
    """Raise an error unless models are kept in files of this kind."""
    if path.suffix not in _SUFFIXES:
        refuse(
            f"a model in a {path.suffix or 'nameless'} file", "there are .keras and .safetensors"
        )


def check_weights_suffix(path: Path) -> None:
    """Raise a ValueError unless weights are kept in files of this kind."""
    if not path.name.endswith(".weights.h5"):
        raise ValueError(f"filepath must end in .weights.h5, got {os.fspath(path)!r}")


def _check_free(path: Path, overwrite: bool) -> None:
    if not overwrite and path.exists():
        raise FileExistsError(f"{os.fspath(path)} is there already, and overwrite is False")


def write_model(
    path: Path, overwrite: bool, config: dict[str, Any], layers: Sequence[Layer], net: MLP
) -> None:
    """Write a model, whole or not at all."""
    check_suffix(path)
    _check_free(path, overwrite)
    if path.suffix != ".keras":
        files.save(net, path, extra={_KEY: config})
        return
    meta = {
        "keras_version": _KERAS_VERSION,
        "date_saved": datetime.now().astimezone().strftime("%Y-%m-%d@%H:%M:%S"),
        "mlpfast_version": __version__,
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(_METADATA, json.dumps(meta))
        archive.writestr(_CONFIG, json.dumps(config))
        archive.writestr(_WEIGHTS, _hdf5.write(config["config"]["name"], layers))
    files.replace_file(path, content.getvalue())


def read_model(path: Path) -> Saved:
    """Return what is in the file of a model.

    Raises
    ------
    UnsupportedError
        If models are not kept in files of this kind.
    ValueError
        If the file is damaged, or has no model of this face of Keras.
    """
    name = os.fspath(path)
    check_suffix(path)
    if path.suffix == ".keras":
        return Saved(*_unzip(name, path))
    saved = files.read(path)
    if not isinstance(saved.extra.get(_KEY), dict):
        raise ValueError(
            f"{name}: a net of mlpfast, not a model of mlpfast.keras: MLP.load reads it"
        )
    pairs = saved.spec.unflatten(saved.params)
    return Saved(
        saved.extra[_KEY], [array for pair in pairs for array in pair if array is not None]
    )


def write_weights(path: Path, overwrite: bool, name: str, layers: Sequence[Layer]) -> None:
    """Write the weights of a model to a .weights.h5 file, whole or not at all."""
    check_weights_suffix(path)
    _check_free(path, overwrite)
    files.replace_file(path, _hdf5.write(name, layers))


def read_weights(path: Path, layers: Sequence[Layer]) -> list[Array]:
    """Return the arrays of these layers from a .weights.h5 file."""
    check_weights_suffix(path)
    return _hdf5.read(os.fspath(path), path.read_bytes(), layers)


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
