"""`python -m mlpatterns` is the command `mlpatterns`."""

import sys

from mlpatterns.cli import main

if __name__ == "__main__":
    sys.exit(main())
