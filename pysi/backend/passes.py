"""A recorded program on a CPU: one NumPy call per operation, into memory that is used again.

Where each result goes is decided once, when the program is made: into the array that it is meant
for, if nothing in it is still needed, or else into one of a few temporary arrays.
"""

import threading
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from pysi.backend.program import Operand, Spec, Typed, remember
from pysi.typing import Array, Device


def where(condition: Array, yes: Array, no: Array, out: Array) -> None:
    """Write the result of numpy.where into an array."""
    np.copyto(out, no)
    np.copyto(out, yes, where=condition)


def holds(value: float) -> np.bool:
    """Return a number as a condition."""
    return np.not_equal(value, 0)


class Temporaries(threading.local):
    """Memory for intermediate results: each thread has its own, and each program overwrites it."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[int, str], Array] = {}
        self.views: dict[Passes, list[Array]] = {}

    def of(self, program: "Passes") -> list[Array]:
        """Return the temporary arrays of a program."""
        arrays = self.views.get(program)
        if arrays is None:
            for i, (shape, dtype) in enumerate(program.temporaries):
                held = self.buffers.get((i, dtype.char))
                if held is None or held.size < prod(shape):
                    self.buffers[i, dtype.char] = np.empty(prod(shape), dtype)
                    self.views.clear()  # or they would keep the buffer that is too small
            views = [
                self.buffers[i, dtype.char][: prod(shape)].reshape(shape)
                for i, (shape, dtype) in enumerate(program.temporaries)
            ]
            arrays = remember(self.views, program, views)
        return arrays


TEMPORARIES = Temporaries()


class Passes:
    """A program for arrays of certain shapes and types.

    Parameters
    ----------
    typed : Typed
        The program, with shapes and types.
    aliases : list of int or None, optional
        For each result, the index of the input array that it is written to; None for an array that
        is not an input. Without the list, results are new arrays.
    xp : module
        NumPy.
    """

    def __init__(self, typed: Typed, aliases: Sequence | None, xp: Device) -> None:
        program, self.typed, self.spec = typed.program, typed, typed.spec
        self.numbers, self.evaluate = typed.numbers, typed.evaluate
        self.temporaries: list = []
        self.new = [(s, d or typed.dtype) for s, d in map(self.spec, typed.results)]
        targets = {}  # from a place, such as "a0" or "o0", to the operand that is written there
        for i, ref in enumerate(typed.results):
            alias = aliases[i] if aliases else None
            targets[f"o{i}" if alias is None else f"a{alias}"] = ref
        targets |= {f"a{array}": ref for array, ref in typed.writes.items()}
        self.given = aliases is not None
        body = self.place(typed.lines, targets)
        names = [f"a{i}" for i in typed.specs if isinstance(i, int)]
        source = [
            "def run(A, N, O, T):",
            *(f"    {', '.join(group)}, = {holder}" for group, holder in (
                (names, "A"), ([*(f"n{i}" for i in self.numbers.values()), "*_"], "N"),
                ([f"o{i}" for i in range(len(self.new))], "O"),
                ([f"t{i}" for i in range(len(self.temporaries))], "T"),
            ) if group),
            *(f"    {line}" for line in body), "    return O",
        ]  # fmt: skip
        scope: dict[str, Any] = {"copyto": np.copyto, "typed": typed.dtype.type, "holds": holds}
        scope |= {name: getattr(np, name) for _, name, *_ in typed.lines if hasattr(np, name)}
        scope["where"] = where
        exec(compile("\n".join(source), f"<formula {program.name}>", "exec"), scope)
        self.code = scope["run"]

    def run(self, arrays: Sequence, numbers: Sequence, outs: tuple) -> tuple:
        """Run the program, and return its results."""
        if not outs and not self.given and self.new:
            outs = tuple([np.empty(shape, dtype) for shape, dtype in self.new])
        temporaries = TEMPORARIES.of(self) if self.temporaries else ()
        if self.evaluate is not None:
            numbers = self.evaluate(numbers)
        return self.code(arrays, numbers, outs, temporaries)

    def place(self, lines: list, targets: dict[str, Operand]) -> list[str]:
        """Decide where every result goes, and return lines of Python."""
        end, specs = len(lines), self.typed.specs
        holding = {p: self.new[int(p[1:])] if p[0] == "o" else specs[int(p[1:])] for p in targets}
        last: dict[Operand, int] = {}  # when an operand is last read
        made: dict[Operand, int] = {}  # when a result is computed
        for at, (i, _, operands, _) in enumerate(lines):
            made[i, 0] = at
            last |= dict.fromkeys((o for o in operands if self.spec(o)[1] is not None), at)
        last |= dict.fromkeys(targets.values(), end)
        wanted = {ref: place for place, ref in reversed(targets.items())}
        home: dict[Operand, str] = {i: f"a{i}" for i in specs if isinstance(i, int)}
        free: dict[Spec, list[str]] = {}  # temporaries that are not needed, by shape and type
        body = []

        def busy(place, at, strictly):
            """Return whether what is in a place is still needed after the operation `at`."""
            return any(
                where == place and (last.get(ref, -1) >= at if strictly else last.get(ref, -1) > at)
                for ref, where in home.items()
            )

        def fits(place, at, ref, strictly):
            """Return whether a result may go to a place that another result needs later."""
            goal = targets[place]
            if holding[place] != specs[ref]:
                return False  # the result would be cast, or repeated, before it has been read
            if goal == ref:
                return not busy(place, at, strictly)
            if goal not in made or wanted[goal] != place or self.spec(goal) != specs[ref]:
                return False
            soon = made[goal]
            careful = lines[soon][1] == "where"
            return (
                at < soon
                and (last[ref] < soon or (last[ref] == soon and not careful))
                and (not busy(place, at, strictly))
            )

        for at, (i, name, operands, types) in enumerate(lines):
            ref, spec = (i, 0), specs[i, 0]
            strictly = name == "where"  # it must not overwrite what it reads
            place = wanted.get(ref)
            if place is None or not fits(place, at, ref, strictly):
                dying = [] if strictly else [
                    home[o] for o in operands
                    if o in home and last[o] == at and specs[o] == spec
                ]  # fmt: skip
                choices = [p for p in dying if p[0] == "t" and not busy(p, at, False)]
                choices += [p for p in targets if p in dying and fits(p, at, ref, strictly)]
                choices += [p for p in targets if p not in dying and fits(p, at, ref, strictly)]
                choices += free.get(spec, [])
                if choices:
                    place = choices[0]
                else:
                    place = f"t{len(self.temporaries)}"
                    self.temporaries.append(spec)
            if place in free.get(spec, []):
                free[spec].remove(place)
            body.append(self.line(name, operands, types, home, place))
            for o in set(operands):
                if o in home and home[o][0] == "t" and last[o] == at and home[o] != place:
                    free.setdefault(specs[o], []).append(home[o])
            home = {o: p for o, p in home.items() if p != place or last.get(o, -1) > at}
            if last.get(ref, -1) > at:
                home[ref] = place
            elif place[0] == "t":
                free.setdefault(spec, []).append(place)
        return body + self.copies(targets, home)

    def copies(self, targets: dict, home: dict) -> list[str]:
        """Return lines that bring results to where they belong, if they are not there yet."""
        moves = [(p, ref) for p, ref in targets.items() if home.get(ref) != p]
        first, then = [], []
        for place, ref in moves:
            source = home.get(ref) or self.text(ref, home)
            if source in targets and len(moves) > 1:
                temporary = f"t{len(self.temporaries)}"
                self.temporaries.append(self.typed.specs[ref])
                first.append(f"copyto({temporary}, {source})")
                source = temporary
            then.append(f"copyto({place}, {source})")
        return first + then

    def text(self, operand: Operand, home: dict) -> str:
        """Return how an operand is written."""
        return f"n{self.numbers[operand]}" if operand in self.numbers else home[operand]

    def line(self, name: str, operands: tuple, types: tuple, home: dict, place: str) -> str:
        """Return one operation as Python."""
        words = [self.text(o, home) for o in operands]
        if name == "assign":
            return f"copyto({place}, {words[0]})"
        lone = not any(d is not None and d.kind == "f" for _, d in map(self.spec, operands))
        for i, (operand, dtype) in enumerate(zip(operands, types, strict=True)):
            if dtype.kind == "b" and self.spec(operand)[1] != dtype:
                words[i] = f"holds({words[i]})"
            elif operand in self.numbers and lone and dtype == self.typed.dtype:
                # a number among conditions and whole numbers has the type of the formula
                words[i] = f"typed({words[i]})"
        # NumPy wants the output of these two by name
        out = f"out={place}" if name in ("maximum", "minimum") else place
        return f"{name}({', '.join(words)}, {out})"
