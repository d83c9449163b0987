"""Formulas on rows of a table: recorded at every step, and run in one go."""

import numpy as np

from pysi.backend.compiled import on_cpu
from pysi.backend.kernel import Kernel
from pysi.backend.program import Typed, remember
from pysi.backend.recorder import Recorder
from pysi.errors import ConfigError


class Recording(Recorder):
    """A context in which arrays are symbols; when it ends, what was done to them is run.

    It is entered again at every step, and then knows the arrays already. An exception within it
    changes nothing.

    Parameters
    ----------
    name : str
    xp : module
        Of the arrays.
    views : callable
        Gives the parts of an array that are computed in turn.
    wrap : callable
        From this recorder to what the context gives.
    """

    structures = {}
    """What was recorded before, and its programs: one for each part of the arrays."""
    known = {}
    """What stands for each combination of shapes and types in the keys of `structures`."""

    def __init__(self, name, xp, views, wrap=lambda recorder: recorder):
        super().__init__(name)
        self.xp, self.views, self.wrap, self.active = xp, views, wrap, False
        self.forget()

    def forget(self):
        """Know no arrays."""
        self.arrays, self.symbols, self.writes, self.owners = [], {}, {}, set()
        self.ordered, self.parts, self.wrapped, self.shapes = [], [], None, None

    def symbol(self, array):
        """The symbol of an array; always the same one."""
        found = self.symbols.get(id(array))
        if found is None:
            found = super().symbol(array)
            self.ordered.append(found)
            self.parts.append(self.views(array))
            self.shapes = None
        return found

    def __enter__(self):
        if self.active:
            raise ConfigError(f"{self.name}: expected one at a time, found one within another")
        for i in self.writes:
            self.ordered[i].ref = i
        self.active, self.step = True, object()
        self.numbers, self.nodes, self.writes = [], [], {}
        if self.wrapped is None:
            self.wrapped = self.wrap(self)
            self.base = len(self.arrays)
        return self.wrapped

    def __exit__(self, kind, *details):
        self.active = False
        if kind is None and self.writes:
            self.run()

    def run(self):
        """Run what was recorded, part by part."""
        if self.shapes is None:
            self.blocks = list(zip(*self.parts, strict=True))
            shapes = tuple((a.dtype.char, a.shape) for block in self.blocks for a in block)
            # an object in their place, because it is quickly compared
            self.shapes = self.known.get(shapes) or remember(self.known, shapes, object())
        key = self.xp, tuple(self.nodes), tuple(self.writes.items()), self.shapes
        programs = self.structures.get(key)
        if programs is None:
            programs = remember(self.structures, key, self.compile())
        for program, arrays in zip(programs, self.blocks, strict=True):
            program.run(arrays, self.numbers, ())
        if len(self.arrays) > self.base and programs.stale:
            self.forget()  # or what an optimizer has left behind would be kept

    def compile(self):
        """The programs for all parts."""
        Typed(self.program(), self.arrays)  # whatever is wrong shows before anything is written
        last, programs = len(self.blocks) - 1, Programs()
        # an array that is not in parts is written to once, after all have read it
        whole = [i for i in self.writes if last and self.parts[i][0] is self.arrays[i]]
        for k, arrays in enumerate(self.blocks):
            writes = {i: ref for i, ref in self.writes.items() if k == last or i not in whole}
            typed = Typed(self.program(writes=writes), arrays)
            programs.append((on_cpu if self.xp is np else Kernel)(typed, None, self.xp))
        used = {o for _, operands in self.nodes for o in operands if isinstance(o, int)}
        programs.stale = not set(range(self.base, len(self.arrays))) <= used
        return programs


class Programs(list):
    """A program for each part; `stale` says that some array was not used."""

    stale = False
