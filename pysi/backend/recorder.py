"""Symbols stand for arrays while a formula is recorded; a recorder notes what is done to them."""

from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, NoReturn

import numpy as np

from pysi.backend.arrays import overlap
from pysi.backend.program import OPERATIONS, Operand, Program
from pysi.errors import ConfigError
from pysi.typing import Array

SYNONYMS = {"absolute": "abs", "true_divide": "divide"}
"""Names that some of NumPy's functions give themselves, and the names used here."""
ROLES: dict[type, str] = {}
"""The role of an argument in a formula, by its type: "array", "number" or "symbol"."""


def role_of(value: Any, name: str = "formula") -> str:
    """Return the role of an argument in a formula, and add its type to `ROLES`."""
    if isinstance(value, Symbol):
        role = "symbol"
    elif isinstance(value, Real | np.bool):
        role = "number"
    elif hasattr(value, "dtype") and hasattr(value, "shape"):
        role = "array"
    else:
        cls = type(value).__name__
        raise ConfigError(f"formula {name!r}: expected arrays and numbers, found {cls}")
    ROLES[type(value)] = role
    return role


class Symbol(np.lib.mixins.NDArrayOperatorsMixin):
    """Stands for an array, a number, or a result of them, while a formula is recorded."""

    __hash__ = None  # type: ignore[assignment]  # as for arrays, which == compares entry by entry
    __slots__ = ("array", "recorder", "ref", "step")

    def __init__(self, recorder: "Recorder", ref: Operand, array: int | None = None) -> None:
        self.recorder, self.ref, self.array, self.step = recorder, ref, array, recorder.step

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        name = SYNONYMS.get(ufunc.__name__, ufunc.__name__)
        if method != "__call__" or options:
            self.recorder.refuse(f"{name}.{method} with options {sorted(options)}")
        result = self.recorder.operation(name, inputs)
        if out is None:
            return result
        if type(out[0]) is not Symbol:
            self.recorder.refuse("an array that is written to", "its own symbols")
        out[0][...] = result
        return out[0]

    def __array_function__(self, function, types, args, kwargs):
        name = function.__name__
        if name == "where" and len(args) == 3 and not kwargs:
            return self.recorder.operation("where", args)
        if name == "clip" and len(args) == 3 and not kwargs:
            return np.minimum(np.maximum(args[0], args[1]), args[2])
        self.recorder.refuse(f"{name} of {len(args)} arguments and {sorted(kwargs)}")

    # the mixin's operators would do the same by NumPy's dispatch, and take four times as long
    def __add__(self, other):
        return self.recorder.operation("add", (self, other))

    def __mul__(self, other):
        return self.recorder.operation("multiply", (self, other))

    def __pow__(self, exponent):
        # as NumPy's own operator does, and exactly so on every device
        if type(exponent) in (int, float) and exponent in (2, 0.5):
            return np.square(self) if exponent == 2 else np.sqrt(self)
        return np.power(self, exponent)

    def __getitem__(self, index):
        if index is not ...:
            self.recorder.refuse(f"the index {index}", "whole arrays, x[...]")
        return self

    def __setitem__(self, index, value):
        self[index].recorder.write(self, value)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        self.recorder.refuse(f"the attribute {name!r}")

    def __bool__(self):
        self.recorder.refuse(
            "one",
            "no condition on the values of arrays or numbers",
            "use where(condition, yes, no)",
        )

    __float__ = __int__ = __complex__ = __index__ = __iter__ = __len__ = __bool__

    def __contains__(self, value):
        self.__bool__()


