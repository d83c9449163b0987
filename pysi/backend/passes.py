"""A recorded program on a CPU: one NumPy call for each operation, into memory that is used again.

Where each result goes is decided once, when the program is made: to the array that it is meant for
as soon as nobody needs what is in it, else to a temporary array, as few of them as possible.
"""

import threading
from math import prod

import numpy as np

from pysi.backend.program import is_number, numbers_of, scalar_nodes
from pysi.errors import ConfigError

FLOATS = "efdg"


def where(condition, yes, no, out):
    """As numpy.where, into an array."""
    np.copyto(out, no)
    np.copyto(out, yes, where=condition)


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
            found = self.views[program] = [
                self.buffers[i, dtype.char][: prod(shape)].reshape(shape)
                for i, (shape, dtype) in enumerate(program.temporaries)
            ]
        return found


TEMPORARIES = Temporaries()


class Passes:
    """A program for arrays of certain shapes and types.

    Parameters
    ----------
    program : Program
    arrays : sequence of ndarray
        Like those that it will be run on.
    aliases : list of int or None, optional
        For each result, which of the arrays it is computed into, None for another one. Without the
        list results are new arrays.
    xp : module
        NumPy.

    Raises
    ------
    ConfigError
        Shapes that do not broadcast, or floating types that differ; the message names the formula.
    """

    def __init__(self, program, arrays, aliases, xp):
        self.name, self.scalars = program.name, scalar_nodes(program)
        self.numbers, self.evaluate = numbers_of(program, self.scalars)
        self.several, self.temporaries = True, []
        floats = {a.dtype for a in arrays if a.dtype.kind == "f"}
        if len(floats) > 1:
            raise ConfigError(
                f"formula {program.name!r}: expected arrays of one floating type, found "
                f"{sorted(map(str, floats))}; convert them first"
            )
        self.dtype = next(iter(floats), np.dtype(float))
        self.kinds = {i: (a.shape, a.dtype) for i, a in enumerate(arrays)}
        lines = self.infer(program)
        self.new = [self.kind(ref) for ref in program.results]
        targets = {}  # a place, such as "a0" or "o0", to what is written there
        for i, ref in enumerate(program.results):
            alias = aliases[i] if aliases else None
            targets[f"o{i}" if alias is None else f"a{alias}"] = ref
        targets |= {f"a{array}": ref for array, ref in program.writes.items()}
        self.given = aliases is not None
        names = [f"a{i}" for i in range(len(arrays))]
        body = self.place(lines, targets)
        source = [
            "def run(A, N, O, T):",
            *(f"    {', '.join(group)}, = {holder}" for group, holder in (
                (names, "A"), ([f"n{i}" for i in self.numbers.values()], "N"),
                ([f"o{i}" for i in range(len(self.new))], "O"),
                ([f"t{i}" for i in range(len(self.temporaries))], "T"),
            ) if group),
            *(f"    {line}" for line in body), "    return O",
        ]  # fmt: skip
        scope = {"where": where, "copyto": np.copyto, "typed": self.dtype.type}
        scope |= {name: getattr(np, name) for _, (name, _) in lines if name != "where"}
        exec(compile("\n".join(source), f"<formula {program.name}>", "exec"), scope)
        self.code = scope["run"]

    def run(self, arrays, numbers, outs):
        """Run it; returns its results."""
        if not outs and not self.given and self.new:
            outs = tuple([np.empty(shape, dtype) for shape, dtype in self.new])
        temporaries = TEMPORARIES.of(self) if self.temporaries else ()
        return self.code(arrays, self.evaluate(numbers), outs, temporaries)

    def kind(self, ref):
        """Shape and dtype of an operand; of a number (), None."""
        return ((), None) if is_number(ref) or ref in self.numbers else self.kinds[ref]

    def infer(self, program):
        """Find all shapes and types. Returns the operations on arrays, each with its index."""
        lines = []
        for i, (name, operands) in enumerate(program.nodes):
            if i in self.scalars:
                continue
            shapes, dtypes = zip(*map(self.kind, operands), strict=True)
            try:
                shape = np.broadcast_shapes(*shapes)
            except ValueError as err:
                raise ConfigError(
                    f"formula {program.name!r}: expected arrays that broadcast, found shapes "
                    f"{[s for s, d in zip(shapes, dtypes, strict=True) if d]} in {name}"
                ) from err
            if name == "where":
                known = [d for d in dtypes[1:] if d is not None]
                dtype = np.result_type(*known) if known else self.dtype
            else:
                lone = all(d is None or d.kind != "f" for d in dtypes)
                weak = self.dtype if lone else float
                asked = tuple(weak if d is None else d for d in dtypes)
                dtype = getattr(np, name).resolve_dtypes((*asked, None))[-1]
            self.kinds[i, 0] = shape, dtype
            lines.append((i, (name, operands)))
        return lines

    def place(self, lines, targets):
        """Decide where every result goes; returns lines of Python."""
        end = len(lines)
        last, made = {}, {}  # when an operand is last read, and when a result is computed
        for at, (i, (_, operands)) in enumerate(lines):
            made[i, 0] = at
            last |= dict.fromkeys((o for o in operands if self.kind(o)[1] is not None), at)
        last |= dict.fromkeys(targets.values(), end)
        wanted = {ref: place for place, ref in reversed(targets.items())}
        home = {i: f"a{i}" for i in self.kinds if isinstance(i, int)}
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
            if goal == ref:
                return not busy(place, at, strictly)
            if self.kind(goal) != self.kinds[ref] or goal not in made or wanted[goal] != place:
                return False
            soon = made[goal]
            careful = lines[soon][1][0] == "where"
            return (
                at < soon
                and (last[ref] < soon or (last[ref] == soon and not careful))
                and (not busy(place, at, strictly))
            )

        for at, (i, (name, operands)) in enumerate(lines):
            ref, kind = (i, 0), self.kinds[i, 0]
            strictly = name == "where"  # it may not overwrite what it reads
            place = wanted.get(ref)
            if place is None or not fits(place, at, ref, strictly):
                dying = [] if strictly else [
                    home[o] for o in operands
                    if o in home and last[o] == at and self.kinds[o] == kind
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
            body.append(self.line(name, operands, home, place))
            for o in set(operands):
                if o in home and home[o][0] == "t" and last[o] == at and home[o] != place:
                    free.setdefault(self.kinds[o], []).append(home[o])
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
                self.temporaries.append(self.kinds[ref])
                first.append(f"copyto({temporary}, {source})")
                source = temporary
            then.append(f"copyto({place}, {source})")
        return first + then

    def text(self, operand, home):
        """How an operand is written."""
        if operand in self.numbers:
            return f"n{self.numbers[operand]}"
        return repr(operand[1]) if is_number(operand) else home[operand]

    def line(self, name, operands, home, place):
        """One operation, as Python."""
        words = [self.text(o, home) for o in operands]
        kinds = [self.kind(o)[1] for o in operands]
        if name != "where" and not any(d is not None and d.kind == "f" for d in kinds):
            # a number among conditions and integers has the type of the formula
            words = [
                w if d is not None else f"typed({w})" for w, d in zip(words, kinds, strict=True)
            ]
        return f"{name}({', '.join(words)}, {place})"
