"""The package's own errors: what went wrong, where, what was expected, and what to do."""

import warnings

from pysi.typing import Array

DISTRIBUTION = "synaptic-intelligence"
"""What `pip` calls the package that Python imports as `pysi`."""


class PysiError(Exception):
    """Base class of every error that `pysi` raises on purpose."""


class ConfigError(PysiError, ValueError):
    """An argument or setting is wrong. Raised before any work is done."""


class DataError(PysiError):
    """A file is missing, unreadable or not what it should be. The message names it."""


class DivergenceError(PysiError, ArithmeticError):
    """Training produced a number that is not finite.

    The message names the seed, the task, the epoch and the step at which it was first seen.

    Attributes
    ----------
    replica : int
        Which of several networks it was.
    """

    replica: int = 0


def install(extra: str) -> str:
    """Return the command that installs the libraries of an extra, such as "demo".

    Double quotes are understood by every shell, those of Windows included.
    """
    return f'pip install "{DISTRIBUTION}[{extra}]"'


def check_pixels(where: str, x: Array) -> None:
    """Warn of unsigned bytes that are hardly pixels, because a network divides them by 255.

    Those of scikit-learn's digits, for example, go from 0 to 16 only.
    """
    if x.dtype == "uint8" and x.size and 0 < (highest := int(x.max())) <= 16:
        warnings.warn(
            f"{where}: expected pixels from 0 to 255, because the inputs are unsigned bytes, found "
            f"{highest} as the highest. A network divides unsigned bytes by 255: if that is not "
            f"what you want, give floats, such as x / {highest}.",
            stacklevel=4,
        )
