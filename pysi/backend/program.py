"""A recorded program: elementwise operations in a row, with the shape and type of each result."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeAlias

import numpy as np

from pysi.errors import ConfigError
from pysi.typing import Array, Shape

Operand: TypeAlias = int | tuple
"""How an operation names what it reads; see `Program`."""
# Shape and type of an array; a number has the shape (), and None as its type
Spec: TypeAlias = tuple[Shape, Any]

OPERATIONS = {
    "add": "{} + {}", "subtract": "{} - {}", "multiply": "{} * {}", "divide": "{} / {}",
    "negative": "-{}", "equal": "{} == {}", "not_equal": "{} != {}", "greater": "{} > {}",
    "greater_equal": "{} >= {}", "less": "{} < {}", "less_equal": "{} <= {}",
    "sqrt": "sqrt({})", "exp": "exp({})", "log": "log({})", "tanh": "tanh({})",
    "square": "{0} * {0}", "power": "pow({}, {})", "abs": "pysi_abs({})", "sign": "pysi_sign({})",
    "maximum": "pysi_maximum({}, {})", "minimum": "pysi_minimum({}, {})",
    "logical_and": "pysi_and({}, {})", "logical_or": "pysi_or({}, {})",
    "logical_not": "pysi_not({})", "bitwise_and": "pysi_and({}, {})",
    "bitwise_or": "pysi_or({}, {})", "invert": "pysi_not({})", "where": "{} ? {} : {}",
    "assign": "{}",
}  # fmt: skip
"""The operations that can be recorded, by NumPy's name, and how they are written in C++.

Assign is what ``old[...] = value`` does; its operands are the value and the old array.
"""
PYTHON: dict[str, Callable] = {
    "add": operator.add, "subtract": operator.sub, "multiply": operator.mul,
    "divide": operator.truediv, "negative": operator.neg,
}  # fmt: skip
"""Python's functions for single numbers, used in place of NumPy's."""
CONDITIONS = ("bitwise_and", "bitwise_or", "invert")
"""Python's operators &, | and ~: they take conditions alone, not the bits of whole numbers."""


@dataclass(frozen=True)
class Program:
    """Operations in the order in which they run.

    Attributes
    ----------
    name : str
    nodes : list of (str, tuple)
        A name in `OPERATIONS` and its operands: an int i is the array i, ("n", i) the number i,
        ("c", x, text) the constant x, and (i, 0) the result of node i.
    results : tuple
        The operands that are returned.
    writes : dict of int to operand
        For arrays that are written to, after everything has been computed: the operand.
    """

    name: str
    nodes: list[tuple[str, tuple]]
    results: tuple
    writes: dict[int, Operand]


PROGRAMS = 1024
"""How many programs a cache holds; when it is full it is emptied, and programs are made again."""


def remember(cache: dict, key: Any, made: Any) -> Any:
    """Put what was made into a cache, and return it; a full cache is emptied first."""
    if len(cache) >= PROGRAMS:
        cache.clear()
    cache[key] = made
    return made


def is_number(operand: Operand) -> bool:
    """Return whether an operand is a number by itself: an argument, or a constant."""
    return isinstance(operand, tuple) and operand[0] in ("n", "c")


def number(function: Callable) -> Callable:
    """Return a function with Python's numbers as arguments and result."""
    return lambda *values: np.asarray(function(*values)).item()


