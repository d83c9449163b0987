"""The backend: NumPy or CuPy, formulas in few passes, and matrix products without copies.

A reader of the core needs three of its names: `namespace` (the array module of an array), `matmul`
and the decorator `elementwise`. Each does what plain NumPy would do.
"""

from pysi.backend.arrays import namespace, stream, to_device, to_host
from pysi.backend.elementwise import elementwise
from pysi.backend.matmul import matmul

__all__ = ["elementwise", "matmul", "namespace", "stream", "to_device", "to_host"]
