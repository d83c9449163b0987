"""Counts, seeds and runs in words."""

from collections.abc import Iterable, Sequence
from typing import Any

from pysi.experiments.methods import METHODS
from pysi.report.tables import title


def several(n: int, what: str) -> str:
    """Return a number of things: "1 run", "2 runs"."""
    return f"{n} {what}{'s' * (n != 1)}"


def numbers(found: Iterable[int]) -> str:
    """Return whole numbers as text, such as "0 to 4, 7"."""
    spans: list[list[int]] = []
    for n in sorted(set(found)):
        if spans and spans[-1][1] == n - 1:
            spans[-1][1] = n
        else:
            spans.append([n, n])
    return ", ".join(
        f"{a}" if a == b else f"{a}, {b}" if b == a + 1 else f"{a} to {b}" for a, b in spans
    )


def seeds(found: Iterable[int]) -> str:
    """Return seeds as text, such as "seeds 0 to 4"."""
    listed = list(found)
    return f"seed{'s' * (len(listed) != 1)} {numbers(listed)}"


def named(point: tuple[Any, ...]) -> str:
    """Return the name of a method at a strength and, if it is given and matters, at a damping."""
    method, c, *xi = point
    damped = f", ξ = {xi[0]:g}" if xi and METHODS[method].xi else ""
    return title((method, c)) + damped


def listed(keys: Sequence[tuple[Any, ...]]) -> str:
    """Return runs, by key, as text: each method and strength with its seeds."""
    found: dict[str, list[int]] = {}
    apart = len({xi for _, _, xi, _ in keys}) > 1
    for method, c, xi, seed in keys:
        name = named((method, c, xi) if apart else (method, c))
        found.setdefault(name, []).append(seed)
    return "; ".join(f"{name}: {seeds(each)}" for name, each in found.items())
