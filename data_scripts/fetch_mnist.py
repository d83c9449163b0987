"""Download MNIST to the user's cache and verify it: the same as `pysi data fetch mnist`.

Nothing is converted: the official files are small, and read directly.

    python data_scripts/fetch_mnist.py
"""

import sys

from pysi.data import fetch
from pysi.errors import PysiError

if __name__ == "__main__":
    try:
        print(f"MNIST is complete and verified in {fetch('mnist')}")
    except PysiError as error:
        sys.exit(f"error: {error}")
