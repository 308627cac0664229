"""`python -m manyfit.cli` is the command line, as `manyfit` is."""

import sys

from manyfit.cli import main

if __name__ == "__main__":
    sys.exit(main())
