"""The command line: ``mlpfast train``, ``predict``, ``evaluate`` and ``info``."""

import sys as _sys

from mlpfast._public import show_public_names as _show_public_names
from mlpfast.cli.main import main

__all__ = ["main"]

_show_public_names(_sys.modules[__name__])
