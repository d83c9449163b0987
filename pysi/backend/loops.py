"""A recorded program on a CPU as one compiled loop.

NumPy runs a formula operation by operation, and each reads and writes memory. One loop reads every
array once and writes every result once. It does the same operations in the same order with the same
types, and so gives the same bits, because every processor rounds +, -, ×, ÷ and √ alike. Formulas
with other functions stay with NumPy's passes: exp, log, tanh and power round differently in each
library, and the maximum or minimum of 0 and -0 depends on how NumPy was built.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from pysi.backend.compiled import check, function, give_up, ready
from pysi.backend.passes import Passes
from pysi.backend.program import Operand, Typed, remember
from pysi.typing import Array, Device, Shape

EXACT = {
    "add": "{} + {}", "subtract": "{} - {}", "multiply": "{} * {}", "divide": "{} / {}",
    "negative": "-{}", "equal": "{} == {}", "not_equal": "{} != {}", "greater": "{} > {}",
    "greater_equal": "{} >= {}", "less": "{} < {}", "less_equal": "{} <= {}",
    "sqrt": "sqrt({})", "square": "{0} * {0}", "abs": "abs({})",
    "logical_and": "({} and {})", "logical_or": "({} or {})", "logical_not": "(not {})",
    "bitwise_and": "({} and {})", "bitwise_or": "({} or {})", "invert": "(not {})",
    "where": "({1} if {0} else {2})", "assign": "{}",
}  # fmt: skip
"""What every processor rounds alike, and how Python writes it."""
TYPES = {np.dtype(kind) for kind in (np.float32, np.float64, np.bool, np.int64)}


def can_compile(typed: Typed) -> bool:
    """Return whether a program gives the same bits as one compiled loop, and is faster so."""
    ends = [*typed.results, *typed.writes.values()]
    shapes = {typed.spec(ref)[0] for ref in typed.results}
    shapes |= {typed.specs[i][0] for i in typed.writes}
    types = {dtype for _, dtype in typed.specs.values() if dtype is not None}
    types |= {np.dtype(t) for line in typed.lines for t in line[3]}
    return (
        len(typed.lines) > 1
        and len(shapes) == 1
        and shapes != {()}
        and all(line[1] in EXACT for line in typed.lines)
        and not any(typed.is_scalar(ref) for ref in ends)
        and types <= TYPES
        and all(dtype.isnative for dtype in types)
    )


class Loop:
    """A program for arrays of certain shapes and types.

    Parameters
    ----------
    typed, aliases, xp
        As for `Passes`.
    """

    functions: dict[str, Callable] = {}
    """The functions compiled so far, by their source: there is one for all sizes."""

    def __init__(self, typed: Typed, aliases: Sequence | None, xp: Device) -> None:
        self.typed, self.passes = typed, Passes(typed, aliases, xp)
        self.code: Callable | None = None
        self.new = [] if aliases else self.passes.new
        places = aliases or [None] * len(typed.results)
        ends = [
            (f"o{i}" if place is None else f"a{place}", ref)
            for i, (place, ref) in enumerate(zip(places, typed.results, strict=True))
        ]
        ends += [(f"a{i}", ref) for i, ref in typed.writes.items()]
        self.outs = [int(name[1:]) for name, _ in ends if name[0] == "o"]
        used = {o for line in typed.lines for o in line[2]} | {ref for _, ref in ends}
        read = sorted(o for o in used if isinstance(o, int))
        self.arrays = sorted({*read, *(int(name[1:]) for name, _ in ends if name[0] == "a")})
        (shape,) = {typed.spec(ref)[0] for _, ref in ends}
        self.whole: set[int] = set()  # places of numbers that are used as whole numbers
        self.source = self.written(shape, ends, read)
        self.work = len(typed.lines) * prod(shape)

    def written(self, shape: Shape, ends: list, read: list[int]) -> str:
        """Return the loop in Python, from the list of arguments on."""
        typed, indent, lines = self.typed, "    ", []
        names = [f"a{i}" for i in self.arrays] + [f"s{i}" for i in typed.numbers.values()]
        names += [f"o{i}" for i in self.outs]
        for axis in range(len(shape)):
            lines.append(f"{indent}for i{axis} in range({ends[0][0]}.shape[{axis}]):")
            indent += "    "

        def at(own: Shape) -> str:
            """Return the index of an array that broadcasts to the shape of the results."""
            axes = list(enumerate(own, start=len(shape) - len(own)))
            places = ["0" if n == 1 != shape[axis] else f"i{axis}" for axis, n in axes]
            return f"[{', '.join(places) or '()'}]"

        # all is read before anything is written: a result may be an array that is written to
        lines += [f"{indent}x{i} = a{i}{at(typed.specs[i][0])}" for i in read]
        for i, name, operands, types in typed.lines:
            words = [self.text(o, np.dtype(t)) for o, t in zip(operands, types, strict=True)]
            value = EXACT[name].format(*words)
            if typed.specs[i, 0][1].kind == "b":  # or two conditions would add up to 2
                value = f"bool({value})"
            lines.append(f"{indent}t{i} = {value}")
        for k, (_, ref) in enumerate(ends):
            lines.append(f"{indent}r{k} = {self.text(ref, typed.spec(ref)[1])}")
        lines += [f"{indent}{name}{at(shape)} = r{k}" for k, (name, _) in enumerate(ends)]
        return "\n".join([f"({', '.join(names)}):", *lines, ""])

    def text(self, operand: Operand, dtype: np.dtype) -> str:
        """Return how an operand is written, in the type in which NumPy computes it."""
        if operand in self.typed.numbers:
            place = self.typed.numbers[operand]
            if dtype.kind == "i":
                self.whole.add(place)
            return f"{dtype.name}(s{place})"
        word = f"t{operand[0]}" if isinstance(operand, tuple) else f"x{operand}"
        held = self.typed.spec(operand)[1]
        if held == dtype:
            return word
        return f"({word} != 0)" if dtype.kind == "b" else f"{dtype.name}({word})"

    def ready(self) -> bool:
        """Return whether it runs as a loop by now; if not, its passes are about to run."""
        return ready(self.work)

    def run(self, arrays: Sequence[Array], numbers: Sequence, outs: tuple) -> tuple:
        """Run the program, and return its results."""
        return (self.loop if self.ready() else self.passes.run)(arrays, numbers, outs)

    def loop(self, arrays: Sequence[Array], numbers: Sequence, outs: tuple) -> tuple:
        """Run the program as a compiled loop, and return its results."""
        if not outs and self.new:
            outs = tuple([np.empty(shape, dtype) for shape, dtype in self.new])
        values = numbers[: len(self.typed.numbers)]
        if self.typed.evaluate is not None:
            values = [v if k in self.whole else float(v)
                      for k, v in enumerate(self.typed.evaluate(numbers))]  # fmt: skip
        given = *[arrays[i] for i in self.arrays], *values, *[outs[i] for i in self.outs]
        try:
            (self.code or self.made())(*given)
        except Exception:  # of the compiler or its files, before anything is computed
            try:
                self.made(keep=False)(*given)
            except Exception as err:
                give_up(err)
                return self.passes.run(arrays, numbers, outs)
        return outs

    def made(self, *, keep: bool = True) -> Callable:
        """Return the compiled function, which is one for all programs with this source."""
        found = self.functions.get(self.source) if keep else None
        if found is None:
            found = remember(self.functions, self.source, function(self.source, keep=keep))
        self.code = found
        return found


def on_cpu(typed: Typed, aliases: Sequence | None, xp: Device) -> Any:
    """Return the program as it runs on a CPU: as NumPy's passes, and as a loop if it can be one."""
    check()
    return (Loop if can_compile(typed) else Passes)(typed, aliases, xp)
