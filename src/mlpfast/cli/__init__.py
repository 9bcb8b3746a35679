"""The command line: ``mlpfast train``, ``predict``, ``evaluate`` and ``info``."""

from mlpfast.cli.main import main

__all__ = ["main"]
