"""The command ``python -m benchmarks.lessons``; the work is done in studies/lessons.py."""

import sys

from benchmarks.studies.lessons import main

if __name__ == "__main__":
    sys.exit(main())
