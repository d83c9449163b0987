"""A recorded program on a CPU: one NumPy call for each operation, into memory that is used again.

Where each result goes is decided once, when the program is made: to the array that it is meant for
as soon as nobody needs what is in it, else to a temporary array, as few of them as possible.
"""

import threading
from math import prod

import numpy as np

from pysi.backend.program import remember


def where(condition, yes, no, out):
    """As numpy.where, into an array."""
    np.copyto(out, no)
    np.copyto(out, yes, where=condition)


def holds(value):
    """A number as a condition."""
    return np.not_equal(value, 0)


class Temporaries(threading.local):
    """Memory for results in between, of each thread its own: nothing in it outlives a program."""

    def __init__(self):
        self.buffers, self.views = {}, {}

    def of(self, program):
        """The temporary arrays of a program."""
        found = self.views.get(program)
        if found is None:
            for i, (shape, dtype) in enumerate(program.temporaries):
                held = self.buffers.get((i, dtype.char))
                if held is None or held.size < prod(shape):
                    self.buffers[i, dtype.char] = np.empty(prod(shape), dtype)
                    self.views.clear()  # or they would hold what is too small
            views = [
                self.buffers[i, dtype.char][: prod(shape)].reshape(shape)
                for i, (shape, dtype) in enumerate(program.temporaries)
            ]
            found = remember(self.views, program, views)
        return found


TEMPORARIES = Temporaries()


