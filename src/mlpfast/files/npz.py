"""NPZ files as untrusted data: all arrays, or one error that names the file."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path

import numpy as np

from mlpfast.backends.base import Array

#: What zipfile and NumPy raise on damaged files; OSError among them, for an offset out of range.
_NPZ_ERRORS = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    MemoryError,
    TypeError,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(path: str | os.PathLike[str]) -> dict[str, Array]:
    """Return every array of an NPZ file; one ValueError naming the file if it is damaged."""
    name = os.fspath(path)
    with Path(path).open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise ValueError(f"{name}: not an NPZ file, or truncated")
        file.seek(0)
        try:
            with np.load(file, allow_pickle=False) as stored:
                return {key: stored[key] for key in stored.files}
        except _NPZ_ERRORS as error:
            raise ValueError(f"{name}: damaged or foreign NPZ file: {error}") from None
