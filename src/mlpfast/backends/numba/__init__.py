"""The fallback where the compiled extension is missing: hot loops compiled by Numba."""

from mlpfast.backends.numba.backend import make

__all__ = ["make"]