class Recorder:
    """Notes what a formula does to symbols: `nodes`, each a function and its operands.

    Operands are those of a `Program`, or (node, result) for one of the results of a whole formula.
    """

    step: object = None
    """Tells symbols of this step from those of an earlier one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.arrays: list[Array] = []
        self.numbers: list[float] = []
        self.nodes: list[tuple[Any, tuple]] = []
        self.symbols: dict[int, Symbol] = {}
        self.writes: dict[int, Operand] = {}
        self.owners: set[int] = set()

    def refuse(
        self, found: str, expected: str = "", remedy: str = "compute it outside of the formula"
    ) -> NoReturn:
        """Raise the ConfigError that says what cannot be recorded."""
        expected = expected or f"where, clip or one of {sorted(OPERATIONS)}"
        raise ConfigError(f"formula {self.name!r}: expected {expected}, found {found}; {remedy}")

    def symbol(self, array: Array) -> Symbol:
        """Return the symbol of an array: for the same array always the same symbol."""
        symbol = self.symbols.get(id(array))
        if symbol is None:
            i = len(self.arrays)
            symbol = self.symbols[id(array)] = Symbol(self, i, i)
            self.arrays.append(array)
            self.owners.add(id(array if array.base is None else array.base))
        return symbol

    def part(self, array: Array) -> Symbol:
        """Return an array's symbol; the array may share no memory with another that has one."""
        symbol = self.symbols.get(id(array))
        if symbol is not None:
            return symbol
        if id(array if array.base is None else array.base) in self.owners and any(
            overlap(array, held) for held in self.arrays
        ):
            self.refuse("a view of an array that has a symbol already", "arrays apart from others")
        return self.symbol(array)

    def operand(self, value: Any) -> Operand:
        """Return the name of an operand in the nodes."""
        if type(value) is Symbol:
            if (value.step is not self.step and value.array is None) or value.recorder is not self:
                self.refuse(
                    f"a symbol of {value.recorder.name!r} that is of another step or table",
                    "its own arrays",
                )
            return value.ref
        role = ROLES.get(type(value)) or role_of(value, self.name)
        return self.number(value) if role == "number" else self.part(value).ref

    def number(self, value: float) -> Operand:
        """Return the name of a number in the nodes."""
        self.numbers.append(float(value))
        return "n", len(self.numbers) - 1

    def operation(self, name: str, operands: Sequence) -> Symbol:
        """Record one of `OPERATIONS`, and return the symbol of what it computes."""
        if name not in OPERATIONS:
            self.refuse(repr(name))
        self.nodes.append((name, tuple(map(self.operand, operands))))
        return Symbol(self, (len(self.nodes) - 1, 0))

    def call(self, formula: Any, args: Sequence) -> Any:
        """Record a whole formula as one node, and return symbols of what it returns."""
        trace, node = formula.trace, len(self.nodes)
        trace.check(args)
        self.nodes.append((formula, tuple(map(self.operand, args))))
        if not trace.several:
            return Symbol(self, (node, 0))
        return tuple([Symbol(self, (node, i)) for i in range(len(trace.results))])

    def write(self, symbol: Symbol, value: Any) -> None:
        """Let a symbol stand for this value, which is written to its array at the end."""
        if isinstance(symbol.ref, int) and symbol.array is None:
            self.refuse("an argument that is written to", "expressions", "return the new value")
        self.nodes.append(("assign", (self.operand(value), symbol.ref)))
        symbol.ref = len(self.nodes) - 1, 0
        if symbol.array is not None:
            self.writes[symbol.array] = symbol.ref

    def program(self, results: Sequence = (), writes: dict | None = None) -> Program:
        """Return what was recorded, as operations alone: formulas in it are written out."""
        nodes: list[tuple[str, tuple]] = []
        places: dict[Operand, Operand] = {}

        def place(operand):
            return places.get(operand, operand) if isinstance(operand, tuple) else operand

        for i, (function, operands) in enumerate(self.nodes):
            operands = tuple(map(place, operands))
            if isinstance(function, str):
                places[i, 0] = len(nodes), 0
                nodes.append((function, operands))
                continue
            refs = function.trace.results_of(operands, nodes)
            places |= {(i, k): ref for k, ref in enumerate(refs)}
        writes = {i: place(ref) for i, ref in (self.writes if writes is None else writes).items()}
        return Program(self.name, nodes, tuple(map(place, results)), writes)


class FormulaRecorder(Recorder):
    """Notes a formula by itself: all arrays are arguments, and numbers are constants."""

    def number(self, value: float) -> Operand:
        value = value if type(value) in (int, float) else float(value)
        return "c", value, repr(value)  # 1, 1.0, 0.0 and -0.0 are four constants

    def part(self, array: Array) -> NoReturn:
        self.refuse(f"an array that is no argument: {array!r:.60}", "its arguments and numbers")


class Trace:
    """What a formula does to its `count` arguments: recorded once."""

    def __init__(self, name: str, function: Callable, count: int) -> None:
        recorder = FormulaRecorder(name)
        self.name, self.count = name, count
        returned = function(*(Symbol(recorder, i) for i in range(count)))
        self.several = isinstance(returned, tuple)
        results = returned if self.several else (returned,)
        program = recorder.program(tuple(map(recorder.operand, results)))
        self.nodes, self.results = program.nodes, program.results

    def check(self, args: Sequence) -> None:
        """Raise a ConfigError for another number of arguments."""
        if len(args) != self.count:
            expected = f"expected {self.count} arguments"
            raise ConfigError(f"formula {self.name!r}: {expected}, found {len(args)}")

    def results_of(self, operands: Sequence, nodes: list) -> tuple:
        """Append to `nodes` what the formula does to these operands, and return its results."""
        first = len(nodes)

        def place(ref):
            if isinstance(ref, int):
                return operands[ref]
            return ref if ref[0] == "c" else (first + ref[0], 0)

        nodes += [(name, tuple(map(place, inputs))) for name, inputs in self.nodes]
        return tuple(map(place, self.results))
