"""``python -m mlpfast``: the command line."""

import sys

from mlpfast.cli import main

if __name__ == "__main__":
    sys.exit(main())
