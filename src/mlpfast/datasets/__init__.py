"""Small data to begin with, MNIST, and readers for IDX, CSV and NPZ files."""

from mlpfast.datasets.csv_files import load_csv
from mlpfast.datasets.images import Part as Part
from mlpfast.datasets.images import (
    load_digits,
    load_fashion_mnist,
    load_idx_folder,
    load_mnist,
    read_idx,
    xor,
)
from mlpfast.datasets.npz_files import load_npz
from mlpfast.datasets.tables import Table

__all__ = [
    "Table",
    "load_csv",
    "load_digits",
    "load_fashion_mnist",
    "load_idx_folder",
    "load_mnist",
    "load_npz",
    "read_idx",
    "xor",
]
