"""The table of synapses: the paper's (θ, ω, Ω, θ̃), and the gradient g, of every weight and bias.

A row is a quantity, a column is a synapse::

                 synapse 0   1   2   …   P-1
    theta       [                            ]   θ   the weight itself
    grad        [                            ]   g   gradient of the task's loss
    omega       [                            ]   ω   path integral since the task began (Eq. 3)
    Omega       [                            ]   Ω   importance for all past tasks (Eq. 5)
    theta_ref   [                            ]   θ̃   the weight at the end of the last task

Layers read θ and write g through views that are shaped like their weights; optimizers and
consolidation rules work on whole rows. Nothing but the table owns data. With leading axes a row has
the shape (R, P): R independent networks side by side.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from math import prod
from typing import Any

import numpy as np

from pysi.arguments import Copied, floating
from pysi.backend.arrays import Ranges
from pysi.backend.recording import Recording
from pysi.errors import ConfigError
from pysi.storage.tables import load_table, save_table
from pysi.typing import Array, Device, DTypeLike, File, Shape

ROWS = ("theta", "grad", "omega", "Omega", "theta_ref")


class Handle:
    """Views of the table's five rows. Write into them, as in ``theta[...] = 0``."""

    def __init__(self, views: Iterable[Array]) -> None:
        self._views = tuple(views)

    theta = property(lambda self: self._views[0], doc="θ: the weight.")
    grad = property(lambda self: self._views[1], doc="g: gradient of the task's loss alone.")
    omega = property(lambda self: self._views[2], doc="ω: path integral of the task, Eq. 3 (loss).")
    Omega = property(lambda self: self._views[3], doc="Ω: importance, Eq. 5 (loss per weight²).")
    theta_ref = property(lambda self: self._views[4], doc="θ̃: reference weight of Eq. 4.")


class SynapseGroup(Handle):
    """The synapses of one weight matrix or bias: rows have its shape, after any leading axes."""

    def __init__(self, views: Iterable[Array], name: str, columns: slice, shape: Shape) -> None:
        super().__init__(views)
        self.name, self.columns, self.shape = name, columns, shape

    def __repr__(self):
        return f"SynapseGroup({self.name!r}, shape={self.shape})"


class Synapse(Handle):
    """One synapse, for teaching and inspection: its rows are 0-d views, or (R,) for R networks."""

    def __init__(self, views: Iterable[Array], index: int, group: str) -> None:
        super().__init__(views)
        self.index, self.group = index, group

    def __repr__(self):
        values = ", ".join(f"{name}={view}" for name, view in zip(ROWS, self._views, strict=True))
        return f"Synapse({self.index} of {self.group}: {values})"


class Update(Handle):
    """The table while a step is recorded: rows in formulas, which run together at the end.

    ``rows.omega[...] = rows.omega - rows.grad * delta`` updates ω of all synapses, and
    ``rows.part(row)`` is any other row. What is not elementwise, such as a sum, is refused.
    """

    def __init__(self, views: Iterable[Array], recorder: Any) -> None:
        super().__init__(map(recorder.symbol, views))
        self.part: Callable[[Array], Any] = recorder.part

    def advance(self, delta: Any) -> None:
        """θ ← θ + Δθ. The only place where training changes θ, so Δθ is the realised step."""
        self.theta[...] = self.theta + delta


class Synapses(Copied, Handle):
    """One contiguous table of all synapses of a network, or of R networks.

    Parameters
    ----------
    shapes : dict of str to tuple of int
        Name and shape of every group, in the order of the columns; at least one synapse.
    lead : tuple of int
        Leading axes, () for one network or (R,) for R of them.
    dtype, xp : dtype, module
        float32 or float64; `numpy` or `cupy`.
    block_size : int, optional
        Largest number of columns that are updated at once on a CPU.

    Examples
    --------
    >>> s = Synapses({"dense1.W": (3, 2), "dense1.b": (2,)})
    >>> s.group("dense1.W").theta[...], s[4].theta[...] = 0.5, 2
    >>> s.theta
    array([0.5, 0.5, 0.5, 0.5, 2. , 0.5, 0. , 0. ], dtype=float32)
    """

    def __init__(
        self, shapes: Mapping[str, Shape], *, lead: Shape = (), dtype: DTypeLike = np.float32,
        xp: Device = np, block_size: int | None = None,
    ) -> None:  # fmt: skip
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.size = sum(prod(shape) for shape in self.shapes.values())
        if not self.size:
            raise ConfigError(f"shapes: expected at least one synapse, found {self.shapes}")
        self.lead, self.dtype, self.xp = tuple(lead), floating(dtype), xp
        self._block_size = block_size
        self.table = xp.zeros((len(ROWS), *self.lead, self.size), self.dtype)
        super().__init__(self.table[i] for i in range(len(ROWS)))
        self.train_only()
        ends = np.cumsum([0, *map(prod, self.shapes.values())]).tolist()
        self._columns = dict(zip(self.shapes, map(slice, ends[:-1], ends[1:]), strict=True))

    def __len__(self) -> int:
        return self.size

    def __repr__(self):
        return f"Synapses({self.size} in {list(self.shapes)}, lead={self.lead}, {self.dtype})"

    def __deepcopy__(self, memo):
        other = memo[id(self)] = type(self)(
            self.shapes, lead=self.lead, dtype=self.dtype, xp=self.xp, block_size=self._block_size
        )
        other.table[...] = self.table
        other.train_only(self._update.recorder.ranges.part)
        return other

    def group(self, name: str) -> SynapseGroup:
        """Return the handle of one weight matrix or bias, such as "dense1.W"."""
        if name not in self.shapes:
            raise ConfigError(f"group: expected one of {list(self.shapes)}, found {name!r}")
        shape, columns = self.shapes[name], self._columns[name]
        views = (view[..., columns].reshape(*self.lead, *shape) for view in self._views)
        return SynapseGroup(views, name, columns, shape)

    def __getitem__(self, index: int) -> Synapse:
        """Return the handle of synapse `index`, 0 ≤ index < P."""
        if not 0 <= index < self.size:
            raise IndexError(f"synapse: expected an index from 0 to {self.size - 1}, found {index}")
        group = next(name for name, c in self._columns.items() if c.start <= index < c.stop)
        return Synapse((view[..., index] for view in self._views), index, group)

    def update(self) -> Recording:
        """Return a context that records formulas on rows. At its end all run; on an error, none."""
        return self._update

    def train_only(self, columns: slice | None = None) -> None:
        """Let updates change only these columns (by default all); the others cost no time."""
        ranges = Ranges(self.size, prod(self.lead), self.xp, self._block_size, columns)
        self._update = Recording("update", self.xp, ranges, partial(Update, self._views))

    def zeros(self) -> Array:
        """Return a new row of zeros like the table's, for the state of an optimizer or a rule."""
        return self.xp.zeros_like(self.theta)

    @cached_property
    def extra(self) -> Array:
        """A row beside the table: the gradient of what a rule adds to the loss at the outputs."""
        return self.zeros()

    def save(self, path: File, *, replica: Any = ...) -> None:
        """Write θ, ω, Ω and θ̃ to an ``.npz`` file: of all networks, or of the one at `replica`."""
        save_table(self, path, replica)

    @classmethod
    def load(cls, path: File, *, xp: Device = np) -> "Synapses":
        """Return a table that `save` wrote; raise a DataError if the file holds none."""
        return load_table(cls, path, xp)
