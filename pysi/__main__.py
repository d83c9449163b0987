"""`python -m pysi` is the command `pysi`."""

import sys

from pysi.cli import main

if __name__ == "__main__":
    sys.exit(main())
