"""The package's own errors: what went wrong, where, what was expected, and what to do."""

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
