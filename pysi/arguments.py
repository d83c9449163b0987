"""Checks of arguments, and a repr that shows the arguments with which an object was made."""

from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from inspect import Parameter, signature
from math import isfinite
from numbers import Integral, Real
from typing import Any, Self

import numpy as np

from pysi.errors import ConfigError


def refuse(what: str, expected: str, value: Any, remedy: str = "") -> ConfigError:
    """Return the error for an argument, or a part of one, that is not as expected."""
    shown = f"the class {value.__name__}" if isinstance(value, type) else f"{value!r:.80}"
    if isinstance(value, type) and not remedy:
        remedy = f"write {value.__name__}(…)"
    return ConfigError(f"{what}: expected {expected}, found {shown}{remedy and '; '}{remedy}")


def item(value: Any) -> Any:
    """Return the number in an array without axes; anything else as it is."""
    return value.item() if hasattr(value, "item") and not getattr(value, "ndim", 1) else value


def number(name: str, value: Any, expected: str, fits: Callable[[float], bool]) -> float:
    """Return `value` as a float; raise a ConfigError unless it is a finite number that `fits`."""
    value = item(value)
    try:
        good = isinstance(value, Real) and not isinstance(value, bool | np.bool)
        good = good and isfinite(value) and fits(float(value))
    except OverflowError:  # a whole number that no float can hold
        good = False
    if not good:
        raise refuse(name, expected, value)
    return float(value)


def is_whole(value: Any, low: int = 1) -> bool:
    """Return whether this is a whole number that is at least `low`; 2.0 and True are not."""
    value = item(value)
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= low


def whole(name: str, value: Any, low: int = 1) -> int:
    """Return `value` as an int; raise a ConfigError unless it is a whole number from `low`."""
    value = item(value)
    if not is_whole(value, low):
        raise refuse(name, f"a whole number from {low}", value)
    return int(value)


def wholes(name: str, values: Any, least: int, expected: str) -> tuple[int, ...]:
    """Return `values` as ints; raise a ConfigError unless they are `least` or more, each from 1."""
    if not isinstance(values, Sequence | np.ndarray) or isinstance(values, str) or (
        len(values) < least or any(np.shape(n) for n in values)
    ):  # fmt: skip
        raise refuse(name, expected, values)
    return tuple(whole(name, n) for n in values)


def choice(name: str, value: Any, known: Iterable[str]) -> str:
    """Return `value`; raise a ConfigError unless it is one of the known words."""
    if not isinstance(value, str) or value not in known:
        raise refuse(name, f"one of {list(known)}", value)
    return value


def instance(name: str, value: Any, kind: type) -> Any:
    """Return `value`; raise a ConfigError unless it is an object of this class or a subclass."""
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        raise refuse(name, f"{article} {kind.__name__}", value)
    return value


def several(name: str, values: Any, kind: type) -> list[Any]:
    """Return `values` as a list; raise a ConfigError unless it holds objects of a class only."""
    what = f"a list of {kind.__name__} objects"
    if isinstance(values, kind):
        raise refuse(name, what, values, "write it in brackets, [...]")
    if isinstance(values, type | str) or not isinstance(values, Iterable):
        raise refuse(name, what, values)
    if not (listed := list(values)):
        raise ConfigError(f"{name}: expected at least one {kind.__name__}, found none")
    return [instance(name, value, kind) for value in listed]


def floating(dtype: Any) -> np.dtype[Any]:
    """Return `dtype` as NumPy's type; raise a ConfigError unless it is float32 or float64."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found not in (np.float32, np.float64):
        raise refuse("dtype", "float32 or float64", dtype if found is None else found.name)
    return found


def seeds_of(seed: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the seeds, and their networks' leading axes: () for one seed, (R,) for a list of R."""
    seeds = np.atleast_1d(seed)
    if seeds.ndim != 1 or seeds.dtype.kind not in "iu" or not seeds.size or seeds.min() < 0:
        raise refuse("seed", "whole numbers from 0", seed)
    return tuple(seeds.tolist()), () if np.ndim(seed) == 0 else (len(seeds),)


def strengths(name: str, c: Any) -> Any:
    """Return strengths as an array, () or (R,); raise a ConfigError unless they are finite, ≥ 0."""
    try:
        values = np.asarray(c)
    except ValueError:  # rows of different lengths
        values = np.asarray(None)
    if values.dtype.kind not in "fiu" or values.ndim > 1 or not values.size or not (
        np.all(np.isfinite(values)) and values.min() >= 0
    ):  # fmt: skip
        raise refuse(name, f"a finite strength {name} ≥ 0, or one per network", c)
    return values.astype(float)


class Copied:
    """Gives objects that own a table the method `copy`, and forbids pickling them."""

    def copy(self) -> Self:
        """Return a copy with memory of its own."""
        return deepcopy(self)

    def __reduce__(self) -> Any:
        kind = type(self).__name__
        raise ConfigError(f"pickle: {kind} objects are written by their method save, not pickled")


class Arguments:
    """Gives a repr to objects that keep their constructor's arguments under the same names."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments it was made with, by name; a ConfigError if one of them is not kept."""
        names = [
            p.name for p in signature(type(self)).parameters.values()
            if p.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        ]  # fmt: skip
        for name in names:
            if not hasattr(self, name):
                kind = type(self).__name__
                raise ConfigError(
                    f"{kind}: expected its argument {name!r} as an attribute of the same name, "
                    f"found none; write self.{name} = {name} in its constructor"
                )
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        name, parameters = type(self).__name__, signature(type(self)).parameters
        try:
            arguments = self.arguments
        except ConfigError:
            return f"{name}(…)"
        words = []
        for i, (key, value) in enumerate(arguments.items()):
            value = value.tolist() if hasattr(value, "tolist") else value
            if (default := parameters[key].default) is Parameter.empty:
                words.append(repr(value))
            elif i == 0 or value != default:
                words.append(f"{key}={value!r}")
        return f"{name}({', '.join(words)})"
