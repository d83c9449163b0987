"""`python -m pysi` is the command `pysi`."""

import sys

from pysi.cli import main

sys.exit(main())
