"""Nets in files: .safetensors (by the safetensors library) and .npz (by NumPy alone).

Both hold the same: a tensor ``layer0.weight`` (n_in, n_out) and, with biases, ``layer0.bias``
(n_out,) for every layer, and one JSON text named "mlpfast" with the format's version, mlpfast's
version, the fields of the `NetSpec`, and whatever extra facts the caller wants to keep. Reading
never runs code from a file. The optimizer's moments are not kept.
"""

from __future__ import annotations

import dataclasses
import json
import os
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlpfast._version import __version__
from mlpfast.arrays import check_finite
from mlpfast.backends.base import Array
from mlpfast.files.atomic import replace_file
from mlpfast.files.npz import read_npz
from mlpfast.net import Net
from mlpfast.spec import NetSpec

FORMAT_VERSION = 1
SUFFIXES = (".safetensors", ".npz")
_KEY = "mlpfast"


#: Extra facts that say how the inputs or outputs of a net were scaled in training.
PREPROCESSING = ("mean", "scale", "target_mean", "target_scale")


def save(net: Net, path: str | os.PathLike[str], *, extra: dict[str, Any] | None = None) -> None:
    """Write a net to a file, whole or not at all.

    Parameters
    ----------
    net : Net
    path : path
        Ends in ".safetensors" (needs ``pip install "mlpfast[io]"``) or ".npz". The file is written
        beside it first and then renamed, so that an older one survives any failure.
    extra : dict, optional
        More facts to keep, of what JSON knows: class names, the features' scaling and the like.

    Raises
    ------
    ValueError, TypeError
        If the suffix is another, a parameter is not finite, or `extra` cannot be written as JSON.
    ImportError
        If the safetensors library is missing.
    OSError
        If the file cannot be written.
    """
    suffix = check_path(path)
    check_finite("params", net.params)
    if extra is not None and not isinstance(extra, dict):
        raise TypeError(f"extra must be a dict, got {type(extra).__name__}")
    head = {
        "format_version": FORMAT_VERSION,
        "mlpfast_version": __version__,
        "spec": dataclasses.asdict(net.spec),
        "extra": extra or {},
    }
    try:
        text = json.dumps(head, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise type(error)(f"extra must hold only what JSON knows: {error}") from None
    tensors: dict[str, Any] = {}
    for i, (w, b) in enumerate(net.spec.unflatten(net.params)):
        tensors[f"layer{i}.weight"] = w
        if b is not None:
            tensors[f"layer{i}.bias"] = b
    if suffix == ".npz":
        buffer = BytesIO()
        np.savez(buffer, **{_KEY: np.array(text), **tensors})
        content = buffer.getvalue()
    else:
        content = _safetensors().numpy.save(tensors, metadata={_KEY: text})
    replace_file(path, content)


class SavedNet(NamedTuple):
    """What a model file holds.

    Attributes
    ----------
    spec : NetSpec
    params : (n_params,) array
    extra : dict
        The facts that were saved with the net.
    """

    spec: NetSpec
    params: Array
    extra: dict[str, Any]


def read(path: str | os.PathLike[str]) -> SavedNet:
    """Read what `save` wrote.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or truncated, not from mlpfast, or from a newer format; or if a
        tensor's name, shape, dtype or values are not what the net calls for. Names the file.
    ImportError
        If the safetensors library is missing.
    """
    suffix = check_path(path)
    name = os.fspath(path)
    text, tensors = _read_safetensors(path) if suffix == ".safetensors" else _read_npz(path)
    if text is None:
        raise ValueError(f"{name}: not a net saved by mlpfast: it has no {_KEY!r} entry")
    spec, extra = _parse_head(name, text)
    return SavedNet(spec, _collect(name, spec, tensors), extra)


def check_path(path: str | os.PathLike[str]) -> str:
    """Return the suffix of a model's path if it is one that can be written and read here."""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"path must end in {' or '.join(SUFFIXES)}, got {os.fspath(path)!r}")
    if suffix == ".safetensors":
        _safetensors()
    return suffix


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            'a .safetensors file needs the safetensors library: pip install "mlpfast[io]"; '
            "a .npz file does not"
        ) from None
    return safetensors


def _read_safetensors(path: str | os.PathLike[str]) -> tuple[str | None, dict[str, Array]]:
    library = _safetensors()
    name = os.fspath(path)
    with Path(path).open("rb"):  # the system's own error for a file that is missing or not readable
        pass
    try:
        with library.safe_open(name, framework="np") as file:
            text = (file.metadata() or {}).get(_KEY)
            names = [] if text is None else file.keys()
            return text, {key: file.get_tensor(key) for key in names}
    except (library.SafetensorError, AttributeError, OSError, TypeError, ValueError) as error:
        # AttributeError and TypeError: a dtype that NumPy does not know
        raise ValueError(f"{name}: damaged or foreign safetensors file: {error}") from None


def _read_npz(path: str | os.PathLike[str]) -> tuple[str | None, dict[str, Array]]:
    arrays = read_npz(path)
    text = arrays.pop(_KEY, None)
    if text is None or text.ndim or text.dtype.kind != "U":
        return None, {}
    return str(text[()]), arrays


def _parse_head(name: str, text: str) -> tuple[NetSpec, dict[str, Any]]:
    try:
        head = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name}: its {_KEY!r} entry is not JSON: {error}") from None
    if not isinstance(head, dict) or not isinstance(head.get("format_version"), int):
        raise ValueError(f"{name}: its {_KEY!r} entry has no format_version")
    if head["format_version"] != FORMAT_VERSION:
        raise ValueError(
            f"{name}: format_version must be {FORMAT_VERSION}, got {head['format_version']} "
            f"(written by mlpfast {head.get('mlpfast_version')}; this is {__version__})"
        )
    fields, extra = head.get("spec"), head.get("extra", {})
    if not isinstance(fields, dict) or not isinstance(extra, dict):
        raise ValueError(f"{name}: its {_KEY!r} entry must hold the dicts spec and extra")
    try:
        given: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
        }
        return NetSpec(**given), extra
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: its spec does not describe a net: {error}") from None


def _collect(name: str, spec: NetSpec, tensors: dict[str, Array]) -> Array:
    """Return the flat parameters, each tensor checked against the spec."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i, part in enumerate(spec.layers()):
        shapes[f"layer{i}.weight"] = part.shape
        if spec.bias:
            shapes[f"layer{i}.bias"] = part.shape[1:]
    for odd in sorted(shapes.keys() ^ tensors.keys()):
        what = "is missing" if odd in shapes else "does not belong to the net"
        raise ValueError(f"{name}: tensor {odd!r} {what}")
    flat = []
    for key, shape in shapes.items():
        tensor = tensors[key]
        if tensor.shape != shape or tensor.dtype.name != spec.dtype:
            raise ValueError(
                f"{name}: {key} must have shape {shape} and dtype {spec.dtype}, got "
                f"{tensor.shape} and {tensor.dtype}"
            )
        check_finite(f"{name}: {key}", tensor)
        flat.append(tensor.ravel())
    return np.concatenate(flat)
