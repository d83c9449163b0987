"""Elementwise formulas: written as plain NumPy, recorded once, run in few passes.

A formula such as ``beta * M + g`` makes a new array for every operator when NumPy runs it. Under
the decorator `elementwise` the same lines are *recorded*: they run once on symbols in place of
arrays, and what they do to the symbols becomes a program. It is then run as NumPy passes into
memory that is used again (`pysi.backend.passes`), with the bits that plain NumPy gives, or as a
single kernel on a GPU (`pysi.backend.kernel`). Without the decorator a formula gives the same
numbers, only slower.

One can record NumPy's elementwise functions in `OPERATIONS`, `where` and `clip`, on numbers and on
arrays that broadcast. There is one floating type, that of the arrays. Numbers take
this type too, even next to conditions and whole numbers, where plain NumPy would compute in
float64. Numbers are arguments of the program, so that a new learning rate needs no new program. A
condition on an array's values cannot be recorded: write ``np.where(condition, a, b)``.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, update_wrapper
from inspect import signature
from typing import Any

import numpy as np

from pysi.backend.arrays import namespace, overlap
from pysi.backend.kernel import Kernel
from pysi.backend.loops import on_cpu
from pysi.backend.program import Program, Typed, remember
from pysi.backend.recorder import ROLES, Recorder, Trace, role_of
from pysi.errors import ConfigError
from pysi.typing import Array, Device


class Formula:
    """A function of arrays and numbers that is recorded once; see `elementwise`."""

    __name__: str

    def __init__(self, function: Callable) -> None:
        self.function = function
        self.programs: dict[tuple, Any] = {}
        update_wrapper(self, function)

    def __repr__(self) -> str:
        return f"<elementwise formula {self.__name__}>"

    @cached_property
    def trace(self) -> Trace:
        """What the formula does to its arguments: recorded once."""
        return Trace(self.__name__, self.function, len(signature(self.function).parameters))

    def __call__(self, *args: Any, out: Any = None) -> Any:
        """Compute the formula, into the arrays `out` if they are given; see `elementwise`."""
        arrays: list[Array] = []
        numbers: list[float] = []
        like: list = []
        for value in args:
            role = ROLES.get(type(value)) or role_of(value, self.__name__)
            if role == "array":
                arrays.append(value)
                like.append((value.dtype.char, value.shape))
            elif role == "number":
                numbers.append(float(value))
                like.append(None)
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
            like.append((array.dtype.char, array.shape, *same))
        xp = namespace(arrays[0])
        case = xp, len(outs), *like
        program = self.programs.get(case)
        if program is None:
            made = self.compile(xp, args, arrays, outs)
            program = remember(self.programs, case, made)
        results = program.run(arrays, numbers, outs)
        return results if self.trace.several else results[0]

    def record(self, recorder: Recorder, args: Sequence, out: Any) -> Any:
        """Record the formula as part of what is done to symbols, and return symbols."""
        if out is not None:
            recorder.refuse("the argument out", "formulas that return their results")
        return recorder.call(self, args)

    def apart(self, args: Sequence, out: Any) -> Any:
        """Compute into views of arguments, which are written to after everything has been read."""
        results = self(*args)
        for array, result in zip(*(x if type(x) is tuple else (x,) for x in (out, results)),
                                 strict=True):  # fmt: skip
            array[...] = result
        return out

    def compile(self, xp: Device, args: Sequence, arrays: list[Array], outs: Sequence) -> Any:
        """Return the program for arguments like these."""
        trace = self.trace
        trace.check(args)
        if outs and len(outs) != len(trace.results):
            expected = f"expected out for {len(trace.results)} results"
            raise ConfigError(f"formula {self.__name__!r}: {expected}, found {len(outs)}")
        refs: list = []
        i = j = 0
        for value in args:
            if ROLES[type(value)] == "number":
                refs.append(("n", j))
                j += 1
            else:  # an array that is given twice is one operand
                refs.append(next(k for k, array in enumerate(arrays) if array is arrays[i]))
                i += 1
        nodes: list = []
        results = trace.results_of(refs, nodes)
        places = [next((k for k, a in enumerate(arrays) if a is array), None) for array in outs]
        typed = Typed(Program(self.__name__, nodes, results, {}), arrays)
        for array, ref in zip(outs, typed.results, strict=bool(outs)):
            typed.check_out(ref, array)
        return (on_cpu if xp is np else Kernel)(typed, places or None, xp)


def elementwise(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a formula: a function of arrays and numbers that computes each entry by itself.

    The decorated function takes one more argument, `out`: an array to compute into, or a tuple of
    as many arrays as the formula returns. They may be among the arguments.

    Raises
    ------
    ConfigError
        At the first call, if the formula does what cannot be recorded; the message names it.

    Examples
    --------
    >>> @elementwise
    ... def softplus(x):
    ...     return np.log(1 + np.exp(x))
    >>> softplus(np.zeros(2)).round(3)
    array([0.693, 0.693])
    """
    return Formula(function)
