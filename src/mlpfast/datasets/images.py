"""Small data to begin with, MNIST and its like, and a reader for IDX files."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from importlib import resources
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np

from mlpfast.backends.base import Array

Part: TypeAlias = tuple[Array, Array]

#: The third byte of an IDX file, and the big-endian values that it announces.
_IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20

_MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
#: SHA-256 of the four files as first published.
_MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}


_FASHION_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
#: The MD5 sums that its authors publish.
_FASHION_MD5 = {
    "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
}


def load_digits() -> Part:
    """Return 1,797 handwritten digits of 8x8 pixels, which come with the package.

    Returns
    -------
    X : (1797, 64) float32
        Pixels row by row, scaled from the 17 levels 0..16 to 0..1 (exact in float32).
    y : (1797,) int64
        The digit, 0..9.

    Notes
    -----
    The test part of E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", 1998,
    UCI Machine Learning Repository, doi 10.24432/C50P49, CC BY 4.0.
    """
    source = resources.files("mlpfast").joinpath("data", "digits.npz")
    with source.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return arrays["X"].astype(np.float32) / np.float32(16), arrays["y"].astype(np.int64)


def xor() -> Part:
    """Return the exclusive or: X (4, 2) and Y (4, 1), float64, rows 00, 01, 10, 11."""
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float64)
    return X, (X[:, :1] != X[:, 1:]).astype(np.float64)


def load_mnist(path: str | os.PathLike[str] | None = None) -> tuple[Part, Part]:
    """Return MNIST: 60,000 images to train on and 10,000 to test on.

    Parameters
    ----------
    path : path, optional
        Folder with the four IDX files, gzipped or not. By default the folder named by the
        environment variable MLPFAST_DATA (or its subfolder "mnist"); if that is not set, pooch's
        cache, filled over the network on first use (``pip install "mlpfast[data]"``).

    Returns
    -------
    (X_train, y_train), (X_test, y_test)
        X uint8 (60000, 784) and (10000, 784), pixels 0..255 row by row: train on them with
        ``input_scale=1/255``. y int64, the digit 0..9.

    Raises
    ------
    FileNotFoundError
        If a file is missing in the folder.
    ValueError
        If a file is damaged, or is not MNIST's.
    ImportError
        If the files would have to be fetched and pooch is not installed.
    OSError
        If they cannot be fetched.
    """
    if path is None and os.environ.get("MLPFAST_DATA"):
        path = Path(os.environ["MLPFAST_DATA"])
        if (path / "mnist").is_dir():
            path /= "mnist"
    return _like_mnist("MNIST", _fetch_mnist() if path is None else Path(path))


def load_fashion_mnist(path: str | os.PathLike[str] | None = None) -> tuple[Part, Part]:
    """Return Fashion-MNIST (Xiao et al., 2017): articles of clothing, in the form of MNIST.

    Parameters
    ----------
    path : path, optional
        Folder with the four IDX files, named as MNIST's are. By default the subfolder
        "fashion_mnist" or "fashion-mnist" of the folder named by MLPFAST_DATA; if there is none,
        pooch's cache, filled over the network on first use.

    Returns
    -------
    (X_train, y_train), (X_test, y_test)
        As `load_mnist`; y is 0 for a T-shirt, then trouser, pullover, dress, coat, sandal, shirt,
        sneaker, bag, and 9 for an ankle boot.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError, OSError
        As `load_mnist`.
    """
    if path is None and os.environ.get("MLPFAST_DATA"):
        folders = [Path(os.environ["MLPFAST_DATA"]) / f"fashion{joint}mnist" for joint in "_-"]
        path = next((folder for folder in folders if folder.is_dir()), None)
    name = "Fashion-MNIST"
    if path is None:
        path = _fetch(name, "fashion-mnist", _FASHION_URL, _FASHION_MD5)
    return _like_mnist(name, Path(path))


def _like_mnist(name: str, folder: Path) -> tuple[Part, Part]:
    """Read the four files and check that they are of MNIST's shape."""
    train, test = load_idx_folder(folder)
    if test is None:
        raise FileNotFoundError(f"{folder} has no file t10k-images-idx3-ubyte or ...ubyte.gz")
    for part, (X, _), rows in (("train", train, 60000), ("t10k", test, 10000)):
        if X.shape != (rows, 784):
            raise ValueError(
                f"{folder}: {name}'s {part}-images must be {rows} images of 784 pixels, "
                f"got {X.shape[0]} of {X.shape[1]}"
            )
    return train, test


