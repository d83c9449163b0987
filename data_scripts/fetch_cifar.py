"""Download CIFAR-10 and CIFAR-100 to the user's cache and verify them.

The same as `pysi data fetch cifar10 cifar100`: 170 and 169 MB. Nothing is converted or unpacked:
the official archives are read directly.

    python data_scripts/fetch_cifar.py
"""

import sys

from pysi.data import fetch
from pysi.errors import PysiError

if __name__ == "__main__":
    try:
        for name in ("cifar10", "cifar100"):
            print(f"{name} is complete and verified: {fetch(name)}")
    except PysiError as error:
        sys.exit(f"error: {error}")