class Passes:
    """A program for arrays of certain shapes and types.

    Parameters
    ----------
    typed : Typed
        The program, with shapes and types.
    aliases : list of int or None, optional
        For each result, which of the arrays it is computed into, None for another one. Without the
        list results are new arrays.
    xp : module
        NumPy.
    """

    def __init__(self, typed, aliases, xp):
        program, self.typed, self.kind = typed.program, typed, typed.kind
        self.numbers, self.evaluate, self.temporaries = typed.numbers, typed.evaluate, []
        self.new = [(s, d or typed.dtype) for s, d in map(self.kind, typed.results)]
        targets = {}  # a place, such as "a0" or "o0", to what is written there
        for i, ref in enumerate(typed.results):
            alias = aliases[i] if aliases else None
            targets[f"o{i}" if alias is None else f"a{alias}"] = ref
        targets |= {f"a{array}": ref for array, ref in typed.writes.items()}
        self.given = aliases is not None
        body = self.place(typed.lines, targets)
        names = [f"a{i}" for i in typed.kinds if isinstance(i, int)]
        source = [
            "def run(A, N, O, T):",
            *(f"    {', '.join(group)}, = {holder}" for group, holder in (
                (names, "A"), ([*(f"n{i}" for i in self.numbers.values()), "*_"], "N"),
                ([f"o{i}" for i in range(len(self.new))], "O"),
                ([f"t{i}" for i in range(len(self.temporaries))], "T"),
            ) if group),
            *(f"    {line}" for line in body), "    return O",
        ]  # fmt: skip
        scope = {"copyto": np.copyto, "typed": typed.dtype.type, "holds": holds}
        scope |= {name: getattr(np, name) for _, name, *_ in typed.lines if hasattr(np, name)}
        scope["where"] = where
        exec(compile("\n".join(source), f"<formula {program.name}>", "exec"), scope)
        self.code = scope["run"]

    def run(self, arrays, numbers, outs):
        """Run it; returns its results."""
        if not outs and not self.given and self.new:
            outs = tuple([np.empty(shape, dtype) for shape, dtype in self.new])
        temporaries = TEMPORARIES.of(self) if self.temporaries else ()
        if self.evaluate is not None:
            numbers = self.evaluate(numbers)
        return self.code(arrays, numbers, outs, temporaries)

    def place(self, lines, targets):
        """Decide where every result goes; returns lines of Python."""
        end, kinds = len(lines), self.typed.kinds
        holding = {p: self.new[int(p[1:])] if p[0] == "o" else kinds[int(p[1:])] for p in targets}
        last, made = {}, {}  # when an operand is last read, and when a result is computed
        for at, (i, _, operands, _) in enumerate(lines):
            made[i, 0] = at
            last |= dict.fromkeys((o for o in operands if self.kind(o)[1] is not None), at)
        last |= dict.fromkeys(targets.values(), end)
        wanted = {ref: place for place, ref in reversed(targets.items())}
        home = {i: f"a{i}" for i in kinds if isinstance(i, int)}
        free = {}  # temporaries that nobody needs, by shape and type
        body = []

        def busy(place, at, strictly):
            """Whether what is in a place is still needed once the operation `at` has run."""
            return any(
                where == place and (last.get(ref, -1) >= at if strictly else last.get(ref, -1) > at)
                for ref, where in home.items()
            )

        def fits(place, at, ref, strictly):
            """Whether a result may go to a place that something is written to in the end."""
            goal = targets[place]
            if holding[place] != kinds[ref]:
                return False  # it would be cast, or be repeated, before it has been read
            if goal == ref:
                return not busy(place, at, strictly)
            if goal not in made or wanted[goal] != place or self.kind(goal) != kinds[ref]:
                return False
            soon = made[goal]
            careful = lines[soon][1] == "where"
            return (
                at < soon
                and (last[ref] < soon or (last[ref] == soon and not careful))
                and (not busy(place, at, strictly))
            )

        for at, (i, name, operands, types) in enumerate(lines):
            ref, kind = (i, 0), kinds[i, 0]
            strictly = name == "where"  # it may not overwrite what it reads
            place = wanted.get(ref)
            if place is None or not fits(place, at, ref, strictly):
                dying = [] if strictly else [
                    home[o] for o in operands
                    if o in home and last[o] == at and kinds[o] == kind
                ]  # fmt: skip
                choices = [p for p in dying if p[0] == "t" and not busy(p, at, False)]
                choices += [p for p in targets if p in dying and fits(p, at, ref, strictly)]
                choices += [p for p in targets if p not in dying and fits(p, at, ref, strictly)]
                choices += free.get(kind, [])
                if choices:
                    place = choices[0]
                else:
                    place = f"t{len(self.temporaries)}"
                    self.temporaries.append(kind)
            if place in free.get(kind, []):
                free[kind].remove(place)
            body.append(self.line(name, operands, types, home, place))
            for o in set(operands):
                if o in home and home[o][0] == "t" and last[o] == at and home[o] != place:
                    free.setdefault(kinds[o], []).append(home[o])
            home = {o: p for o, p in home.items() if p != place or last.get(o, -1) > at}
            if last.get(ref, -1) > at:
                home[ref] = place
            elif place[0] == "t":
                free.setdefault(kind, []).append(place)
        return body + self.copies(targets, home)

    def copies(self, targets, home):
        """Lines that bring results to where they belong, if they are not there yet."""
        moves = [(p, ref) for p, ref in targets.items() if home.get(ref) != p]
        first, then = [], []
        for place, ref in moves:
            source = home.get(ref) or self.text(ref, home)
            if source in targets and len(moves) > 1:
                temporary = f"t{len(self.temporaries)}"
                self.temporaries.append(self.typed.kinds[ref])
                first.append(f"copyto({temporary}, {source})")
                source = temporary
            then.append(f"copyto({place}, {source})")
        return first + then

    def text(self, operand, home):
        """How an operand is written."""
        return f"n{self.numbers[operand]}" if operand in self.numbers else home[operand]

    def line(self, name, operands, types, home, place):
        """One operation, as Python."""
        words = [self.text(o, home) for o in operands]
        if name == "assign":
            return f"copyto({place}, {words[0]})"
        lone = not any(d is not None and d.kind == "f" for _, d in map(self.kind, operands))
        for i, (operand, dtype) in enumerate(zip(operands, types, strict=True)):
            if dtype.kind == "b" and self.kind(operand)[1] != dtype:
                words[i] = f"holds({words[i]})"
            elif operand in self.numbers and lone and dtype == self.typed.dtype:
                # a number among conditions and whole numbers has the type of the formula
                words[i] = f"typed({words[i]})"
        out = f"out={place}" if name in ("maximum", "minimum") else place  # NumPy asks for that
        return f"{name}({', '.join(words)}, {out})"