def load_idx_folder(path: str | os.PathLike[str]) -> tuple[Part, Part | None]:
    """Return the images and labels in a folder of IDX files named as MNIST's are.

    Parameters
    ----------
    path : path
        Holds ``train-images-idx3-ubyte`` and ``train-labels-idx1-ubyte``, and perhaps the same
        with ``t10k``, each plain or with ``.gz``; ``train-images.idx3-ubyte`` will do too.

    Returns
    -------
    (X_train, y_train), (X_test, y_test) or None
        X uint8 (n, rows * columns), y int64 (n,).

    Raises
    ------
    FileNotFoundError
        If the folder or one of a pair of files is missing.
    ValueError
        If a file is damaged, or images and labels do not match.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    train = _read_pair(folder, "train")
    has_test = any(_find(folder, f"t10k-{part}") for part in ("images", "labels"))
    return train, _read_pair(folder, "t10k") if has_test else None


def read_idx(path: str | os.PathLike[str]) -> Array:
    """Return the array in an IDX file, gzipped or not, in the machine's byte order.

    Parameters
    ----------
    path : path

    Returns
    -------
    array
        Of the shape and dtype that the file's header states.

    Raises
    ------
    ValueError
        If the file is not IDX, or shorter or longer than its header says.
    """
    with Path(path).open("rb") as raw:
        zipped = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        if not zipped:
            return _parse_idx(raw, path)
        try:
            with gzip.open(raw, "rb") as file:
                return _parse_idx(file, path)  # type: ignore[arg-type]
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(
                f"{os.fspath(path)}: damaged or truncated gzip file: {error}"
            ) from None


def _parse_idx(file: BinaryIO, path: str | os.PathLike[str]) -> Array:
    name = os.fspath(path)
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _IDX_DTYPES or magic[3] == 0:
        raise ValueError(
            f"{name}: not an IDX file: it must begin with 00 00, a known type and the number of "
            f"axes, got {magic.hex(' ') or 'an empty file'}"
        )
    dtype, ndim = np.dtype(_IDX_DTYPES[magic[2]]), magic[3]
    sizes = file.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise ValueError(
            f"{name}: truncated: its header announces {ndim} axes and ends before them"
        )
    shape = tuple(int(n) for n in np.frombuffer(sizes, ">u4"))
    expected = math.prod(shape) * dtype.itemsize
    body = bytearray()
    # In pieces, so that a header that lies about the size cannot ask for all the memory.
    while len(body) <= expected and (piece := file.read(min(_CHUNK, expected + 1 - len(body)))):
        body += piece
    if len(body) != expected:
        kind = "truncated" if len(body) < expected else "too long"
        got = str(len(body)) if len(body) < expected else "more"
        raise ValueError(
            f"{name}: {kind}: its header {shape} {dtype.name} calls for {expected} bytes of data, "
            f"got {got}"
        )
    return np.frombuffer(body, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _find(folder: Path, stem: str) -> Path | None:
    """Path of one of the four files, `stem` being "train-images" and the like; None if absent."""
    axes = 3 if stem.endswith("images") else 1
    for joint in "-.":
        for suffix in ("", ".gz"):
            path = folder / f"{stem}{joint}idx{axes}-ubyte{suffix}"
            if path.is_file():
                return path
    return None


def _read_pair(folder: Path, part: str) -> Part:
    arrays = []
    for kind, ndim in (("images", 3), ("labels", 1)):
        path = _find(folder, f"{part}-{kind}")
        if path is None:
            name = f"{part}-{kind}-idx{ndim}-ubyte"
            raise FileNotFoundError(f"{folder} has no file {name} or {name}.gz")
        array = read_idx(path)
        if array.ndim != ndim or array.dtype != np.uint8:
            raise ValueError(
                f"{path}: must hold unsigned bytes with {ndim} axes, got {array.dtype} with "
                f"{array.ndim}"
            )
        arrays.append(array)
    images, labels = arrays
    if len(images) != len(labels):
        raise ValueError(
            f"{folder}: {part}-images and {part}-labels must be equally many, got {len(images)} "
            f"and {len(labels)}"
        )
    return images.reshape(len(images), math.prod(images.shape[1:])), labels.astype(np.int64)


def _fetch_mnist() -> Path:
    return _fetch("MNIST", "mnist", _MNIST_URL, _MNIST_SHA256)


def _fetch(name: str, folder: str, url: str, registry: dict[str, str]) -> Path:
    """Return the folder of pooch's cache with the files, fetching those that are missing."""
    try:
        import pooch
    except ImportError:
        raise ImportError(
            f"{name} is not on this machine and pooch, which would fetch it, is not installed: "
            'pip install "mlpfast[data]", or name a folder with path= or MLPFAST_DATA'
        ) from None
    cache: Any = pooch.create(
        path=pooch.os_cache("mlpfast") / folder, base_url=url, registry=registry
    )
    for file in registry:
        try:
            cache.fetch(file)
        except Exception as error:  # whatever the downloader beneath pooch raises
            raise OSError(
                f"{name}'s {file} could not be fetched from {url}: {error}. Without a "
                "network, name a folder that holds the four files with path= or MLPFAST_DATA"
            ) from error
    return Path(cache.path)
