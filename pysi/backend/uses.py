"""The uses of a network (training, testing, predicting): each has memory of its own."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pysi.backend.arrays import CPU_IMAGES
from pysi.backend.memory import Memory, Slot
from pysi.backend.stages import Stage
from pysi.errors import ConfigError
from pysi.inputs import check_inputs
from pysi.typing import Array, Device, Shape


class Uses:
    """The memory of a network, apart for each use: training, testing, predicting.

    So no use can overwrite what another one still needs.
    """

    def __init__(
        self, layers: Sequence[Any], names: list[str], shapes: list[Shape], table: Any
    ) -> None:
        self.table, self.n_axes, self.input_shape = table, len(shapes[0]), shapes[0]
        slots = [Slot(layer, name, table) for layer, name in zip(layers, names, strict=True)]
        # images go through their layers a few at a time; features do not
        end = next((i for i, shape in enumerate(shapes) if len(shape) == 1), len(slots))
        end = min(end, len(slots) - 1)  # the last layer's input is read as a whole: `features`
        few = CPU_IMAGES if table.xp is np else None
        self.stages = [
            (part, shapes[stop], len(shapes[start]), size)
            for part, start, stop, size in (
                (slots[:end], 0, end, few), (slots[end:], end, len(slots), None)
            ) if part
        ]  # fmt: skip
        self.passes: dict[str, Pass] = {}
        self.current: Pass | None = None
        self.open = False

    def restart(self, streams: list) -> None:
        """Receive random streams for training: for each layer, one per network, or None."""
        self.of("train").restart(streams)

    def of(self, use: str) -> "Pass":
        """Return the memory for one use, which is made when it is first asked for."""
        if use not in self.passes:
            self.passes[use] = Pass(self.stages, keeps=use != "predict")
        return self.passes[use]

    def forward(self, x: Array, use: str) -> Array:
        """Return the network's output for a batch, in the network's dtype."""
        s, n_axes = self.table, self.n_axes
        if type(x) is not np.ndarray or x.dtype.char not in "fdB":  # the usual types need no check
            check_inputs("x", x)
        if (
            x.ndim <= n_axes
            or x.shape[-n_axes:] != self.input_shape
            or (x.shape[: -n_axes - 1] not in ((), s.lead))
        ):
            shape = ", ".join(map(str, (*s.lead, "examples", *self.input_shape)))
            raise ConfigError(f"x: expected inputs of shape ({shape}), found {x.shape}")
        used = self.of(use)
        y = used.forward(used.numbers(x, s.xp, s.dtype), use == "train")
        # an evaluation between a training pass and its backward pass does not count
        if use == "train" or (use == "test" and not self.open):
            self.current, self.open = used, use == "train"
        return y

    @property
    def last(self) -> "Pass":
        """The forward pass that a backward pass belongs to."""
        if self.current is None:
            raise ConfigError("backward: expected a forward pass before it, found none")
        return self.current


class Pass:
    """A batch on its way through all layers and back, with the memory for it.

    Parameters
    ----------
    stages : list of (slots, shape, n_axes, size)
        See `Stage`.
    keeps : bool
        Whether a backward pass may follow.
    """

    def __init__(
        self, stages: list[tuple[list[Slot], Shape, int, int | None]], keeps: bool = True
    ) -> None:
        self.keeps = keeps
        ends = [False] * (len(stages) - 1) + [True]
        self.stages = [Stage(*stage, keeps, last) for stage, last in zip(stages, ends, strict=True)]
        self.input: dict[str, Array] = {}

    @property
    def memories(self) -> list[Memory]:
        """The memory of each layer in turn, where the whole batch is one part."""
        return [memory for stage in self.stages for memory in stage.parts[0]]

    @property
    def features(self) -> Array:
        """The input of the last layer."""
        return self.stages[-1].before_last

    def restart(self, streams: list) -> None:
        """Receive random streams: for each layer, one per network, or None."""
        for stage in self.stages:
            count = len(stage.slots)
            stage.restart(streams[:count])
            streams = streams[count:]

    def numbers(self, x: Array, xp: Device, dtype: np.dtype) -> Array:
        """Return the input in the network's dtype; unsigned bytes become pixels from 0 to 1."""
        if x.dtype == dtype:
            return x
        held = self.input.get("x")
        if held is None or held.shape != x.shape:
            held = self.input["x"] = xp.empty(x.shape, dtype)
        if x.dtype == np.uint8:
            return xp.divide(x, 255, out=held, dtype=dtype)
        held[...] = x
        return held

    def forward(self, x: Array, train: bool = False) -> Array:
        """Return the network's output for input x."""
        for stage in self.stages:
            x = stage.forward(x, train)
        return x

    def gradients(self, dy: Array, dfeatures: Array | None = None) -> None:
        """Write the gradients of all weights into the table; see `Network.backward`."""
        for i, stage in reversed(list(enumerate(self.stages))):
            dy = stage.gradients(dy, i > 0, dfeatures)
            dfeatures = None

    def visit(self, dy: Array, visitor: Callable[[Memory, Any, int], Any]) -> None:
        """Take dy back through all layers by visitor(memory, dy, share), which returns dx."""
        for stage in reversed(self.stages):
            dy = stage.backward(dy, visitor, True)
