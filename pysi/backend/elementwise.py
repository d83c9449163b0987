"""Elementwise formulas: written as plain NumPy, recorded once, run in few passes.

A formula such as ``beta * M + g`` makes a new array for every operator when NumPy runs it. Under the
decorator `elementwise` the same lines are *recorded*: they run once on symbols in place of arrays,
and what they do to them becomes a program. The program is then run as NumPy passes into memory that
is used again (`pysi.backend.passes`), with the bits that plain NumPy gives, or as a single kernel on
a GPU (`pysi.backend.kernel`). Without the decorator a formula gives the same numbers, only slower.

What can be recorded are NumPy's elementwise functions in `OPERATIONS`, `where` and `clip`, on arrays
that broadcast, and numbers. Numbers are arguments of the program, so that a new learning rate needs
no new one. A condition on an array's values cannot be recorded: write ``np.where(condition, a, b)``.
"""

from functools import cached_property, update_wrapper
from inspect import signature
from numbers import Real

import numpy as np

from pysi.backend.arrays import namespace
from pysi.backend.kernel import Kernel
from pysi.backend.passes import Passes
from pysi.backend.program import OPERATIONS, Program
from pysi.errors import ConfigError

SYNONYMS = {"bitwise_and": "logical_and", "bitwise_or": "logical_or", "invert": "logical_not",
            "absolute": "abs", "true_divide": "divide"}  # fmt: skip
"""What Python's operators on conditions, and some functions, are called here."""
PROGRAMS = 1024
"""How many programs are kept in memory; beyond that they are made again."""


def remember(cache, key, make):
    """The entry of a cache, made if it is missing; a full cache begins anew."""
    found = cache.get(key)
    if found is None:
        if len(cache) >= PROGRAMS:
            cache.clear()
        found = cache[key] = make()
    return found


KINDS = {}
"""What arguments are, by type: "array", "number" or "symbol"."""


def classify(value):
    """What an argument of a formula is; see `KINDS`."""
    if isinstance(value, Symbol):
        kind = "symbol"
    elif isinstance(value, Real | np.bool):
        kind = "number"
    elif hasattr(value, "dtype") and hasattr(value, "shape"):
        kind = "array"
    else:
        raise ConfigError(f"formula: expected arrays and numbers, found {type(value).__name__}")
    KINDS[type(value)] = kind
    return kind


class Symbol(np.lib.mixins.NDArrayOperatorsMixin):
    """Stands for an array or a number, or for what a formula made of them, while it is recorded."""

    __hash__ = None

    def __init__(self, recorder, ref, array=None):
        self.recorder, self.ref, self.array = recorder, ref, array

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if method != "__call__" or options:
            return self.recorder.refuse(f"{ufunc.__name__}.{method} with {sorted(options)}")
        name = SYNONYMS.get(ufunc.__name__, ufunc.__name__)
        found = self.recorder.operation(name, inputs)
        if out is None:
            return found
        out[0][...] = found
        return out[0]

    def __array_function__(self, function, types, args, kwargs):
        name = function.__name__
        if name == "where" and len(args) == 3 and not kwargs:
            return self.recorder.operation("where", args)
        if name == "clip":
            return np.minimum(np.maximum(args[0], args[1]), args[2])
        return self.recorder.refuse(name)

    def __pow__(self, exponent):
        # as NumPy's own operator
        if isinstance(exponent, Real) and exponent == 2:
            return np.square(self)
        return np.power(self, exponent)

    def __getitem__(self, key):
        if key is not ...:
            self.recorder.refuse(f"the index {key}", "whole arrays, x[...]")
        return self

    def __setitem__(self, key, value):
        self[key].recorder.write(self, value)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self.recorder.refuse(f"the attribute {name!r}")

    def __bool__(self):
        self.recorder.refuse(
            "one",
            "no condition on the values of arrays or numbers",
            "use where(condition, yes, no)",
        )

    __float__ = __int__ = __index__ = __iter__ = __len__ = __bool__


