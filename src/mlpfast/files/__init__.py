"""Nets in files, and files that are replaced whole or not at all."""

from mlpfast.files.atomic import replace_file
from mlpfast.files.model import PREPROCESSING, SUFFIXES, SavedNet, check_path, read, save
from mlpfast.files.npz import read_npz

__all__ = [
    "PREPROCESSING",
    "SUFFIXES",
    "SavedNet",
    "check_path",
    "read",
    "read_npz",
    "replace_file",
    "save",
]
