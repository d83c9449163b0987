"""A progressive network: one column per task; `pysi.train` trains the newest."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pysi.architecture import describe
from pysi.backend import to_host
from pysi.columns import Columns
from pysi.errors import ConfigError
from pysi.network import Network
from pysi.tasks import Task


class ProgressiveNetwork(Network):
    """A network that gets a column for each task, and keeps the older ones as they are.

    `pysi.train` trains the first column on the first task, and so on. Old columns cost a forward
    pass, and keep all their bits, whatever the optimizer does. The network must be told the task:
    each task has readout units of its own, in consecutive order.

    Parameters
    ----------
    n_in : int
        Units of the input.
    hidden : sequence of int
        Units of each hidden layer of one column.
    classes : sequence of int
        Classes of each task; there are as many columns.
    adapters : bool
        Whether hidden layers read older columns through adapters; see `pysi.columns`.
    **options
        seed, dtype and xp: see `Network`.

    Examples
    --------
    >>> net = ProgressiveNetwork(784, (256, 256), (2, 2, 2, 2, 2))
    >>> net.parameters_of(1), net.parameters_of(5)
    (267266, 1996810)
    """

    layers: list[Any]

    def __init__(
        self, n_in: int, hidden: Sequence[int], classes: Sequence[int], *, adapters: bool = False,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__([Columns(n_in, hidden, classes, adapters)], **options)

    def __repr__(self) -> str:
        lines, (columns,) = [describe(self)], self.layers
        for k, n in enumerate(columns.classes, start=1):
            count = self.parameters_of(k) - self.parameters_of(k - 1)
            lines.append(f"    column{k}  ({n},)  {count:,}")
        return "\n".join(lines)

    @property
    def learned(self) -> int:
        """How many tasks `pysi.train` has taught it; the next column is the one to be trained."""
        return self._learned

    @learned.setter
    def learned(self, count: int) -> None:
        columns = self.layers[0]
        if not isinstance(columns, Columns):
            raise ConfigError(f"layers: expected progressive columns, found {columns!r}")
        self._learned = count
        self.layers = [columns.with_newest(min(count + 1, len(columns.classes)))]
        self.synapses = self._table  # from now on with memory for another column
        self.synapses.grad[...] = 0

    def columns(self, k: int) -> slice:
        """Return which columns of the table are the synapses of the network's column k, from 1."""
        return slice(self.parameters_of(k - 1), self.parameters_of(k))

    def parameters_of(self, count: int) -> int:
        """Return how many parameters the first `count` columns have together."""
        return int(self.layers[0].ends[count])

    def restart(self, *key: Any) -> None:
        """Do as `Network.restart`, and let updates change the newest column alone."""
        super().restart(*key)
        self.synapses.train_only(self.columns(self.layers[0].newest))

    def check(self, tasks: list[Task]) -> None:
        """Raise a ConfigError unless these tasks, which come next, fit the columns left."""
        (columns,) = self.layers
        left = len(columns.classes) - self.learned
        if len(tasks) > left:
            raise ConfigError(
                f"tasks: expected at most {left}, one per column that is left, found {len(tasks)}; "
                f"give the progressive network the classes of all tasks"
            )
        for k, task in enumerate(tasks, start=self.learned + 1):
            own = columns.own(k, columns.readout)
            found = np.flatnonzero(to_host(task.active)).tolist()
            if task.cumulative or found != list(range(own.start, own.stop)):
                raise ConfigError(
                    f"task {task.name!r}: expected the active classes {own.start} to "
                    f"{own.stop - 1}, those of column {k}, found {found}; a progressive network "
                    f"must be told the task: use tasks with classes of their own (scenario 'task')"
                )
