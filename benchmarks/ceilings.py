"""The command ``python -m benchmarks.ceilings``; the work is done in machine/ceilings.py."""

import sys

from benchmarks.machine.ceilings import main

if __name__ == "__main__":
    sys.exit(main())
