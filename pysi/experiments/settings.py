"""Settings of an experiment: how the command line offers them, and what values they may have."""

from collections.abc import Callable
from dataclasses import Field, field
from numbers import Real
from typing import Any

from pysi.arguments import is_whole
from pysi.errors import ConfigError

LARGEST = 1_000_000
"""A larger number of anything is a typing error, or damage: so many runs would never end."""


KINDS: dict[type, tuple[str, Callable[[Any], bool]]] = {
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: (
        f"a whole number from 1 to {LARGEST}",
        lambda n: is_whole(n) and n <= LARGEST,
    ),
    float: ("a number", lambda v: isinstance(v, Real) and not isinstance(v, bool)),
    str: ("text", lambda value: isinstance(value, str)),
}
"""What a setting is, and how it is recognised, by the type of its default."""


def option(
    default: Any, help: str, *, lists_runs: bool = False, strengths: bool = False,
    free: bool = False, **how: Any,
) -> Any:  # fmt: skip
    """Return a setting that the command line offers: a field, with argparse's arguments.

    `lists_runs` says that it only lists which runs there are, and changes nothing within one;
    `strengths`, that it lists values of c; `free`, that its owner checks its type.
    """
    if strengths:
        lists_runs, how = True, {"type": float, "nargs": "+"} | how
    about = {"lists_runs": lists_runs, "strengths": strengths, "free": free}
    return field(default=default, metadata=about | {"how": {"help": help} | how})


def check_type(setting: Field, about: Any, value: Any) -> None:
    """Raise a ConfigError for a value that is not of its default's type."""
    name, default = setting.name, setting.default
    if default is None or about.get("free"):
        return
    kind: Any = type(default)
    if several := isinstance(default, tuple):
        kind = type(default[0]) if default else about["how"].get("type", str)
        if not isinstance(value, tuple | list):
            raise ConfigError(f"{name}: expected several values, found {value!r}")
    for one in value if several else [value]:
        if not KINDS[kind][1](one):
            raise ConfigError(f"{name}: expected {KINDS[kind][0]}, found {one!r}")
