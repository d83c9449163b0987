"""Names for type hints, which say what is meant and not only what it is made of."""

from collections.abc import Sequence
from os import PathLike
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

Array: TypeAlias = np.ndarray[Any, Any]
"""An array of NumPy or of CuPy, whose arrays have the same interface."""

Device: TypeAlias = ModuleType
"""The module whose arrays are used: `numpy` or `cupy`."""

File: TypeAlias = str | PathLike[str]
"""The path of a file or folder."""

Shape: TypeAlias = tuple[int, ...]
"""The length of each axis."""

Seeds: TypeAlias = int | Sequence[int]
"""One seed makes one network; several make as many networks, trained side by side."""

Strengths: TypeAlias = float | Sequence[float] | np.ndarray[Any, Any]
"""One strength of a penalty, or one per network."""

__all__ = ["Array", "DTypeLike", "Device", "File", "Seeds", "Shape", "Strengths"]
