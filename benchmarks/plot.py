"""The command ``python -m benchmarks.plot``; the work is done in studies/plot.py."""

import sys

from benchmarks.studies.plot import main

if __name__ == "__main__":
    sys.exit(main())
