"""Tables of synapses as files."""

from collections.abc import Callable
from math import prod
from types import EllipsisType
from typing import Any, TypeVar

import numpy as np

from pysi.backend.arrays import to_host
from pysi.storage.archive import Headers, Malformed, read_archive, write_archive
from pysi.typing import Device, File

Table = TypeVar("Table")  # `pysi.Synapses`, or a subclass

SAVED = ("theta", "omega", "Omega", "theta_ref")
"""The rows that are saved; g belongs to a single step."""


def save_table(synapses: Any, path: File, replica: int | EllipsisType = ...) -> None:
    """Write θ, ω, Ω and θ̃ to an ``.npz`` file, which appears only when it is complete.

    All networks of the table are written, or only the one with the index `replica`.
    """
    rows = {name: to_host(getattr(synapses, name)[replica]) for name in SAVED}
    write_archive(path, {"shapes": synapses.shapes}, rows)


def load_table(kind: Callable[..., Table], path: File, xp: Device = np) -> Table:
    """Return the table that `save_table` wrote, as an object of type `kind`.

    Raises
    ------
    DataError
        The file is missing, unreadable, or not a table of synapses.
    """
    expected = "a table of synapses as written by Synapses.save"
    # Tables of version 0.1 have no checksum; they are read if all their rows fit together.
    about, arrays = read_archive(path, expected, check_table, older="shapes")
    theta = arrays["theta"]
    synapses = kind(about["shapes"], lead=theta.shape[:-1], dtype=theta.dtype, xp=xp)
    for name in SAVED:
        getattr(synapses, name)[...] = xp.asarray(arrays[name])
    return synapses


def check_table(about: Any, headers: Headers) -> None:
    """Raise `Malformed` unless the arrays are the rows of a table with the shapes in `about`."""
    shapes = about.get("shapes") if isinstance(about, dict) else None
    if not isinstance(shapes, dict) or not all(map(_is_shape, shapes.values())):
        raise Malformed(f"the shapes {str(shapes)[:80]}")
    if headers.keys() != set(SAVED) or len(set(headers.values())) > 1:
        raise Malformed(f"the rows {headers}")
    shape, dtype = headers["theta"]
    size = sum(map(prod, shapes.values()))
    if not size or shape[-1:] != (size,) or not all(shape) or dtype.kind != "f":
        raise Malformed(f"rows of shape {shape} and type {dtype} for {size} synapses")


def _is_shape(value: Any) -> bool:
    return isinstance(value, list) and all(type(n) is int and n >= 0 for n in value)