class Recorder:
    """Takes down what a formula does to symbols: `nodes`, each a function and its operands.

    An operand is an int i for the array i, ("n", i) for the number i, ("c", x) for the constant x
    that stands in the formula itself, or (node, result).
    """

    def __init__(self, name, constants=False):
        self.name, self.constants = name, constants
        self.arrays, self.numbers, self.nodes = [], [], []
        self.symbols, self.writes = {}, {}

    def refuse(self, found, expected=None, remedy="compute it outside of the formula"):
        """Raise the ConfigError that says what cannot be recorded."""
        expected = expected or f"where, clip or one of {sorted(OPERATIONS)}"
        raise ConfigError(f"formula {self.name!r}: expected {expected}, found {found}; {remedy}")

    def symbol(self, array):
        """The symbol of an array; always the same one."""
        found = self.symbols.get(id(array))
        if found is None:
            i = len(self.arrays)
            found = self.symbols[id(array)] = Symbol(self, i, i)
            self.arrays.append(array)
        return found

    def operand(self, value):
        """What an operand is called."""
        if type(value) is Symbol:
            if value.recorder is not self:
                self.refuse(f"a symbol of {value.recorder.name!r}", "its own arrays")
            return value.ref
        kind = KINDS.get(type(value)) or classify(value)
        if kind == "number":
            if self.constants:
                return "c", value if type(value) in (int, float) else float(value)
            self.numbers.append(float(value))
            return "n", len(self.numbers) - 1
        return self.symbol(value).ref

    def operation(self, name, operands):
        """Record one of `OPERATIONS`; returns the symbol of what it computes."""
        if name not in OPERATIONS:
            self.refuse(repr(name))
        self.nodes.append((name, tuple(map(self.operand, operands))))
        return Symbol(self, (len(self.nodes) - 1, 0))

    def call(self, formula, args):
        """Record a whole formula as one node; returns what it returns, as symbols."""
        trace, node = formula.trace, len(self.nodes)
        self.nodes.append((formula, tuple(map(self.operand, args))))
        results = tuple(Symbol(self, (node, i)) for i in range(len(trace.results)))
        return results if trace.several else results[0]

    def write(self, symbol, value):
        """From now on a symbol stands for this value, which is written to its array in the end."""
        if isinstance(symbol.ref, int) and symbol.array is None:
            self.refuse("an argument that is written to", "expressions", "return the new value")
        symbol.ref = self.operand(value)
        if symbol.array is not None:
            self.writes[symbol.array] = symbol.ref

    def program(self, results=()):
        """What was recorded, as operations alone: formulas within it are written out."""
        nodes, places = [], {}

        def place(operand):
            return places.get(operand, operand) if isinstance(operand, tuple) else operand

        for i, (function, operands) in enumerate(self.nodes):
            operands = tuple(map(place, operands))
            if isinstance(function, str):
                places[i, 0] = len(nodes), 0
                nodes.append((function, operands))
                continue
            trace, first = function.trace, len(nodes)

            def inner(ref, operands=operands, first=first):
                if isinstance(ref, int):
                    return operands[ref]
                return ref if ref[0] in ("n", "c") else (first + ref[0], 0)

            nodes += [(name, tuple(map(inner, inputs))) for name, inputs in trace.nodes]
            places |= {(i, k): inner(ref) for k, ref in enumerate(trace.results)}
        writes = {array: place(ref) for array, ref in self.writes.items()}
        return Program(self.name, nodes, tuple(map(place, results)), writes)


class Trace:
    """What a formula does to its arguments."""

    def __init__(self, formula):
        recorder = Recorder(formula.__name__, constants=True)
        count = len(signature(formula.function).parameters)
        returned = formula.function(*(Symbol(recorder, i) for i in range(count)))
        self.several = isinstance(returned, tuple)
        results = returned if self.several else (returned,)
        program = recorder.program(tuple(map(recorder.operand, results)))
        self.nodes, self.results = program.nodes, program.results


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
        return Trace(self)

    def __call__(self, *args, out=None):
        """Compute it, into the arrays `out` (one, or a tuple as returned) if they are given."""
        arrays, numbers, key = [], [], []
        for value in args:
            kind = KINDS.get(type(value)) or classify(value)
            if kind == "array":
                arrays.append(value)
                key.append((value.dtype.char, value.shape))
            elif kind == "number":
                numbers.append(float(value))
                key.append(None)
            else:
                return value.recorder.call(self, args)
        if not arrays:
            return self.function(*args)
        outs = () if out is None else out if type(out) is tuple else (out,)
        for array in outs:
            place = -1
            for i, given in enumerate(arrays):
                if given is array:
                    place = i
            key.append(place)
        xp = namespace(arrays[0])
        program = remember(
            self.programs, (xp, len(outs), *key), lambda: self.compile(xp, args, arrays, outs)
        )
        results = program.run(arrays, numbers, outs)
        return results if program.several else results[0]

    def compile(self, xp, args, arrays, outs):
        """The program for arguments like these."""
        refs, i, j = [], 0, 0
        for value in args:
            number = KINDS[type(value)] == "number"
            refs.append(("n", j) if number else i)
            i, j = i + (not number), j + number
        trace = self.trace

        def place(ref):
            return refs[ref] if isinstance(ref, int) else ref

        nodes = [(name, tuple(map(place, operands))) for name, operands in trace.nodes]
        program = Program(self.__name__, nodes, tuple(map(place, trace.results)), {})
        aliases = [next((k for k, a in enumerate(arrays) if a is array), None) for array in outs]
        made = (Passes if xp is np else Kernel)(program, arrays, aliases or None, xp)
        made.several = trace.several
        return made


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


class Recording(Recorder):
    """Rows of a table, as symbols, and what is done to them; it is run when its context ends."""

    structures = {}

    def run(self, xp, views):
        """Run what was recorded; `views` gives the parts of an array that are updated in turn."""
        if not self.writes:
            return
        key = (
            xp, tuple(self.nodes), tuple(self.writes.items()),
            tuple([(a.dtype.char, a.shape) for a in self.arrays]),
        )  # fmt: skip
        programs = remember(self.structures, key, dict)
        for arrays in zip(*map(views, self.arrays), strict=True):
            shapes = tuple([a.shape for a in arrays])
            program = programs.get(shapes)
            if program is None:
                make = Passes if xp is np else Kernel
                program = programs[shapes] = make(self.program(), arrays, None, xp)
            program.run(arrays, self.numbers, ())


class recording:
    """A context in which formulas on symbols are recorded; at its end they run in one go.

    An exception within it changes nothing. `views` gives the parts of an array that are updated in
    turn, and the context gives what `wrap` makes of the recorder.
    """

    def __init__(self, name, xp, views, wrap=lambda recorder: recorder):
        self.recorder, self.xp, self.views, self.wrap = Recording(name), xp, views, wrap

    def __enter__(self):
        return self.wrap(self.recorder)

    def __exit__(self, kind, *details):
        if kind is None:
            self.recorder.run(self.xp, self.views)
