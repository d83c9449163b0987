"""Elementwise formulas: written as plain NumPy, recorded once, run in few passes.

A formula such as ``beta * M + g`` makes a new array for every operator when NumPy runs it. Under
the decorator `elementwise` the same lines are *recorded*: they run once on symbols in place of
arrays, and what they do to them becomes a program. The program is then run as NumPy passes into
memory that is used again (`pysi.backend.passes`), with the bits that plain NumPy gives, or as a
single kernel on a GPU (`pysi.backend.kernel`). Without the decorator a formula gives the same
numbers, only slower.

What can be recorded are NumPy's elementwise functions in `OPERATIONS`, `where` and `clip`, on
arrays that broadcast, and numbers. There is one floating type, that of the arrays, which numbers
take on, also beside conditions and whole numbers, where plain NumPy would compute in float64.
Numbers are arguments of the program, so that a new learning rate needs no new one. A condition on
an array's values cannot be recorded: write ``np.where(condition, a, b)``.
"""

from functools import cached_property, update_wrapper
from inspect import signature

import numpy as np

from pysi.backend.arrays import namespace
from pysi.backend.compiled import on_cpu
from pysi.backend.kernel import Kernel
from pysi.backend.program import Program, Typed, remember
from pysi.backend.recorder import KINDS, Trace, classify, overlap
from pysi.errors import ConfigError


class Formula:
    """A function of arrays and numbers that is recorded once; see `elementwise`."""

    def __init__(self, function):
        self.function, self.programs = function, {}
        update_wrapper(self, function)

    def __repr__(self):
        return f"<elementwise formula {self.__name__}>"

    @cached_property
    def trace(self):
        """What it does to its arguments: recorded once."""
        return Trace(self.__name__, self.function, len(signature(self.function).parameters))

    def __call__(self, *args, out=None):
        """Compute it, into the arrays `out` (one, or a tuple as returned) if they are given."""
        arrays, numbers, key = [], [], []
        for value in args:
            kind = KINDS.get(type(value)) or classify(value, self.__name__)
            if kind == "array":
                arrays.append(value)
                key.append((value.dtype.char, value.shape))
            elif kind == "number":
                numbers.append(float(value))
                key.append(None)
            else:
                return self.record(value.recorder, args, out)
        if not arrays:
            return self.function(*args)
        outs = () if out is None else out if type(out) is tuple else (out,)
        for array in outs:
            same = []
            for i, given in enumerate(arrays):
                if given is array:
                    same.append(i)
                elif (given.base is not None or array.base is not None) and overlap(given, array):
                    return self.apart(args, out)
            key.append((array.dtype.char, array.shape, *same))
        xp = namespace(arrays[0])
        key = xp, len(outs), *key
        program = self.programs.get(key)
        if program is None:
            made = self.compile(xp, args, arrays, outs)
            program = remember(self.programs, key, made)
        results = program.run(arrays, numbers, outs)
        return results if self.trace.several else results[0]

    def record(self, recorder, args, out):
        """Among symbols it becomes part of what is recorded."""
        if out is not None:
            recorder.refuse("the argument out", "formulas that return their results")
        return recorder.call(self, args)

    def apart(self, args, out):
        """Compute into arrays that hold arguments, under other names: when all has been read."""
        results = self(*args)
        for array, result in zip(*(x if type(x) is tuple else (x,) for x in (out, results)),
                                 strict=True):  # fmt: skip
            array[...] = result
        return out

    def compile(self, xp, args, arrays, outs):
        """The program for arguments like these."""
        trace = self.trace
        trace.check(args)
        if outs and len(outs) != len(trace.results):
            found = f"found {len(outs)}"
            raise ConfigError(
                f"formula {self.__name__!r}: expected out for {len(trace.results)} results, {found}"
            )
        refs, i, j = [], 0, 0
        for value in args:
            if KINDS[type(value)] == "number":
                refs.append(("n", j))
                j += 1
            else:  # an array that is there twice is one
                refs.append(next(k for k, array in enumerate(arrays) if array is arrays[i]))
                i += 1
        nodes = []
        results = trace.results_of(refs, nodes)
        places = [next((k for k, a in enumerate(arrays) if a is array), None) for array in outs]
        typed = Typed(Program(self.__name__, nodes, results, {}), arrays)
        for array, ref in zip(outs, typed.results, strict=bool(outs)):
            typed.returns(ref, array)
        return (on_cpu if xp is np else Kernel)(typed, places or None, xp)


def elementwise(function):
    """Decorate a formula: a function of arrays and numbers that computes each entry by itself.

    The decorated function takes one more argument, `out`: an array, or a tuple of arrays as it
    returns them, to compute into. It may be one of the arguments.

    Raises
    ------
    ConfigError
        When it is first called, if it does what cannot be recorded; the message names the formula.

    Examples
    --------
    >>> @elementwise
    ... def softplus(x):
    ...     return np.log(1 + np.exp(x))
    >>> softplus(np.zeros(2)).round(3)
    array([0.693, 0.693])
    """
    return Formula(function)