class Typed:
    """A program, with the shape and the type of everything in it.

    Attributes
    ----------
    dtype : dtype
        The one floating type of the formula, which its numbers have too.
    specs : dict
        From an operand to its (shape, dtype); a number has no dtype.
    results, writes : tuple, dict
        As in the program.
    lines : list of (int, str, tuple, tuple)
        Each operation on arrays that is needed: its index, name, operands, and the types to which
        these are converted.
    numbers, evaluate : dict, callable or None
        The place of each number among those that are used, and a function from the numbers given to
        the numbers used; None if the numbers used are the first of those given.

    Raises
    ------
    ConfigError
        Shapes do not broadcast, or floating types differ; the message names the formula.
    """

    def __init__(self, program: Program, arrays: Sequence) -> None:
        self.name, self.program = program.name, program
        self.arrays = [(a.shape, a.dtype) if hasattr(a, "shape") else a for a in arrays]
        floats = {dtype for _, dtype in self.arrays if dtype.kind == "f"}
        if len(floats) > 1:
            self.refuse("arrays of one floating type", f"{sorted(map(str, floats))}")
        self.dtype = next(iter(floats), np.dtype(float))
        self.specs: dict[Operand, Spec] = dict(enumerate(self.arrays))
        self.lines: list[tuple] = []
        scalars: list[tuple] = []
        same: dict[Operand, Operand] = {}
        for i, (name, operands) in enumerate(program.nodes):
            operands = tuple(same.get(o, o) for o in operands)
            if name == "assign":
                value, old = operands
                if self.spec(old)[1] is None or self.spec(old) == self.spec(value):
                    same[i, 0] = value
                    continue
                self.check_write(value, *self.spec(old))
                self.specs[i, 0] = self.spec(old)
                self.lines.append((i, name, (value,), (self.spec(old)[1],)))
            elif all(self.spec(o)[1] is None for o in operands):
                scalars.append((i, name, operands))
                self.specs[i, 0] = (), None
            else:
                self.specs[i, 0], types = self.infer(name, operands)
                self.lines.append((i, name, operands, types))
        self.results = tuple(same.get(ref, ref) for ref in program.results)
        self.writes = {array: same.get(ref, ref) for array, ref in program.writes.items()}
        for array, ref in self.writes.items():
            self.check_write(ref, *self.specs[array])
        needed, before = {*self.results, *self.writes.values()}, [*scalars, *self.lines]
        for i, _, operands, *_ in sorted(before, reverse=True, key=lambda line: line[0]):
            if (i, 0) in needed:
                needed |= set(operands)
        self.lines = [line for line in self.lines if (line[0], 0) in needed]
        scalars = [line for line in scalars if (line[0], 0) in needed]
        self.numbers, self.evaluate = self.numbers_of(scalars)

    def refuse(self, expected: str, found: str) -> NoReturn:
        """Raise the ConfigError that says what the program cannot take."""
        raise ConfigError(
            f"formula {self.name!r}: expected {expected}, found {found}; convert them first"
        )

    def spec(self, ref: Operand) -> Spec:
        """Return the shape and dtype of an operand; of a number (), None."""
        return ((), None) if is_number(ref) else self.specs[ref]

    def is_scalar(self, ref: Operand) -> bool:
        """Return whether an operand is a number, given or computed from numbers."""
        return self.spec(ref)[1] is None

    def check_write(self, ref: Operand, shape: Shape, dtype: Any) -> None:
        """Refuse to write a value to an array that cannot hold it."""
        given_shape, given = self.spec(ref)
        try:
            good = np.broadcast_shapes(given_shape, shape) == shape
        except ValueError:
            good = False
        if not good or not np.can_cast(given or self.dtype, dtype, "same_kind"):
            found = f"{given or 'number'}{given_shape}"
            self.refuse(f"a result for an array {dtype}{shape}", found)

    def check_out(self, ref: Operand, array: Array) -> None:
        """Refuse an array that is given for a result of another shape or type."""
        shape, dtype = self.spec(ref)
        dtype = dtype or self.dtype
        if (array.shape, array.dtype) != (shape, dtype):
            self.refuse(f"out {dtype}{shape}", f"{array.dtype}{array.shape}")

    def infer(self, name: str, operands: tuple) -> tuple[Spec, tuple]:
        """Return shape and type of an operation's result, and the types that it takes."""
        shapes, dtypes = zip(*map(self.spec, operands), strict=True)
        known = [d for d in (dtypes[1:] if name == "where" else dtypes) if d is not None]
        try:
            shape = np.broadcast_shapes(*shapes)
        except ValueError:
            given = [s for s, d in zip(shapes, dtypes, strict=True) if d is not None]
            self.refuse("arrays that broadcast", f"shapes {given} in {name}")
        if name in CONDITIONS and any(d.kind != "b" for d in known):
            self.refuse(f"conditions in {name}", " and ".join(map(str, known)))
        asked = []
        for operand, dtype in zip(operands, dtypes, strict=True):
            if dtype is None:  # a number takes the formula's type, and converts nothing else
                whole = operand[0] == "c" and type(operand[1]) is int
                if name in CONDITIONS:
                    dtype = np.dtype(bool)
                elif known and all(d.kind in "iu" for d in known) and whole:
                    dtype = int
                else:
                    dtype = float if any(d.kind == "f" for d in known) else self.dtype
            asked.append(dtype)
        try:
            if name == "where":
                weak = [{int: 0, float: 0.0}.get(d, d) for d in asked[1:]]
                dtype = np.result_type(*weak)
                return (shape, self.allowed(name, dtype, known)), (np.dtype(bool), dtype, dtype)
            *types, dtype = getattr(np, name).resolve_dtypes((*asked, None))
        except TypeError:
            self.refuse(f"other types in {name}", " and ".join(map(str, known)))
        if name == "power" and dtype.kind != "f":
            self.refuse("floats in power", f"{dtype}")
        return (shape, self.allowed(name, dtype, known)), tuple(types)

    def allowed(self, name: str, dtype: np.dtype, known: Sequence) -> np.dtype:
        """Return a result's type: bool, a type of whole numbers, or the formula's own."""
        if dtype != self.dtype and dtype not in (np.bool, np.int64) and dtype not in known:
            self.refuse(f"results of type {self.dtype}", f"{dtype} from {name} of {known}")
        return dtype

    def numbers_of(self, scalars: list) -> tuple[dict, Callable | None]:
        """Return the place of each number used, and a function from numbers given to those used."""
        used = [o for _, _, operands, _ in self.lines for o in operands]
        used += [*self.results, *self.writes.values()]
        used = sorted(dict.fromkeys(o for o in used if self.is_scalar(o)), key=str)
        if all(o == ("n", i) for i, o in enumerate(used)):
            return {o: i for i, o in enumerate(used)}, None
        scope: dict[str, Any] = {}
        lines = ["def evaluate(N):"]

        def text(operand):
            if operand[0] == "n":
                return f"N[{operand[1]}]"
            if operand[0] == "c":
                name = f"c{len(scope)}"
                scope[name] = operand[1]
                return name
            return f"m{operand[0]}"

        for i, name, operands in scalars:
            scope[f"f{i}"] = PYTHON.get(name) or number(getattr(np, name))
            lines.append(f"    m{i} = f{i}({', '.join(map(text, operands))})")
        lines.append(f"    return [{', '.join(map(text, used))}]")
        exec("\n".join(lines), scope)
        return {operand: i for i, operand in enumerate(used)}, scope["evaluate"]
