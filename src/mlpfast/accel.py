"""``python -m mlpfast.accel program.py``: run a program with mlpfast in scikit-learn's place.

Whatever the program imports from ``sklearn.neural_network`` is then mlpfast's; see
`mlpfast.patch_sklearn`. ``python -m mlpfast.accel -m package.module`` runs a module.

Estimators that the program sends to other processes stay mlpfast's. What is imported there anew,
in processes that are spawned rather than forked, is scikit-learn's own.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from mlpfast._public import show_public_names

__all__ = ["main"]

_USAGE = "usage: python -m mlpfast.accel [-m module | program.py] [argument ...]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program that the arguments name; return 2 if they name none."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    is_module = arguments[:1] == ["-m"]
    program = arguments[is_module : is_module + 1]
    if not program or program[0].startswith("-"):
        print(_USAGE, file=sys.stdout if program in (["-h"], ["--help"]) else sys.stderr)
        return 0 if program in (["-h"], ["--help"]) else 2
    if not is_module and not Path(program[0]).exists():
        print(f"python -m mlpfast.accel: there is no file {program[0]!r}", file=sys.stderr)
        return 2

    from mlpfast.sklearn import patch_sklearn

    patch_sklearn()
    sys.argv = arguments[is_module:]
    if is_module:
        # As `python -m` has it: the current folder, where Python put ours for the same reason.
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(program[0]).resolve().parent)
        runpy.run_path(program[0], run_name="__main__")
    return 0


show_public_names(sys.modules[__name__])

if __name__ == "__main__":
    sys.exit(main())
