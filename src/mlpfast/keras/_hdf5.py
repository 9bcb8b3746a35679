"""The weights of a chain of layers in HDF5 as Keras 3 lays them out, read as numbers alone."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlpfast.backends.base import Array
from mlpfast.keras._names import snake_case
from mlpfast.keras.layers import Dense, Layer


def _h5py() -> Any:
    try:
        import h5py
    except ImportError:
        raise ImportError(
            'a .keras or .weights.h5 file needs h5py: pip install "mlpfast[keras]"; '
            "a .safetensors or .npz file does not"
        ) from None
    return h5py


def _groups(layers: Sequence[Layer]) -> list[tuple[str, Layer]]:
    """Return each layer and its group: by class, counted, whatever the layers are called."""
    counts: Counter[str] = Counter()
    groups = []
    for layer in layers:
        kind = snake_case(type(layer).__name__)
        counts[kind] += 1
        number = f"_{counts[kind] - 1}" if counts[kind] > 1 else ""
        groups.append((f"layers/{kind}{number}", layer))
    return groups


def write(name: str, layers: Sequence[Layer]) -> bytes:
    """Return the HDF5 file of the weights of a model of this name."""
    buffer = io.BytesIO()
    with _h5py().File(buffer, "w") as file:
        file.create_group("vars").attrs["name"] = name
        for path, layer in _groups(layers):
            group = file.create_group(f"{path}/vars")
            group.attrs["name"] = layer.name
            for i, array in enumerate(layer.weights):
                group.create_dataset(str(i), data=array)
    return buffer.getvalue()


def read(name: str, content: bytes, layers: Sequence[Layer]) -> list[Array]:
    """Return the arrays of these layers from an HDF5 file.

    Raises
    ------
    ValueError
        If it is no HDF5 file, if an array is missing, of another shape, no array of floats, or kept
        in another file; names the file.
    """
    h5py = _h5py()
    arrays = []
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            for path, layer in _groups(layers):
                if isinstance(layer, Dense):
                    arrays += [
                        _dataset(h5py, name, file, f"{path}/vars/{i}", view)
                        for i, view in enumerate(layer.weights)
                    ]
                    _check_count(h5py, name, file, f"{path}/vars", len(layer.weights))
            _check_others(h5py, name, file, layers)
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{name}: damaged, or no HDF5 file: {error}") from None
    return arrays


def _hard(h5py: Any, name: str, file: Any, path: str) -> Any:
    """Return what stands at a path that leads through no link to elsewhere."""
    here = file
    for part in path.split("/"):
        if not isinstance(here, h5py.Group) or part not in here.keys():  # noqa: SIM118
            raise ValueError(
                f"{name}: {path} is missing; a file of Keras 3 with the weights of the same layers "
                "is wanted"
            )
        if not isinstance(here.get(part, getlink=True), h5py.HardLink):
            raise ValueError(f"{name}: {path} is a link to elsewhere")
        here = here[part]
    return here


def _dataset(h5py: Any, name: str, file: Any, path: str, view: Array) -> Array:
    data = _hard(h5py, name, file, path)
    if not isinstance(data, h5py.Dataset) or data.is_virtual or data.external:
        raise ValueError(f"{name}: {path} is no array, or one that is kept in another file")
    if data.shape != view.shape or data.dtype.kind != "f":
        raise ValueError(
            f"{name}: {path} must be an array of floats of shape {view.shape}, got {data.dtype} "
            f"of shape {data.shape}"
        )
    return np.asarray(data[()], np.float32)


def _check_count(h5py: Any, name: str, file: Any, path: str, count: int) -> None:
    found = len(_hard(h5py, name, file, path))
    if found != count:
        raise ValueError(f"{name}: {path} must hold {count} arrays, got {found}")


def _check_others(h5py: Any, name: str, file: Any, layers: Sequence[Layer]) -> None:
    """Complain of layers with weights that the model has not."""
    known = {path.split("/")[1] for path, _ in _groups(layers)}
    for other in sorted(set(_hard(h5py, name, file, "layers")) - known):
        if len(_hard(h5py, name, file, f"layers/{other}").get("vars", ())):
            raise ValueError(f"{name}: layer {other!r} does not belong to the model")
