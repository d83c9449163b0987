"""Formulas on rows of a table: recorded at every step, and run in one go."""

from collections.abc import Callable
from typing import Any
from weakref import finalize

import numpy as np

from pysi.backend.arrays import Ranges
from pysi.backend.kernel import Kernel
from pysi.backend.loops import Loop, can_compile, on_cpu
from pysi.backend.passes import Passes
from pysi.backend.program import Typed, remember
from pysi.backend.recorder import Recorder, Symbol
from pysi.errors import ConfigError
from pysi.typing import Array, Device


class StepRecorder(Recorder):
    """Notes what each step does to arrays, and remembers the arrays from step to step.

    Parameters
    ----------
    name : str
    ranges : Ranges
        They give the parts of an array that are computed in turn.
    """

    def __init__(self, name: str, ranges: Ranges) -> None:
        super().__init__(name)
        self.ranges = ranges
        self.forget()

    def forget(self) -> None:
        """Forget all arrays."""
        self.arrays, self.symbols, self.writes, self.owners = [], {}, {}, set()
        self.ordered: list[Symbol] = []
        self.parts: list[list[Array]] = []
        self.wholes: list[Array] = []
        self.blocks: list[tuple[Array, ...]] | None = None

    def symbol(self, array: Array) -> Symbol:
        symbol = self.symbols.get(id(array))
        if symbol is None:
            symbol = super().symbol(array)
            self.ordered.append(symbol)
            self.parts.append(self.ranges(array))
            self.wholes.append(self.ranges.whole(array))
            self.blocks = None
        return symbol


class Recording:
    """A context in which arrays are symbols; when it ends, what was done to them is run.

    It is entered again at every step, and then knows the arrays already. An exception within it
    changes nothing.

    Parameters
    ----------
    name : str
    xp : module
        The arrays' module.
    ranges : Ranges
        They give the parts of an array that are computed in turn.
    wrap : callable
        From the recorder to what the context gives.
    """

    structures: dict[tuple, "Programs"] = {}
    """Programs for what was recorded before: one for each part of the arrays."""
    known: dict[tuple, object] = {}
    """What stands for each combination of shapes and types in the keys of `structures`."""

    def __init__(
        self, name: str, xp: Device, ranges: Ranges,
        wrap: Callable[[StepRecorder], Any] = lambda recorder: recorder,
    ) -> None:  # fmt: skip
        self.name, self.xp, self.wrap, self.active = name, xp, wrap, False
        self.recorder, self.wrapped = StepRecorder(name, ranges), None
        # the recorder and its symbols refer to each other: they must let go of the arrays at once,
        # not when Python next looks for such cycles
        finalize(self, self.recorder.forget).atexit = False

    def __enter__(self) -> Any:
        if self.active:
            raise ConfigError(f"{self.name}: expected one at a time, found one within another")
        recorder, self.active = self.recorder, True
        for i in recorder.writes:
            recorder.ordered[i].ref = i  # the symbol stands for its array again
        recorder.step = object()
        recorder.numbers, recorder.nodes, recorder.writes = [], [], {}
        if self.wrapped is None:
            self.wrapped = self.wrap(recorder)
            self.base = len(recorder.arrays)
        return self.wrapped

    def __exit__(self, error: type | None, *details: object) -> None:
        self.active = False
        if error is None and self.recorder.writes:
            self.run()

    def run(self) -> None:
        """Run what was recorded, part by part."""
        recorder = self.recorder
        if recorder.blocks is None:
            recorder.blocks = list(zip(*recorder.parts, strict=True))
            shapes = tuple((a.dtype.char, a.shape) for block in recorder.blocks for a in block)
            # an object stands in their place, because it is quickly compared
            self.shapes = self.known.get(shapes) or remember(self.known, shapes, object())
        case = self.xp, tuple(recorder.nodes), tuple(recorder.writes.items()), self.shapes
        programs = self.structures.get(case)
        if programs is None:
            programs = remember(self.structures, case, self.compile(recorder.blocks))
        if programs.loop and programs.loop.ready():
            programs.loop.loop(recorder.wholes, recorder.numbers, ())
        else:
            for program, arrays in zip(programs, recorder.blocks, strict=True):
                program.run(arrays, recorder.numbers, ())
        if len(recorder.arrays) > self.base and programs.stale:
            recorder.forget()  # or it would keep arrays that an optimizer no longer uses
            self.wrapped = None

    def compile(self, blocks: list[tuple[Array, ...]]) -> "Programs":
        """Return the programs for all parts."""
        recorder = self.recorder
        # an error shows here, before anything is written
        whole = Typed(recorder.program(), recorder.wholes)
        last, programs = len(blocks) - 1, Programs()
        if last and can_compile(whole):  # a loop reads everything once, and needs no parts
            programs.loop = Loop(whole, None, self.xp)
        # an array that is not in parts is written to once, after all have read it
        one = [i for i in recorder.writes if last and recorder.parts[i][0] is recorder.arrays[i]]
        for k, arrays in enumerate(blocks):
            writes = {i: ref for i, ref in recorder.writes.items() if k == last or i not in one}
            typed = Typed(recorder.program(writes=writes), arrays)
            how = Kernel if self.xp is not np else Passes if programs.loop else on_cpu
            programs.append(how(typed, None, self.xp))
        used = {o for _, operands in recorder.nodes for o in operands if isinstance(o, int)}
        programs.stale = not set(range(self.base, len(recorder.arrays))) <= used
        return programs


class Programs(list):
    """A program for each part.

    Attributes
    ----------
    loop : Loop or None
        One for all parts, which takes their place once loops are used.
    stale : bool
        Whether some array was not used.
    """

    loop: Loop | None = None
    stale = False
