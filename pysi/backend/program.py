"""A recorded program: a list of elementwise operations, and what NumPy and C++ call each of them."""

from dataclasses import dataclass

import numpy as np

OPERATIONS = {
    "add": "{} + {}", "subtract": "{} - {}", "multiply": "{} * {}", "divide": "{} / {}",
    "negative": "-{}", "equal": "{} == {}", "not_equal": "{} != {}", "greater": "{} > {}",
    "greater_equal": "{} >= {}", "less": "{} < {}", "less_equal": "{} <= {}",
    "sqrt": "sqrt({})", "exp": "exp({})", "log": "log({})", "tanh": "tanh({})",
    "square": "{0} * {0}", "power": "pow({}, {})", "abs": "pysi_abs({})", "sign": "pysi_sign({})",
    "maximum": "pysi_maximum({}, {})", "minimum": "pysi_minimum({}, {})",
    "logical_and": "pysi_and({}, {})", "logical_or": "pysi_or({}, {})",
    "logical_not": "pysi_not({})", "where": "{} ? {} : {}",
}  # fmt: skip
"""What can be recorded, by NumPy's name, and how C++ writes it."""


@dataclass(frozen=True)
class Program:
    """Operations in the order in which they run.

    Attributes
    ----------
    name : str
    nodes : list of (str, tuple)
        A name in `OPERATIONS` and its operands: an int i is the array i, ("n", i) the number i,
        ("c", x) the constant x, and (i, 0) the result of node i.
    results : tuple
        What is returned: operands.
    writes : dict of int to operand
        What is written to an array in the end.
    """

    name: str
    nodes: list
    results: tuple
    writes: dict


def is_number(operand):
    """Whether an operand is a number by itself: an argument, or a constant."""
    return isinstance(operand, tuple) and operand[0] in ("n", "c")


def scalar_nodes(program):
    """Which nodes compute numbers from numbers alone: a set of indices."""
    found = set()
    for i, (_, operands) in enumerate(program.nodes):
        if all(is_number(o) or (isinstance(o, tuple) and o[0] in found) for o in operands):
            found.add(i)
    return found


def numbers_of(program, scalars):
    """A function from the numbers that are given to those that the program uses.

    Returns
    -------
    where : dict
        From an operand to its index among the latter.
    evaluate : callable
        From the given numbers to a list of all.
    """
    where, constants, steps = {}, {}, []
    for i, (name, operands) in enumerate(program.nodes):
        for operand in operands:
            if is_number(operand) and operand[0] == "c":
                constants[operand] = operand[1]
        if i in scalars:
            steps.append((i, getattr(np, name), operands))

    def evaluate(numbers):
        if not constants and not steps:
            return numbers
        values = {("n", i): value for i, value in enumerate(numbers)} | constants
        for i, function, operands in steps:
            values[i, 0] = float(function(*(values[operand] for operand in operands)))
        return [values[operand] for operand in order]

    given = sorted({o for _, os in program.nodes for o in os if is_number(o) and o[0] == "n"})
    last = max((o[1] for o in given), default=-1)
    order = [("n", i) for i in range(last + 1)] + list(constants) + [(i, 0) for i, *_ in steps]
    where |= {operand: i for i, operand in enumerate(order)}
    return where, evaluate
