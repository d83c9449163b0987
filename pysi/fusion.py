"""Fusion: elementwise formulas that a GPU computes in one go.

On a CPU a formula such as ``u *= 0.9; u += g`` is two passes over memory that is in the cache. On a
GPU each of them is a kernel of its own: launching it costs more than its arithmetic, and nothing
stays in the cache. So there the same lines are *recorded*: they run once on symbols instead of
arrays, and what they did to them becomes the source of one kernel. Nothing is written twice.

What can be recorded are the functions and operators below, on arrays that broadcast, and numbers.
Python's own branches are free: they are taken while the formula is recorded, which is every time;
a kernel that is known by its source is compiled only once. Numbers are arguments of the kernel, so
that a new learning rate needs no new kernel.
"""

from contextlib import contextmanager
from numbers import Real

import numpy as np

from pysi.backend import namespace
from pysi.errors import ConfigError

OPERATORS = {
    "add": "+", "subtract": "-", "multiply": "*", "divide": "/", "equal": "==",
    "greater": ">", "greater_equal": ">=", "less": "<", "less_equal": "<=",
}  # fmt: skip
FUNCTIONS = ("sqrt", "exp", "log", "tanh")
TYPES = {"f": ("float32", "float"), "d": ("float64", "double"), "?": ("bool", "bool")}
TYPES |= dict.fromkeys("lq", ("int64", "long long"))
"""What NumPy and C++ call a type, by the letter that stands for it."""
ARITHMETIC = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide"}
SPECIAL = ARITHMETIC | {
    "eq": "equal", "gt": "greater", "ge": "greater_equal", "lt": "less", "le": "less_equal"
}  # fmt: skip


def names(dtype):
    """What NumPy and C++ call a dtype; a ConfigError for one that no kernel here knows."""
    if dtype.char not in TYPES:
        known = ", ".join(dict(TYPES.values()))
        raise ConfigError(f"fusion: expected arrays of {known}, found {dtype}")
    return TYPES[dtype.char]


class Symbol:
    """Stands for an array, or for what a formula has made of arrays, while it is recorded."""

    __array_ufunc__ = None  # NumPy's numbers leave their operators to it
    __hash__ = None

    def __init__(self, recorder, value, type="auto"):
        self.recorder, self.value, self.type, self.written = recorder, value, type, False

    def __getitem__(self, key):
        if key is not ...:
            raise ConfigError(f"fusion: expected whole arrays, x[...], found the index {key}")
        return self

    def __setitem__(self, key, value):
        self.recorder.record(self.recorder.value(value), self[key])

    def __neg__(self):
        return self.recorder.multiply(self, -1.0)

    def __bool__(self):
        raise ConfigError(
            "fusion: expected a formula without conditions on an array's values, found one; "
            "use where(condition, yes, no)"
        )

    __float__ = __int__ = __index__ = __iter__ = __len__ = __bool__


class Recorder:
    """Takes the place of `numpy` or `cupy` in a formula, and makes a kernel of what it is told.

    Parameters
    ----------
    xp : module
        `cupy`, or one with its `ElementwiseKernel`.
    dtype : dtype
        Of all numbers.
    """

    kernels = {}
    """Those that were made before, by module and source."""

    def __init__(self, xp, dtype):
        self.xp, (self.dtype, self.type) = xp, names(dtype)
        self.arrays, self.numbers, self.lines, self.used = {}, [], [], set()

    def symbol(self, array):
        """The symbol of an array; always the same one."""
        found = self.arrays.get(id(array))
        if found is None:
            (dtype, kind), name = names(array.dtype), f"a{len(self.arrays)}"
            found = self.arrays[id(array)] = Symbol(self, name, kind), f"{dtype} {name}", array
        return found[0]

    def temporary(self):
        """A symbol of what needs no memory, to be used as `out`."""
        return Symbol(self, None, self.type)

    def value(self, operand):
        """What an operand is called in the source."""
        if type(operand) is Symbol:
            symbol = operand
        elif isinstance(operand, Real):
            self.numbers.append(float(operand))
            return f"s{len(self.numbers) - 1}"
        else:
            symbol = self.symbol(operand)
        self.used.add(symbol.value)
        return symbol.value

    def record(self, expression, out):
        """Add a line to the source; returns the symbol of what it computes."""
        name = f"t{len(self.lines)}"
        if out is None:
            out = Symbol(self, name)
        elif not isinstance(out, Symbol):
            out = self.symbol(out)
        # in the type of the array, as if it had been in memory
        self.lines.append(f"{out.type} {name} = {expression};")
        out.value, out.written = name, True
        return out

    def where(self, condition, yes, no, *, out=None):
        """As numpy.where: yes where the condition holds, no elsewhere."""
        values = (self.value(operand) for operand in (condition, yes, no))
        return self.record("{} ? {} : {}".format(*values), out)

    def __getattr__(self, name):
        raise ConfigError(
            f"fusion: expected where or one of {[*OPERATORS, *FUNCTIONS]}, found {name!r}"
        )

    def launch(self):
        """Run what was recorded as one kernel; writes the arrays that the formula wrote to."""
        inputs, outputs, ends, read, write = [], [], [], [], []
        for i, (symbol, parameter, array) in enumerate(self.arrays.values()):
            if symbol.written:
                outputs.append(parameter)
                ends.append(f"a{i} = {symbol.value};")
                write.append(array)
            elif f"a{i}" in self.used:
                inputs.append(parameter)
                read.append(array)
        inputs += [f"{self.dtype} s{i}" for i in range(len(self.numbers))]
        source = ", ".join(inputs), ", ".join(outputs), "\n".join(self.lines + ends)
        key = self.xp.__name__, source
        if key not in self.kernels:
            self.kernels[key] = self.xp.ElementwiseKernel(*source, "pysi_fused")
        self.kernels[key](*read, *self.numbers, *write)


def _teach():
    """Give recorders their functions, and symbols the operators that stand for them."""

    def binary(sign):
        def function(self, a, b, *, out=None):
            return self.record(f"{self.value(a)} {sign} {self.value(b)}", out)

        return function

    def unary(name):
        return lambda self, a, *, out=None: self.record(f"{name}({self.value(a)})", out)

    for name, sign in OPERATORS.items():
        setattr(Recorder, name, binary(sign))
    for name in FUNCTIONS:
        setattr(Recorder, name, unary(name))

    def operator(function):
        return lambda a, b: function(a.recorder, a, b)

    def reflected(function):
        return lambda a, b: function(a.recorder, b, a)

    def in_place(function):
        return lambda a, b: function(a.recorder, a, b, out=a)

    for short, name in SPECIAL.items():
        function = getattr(Recorder, name)
        setattr(Symbol, f"__{short}__", operator(function))
        if short in ARITHMETIC:
            setattr(Symbol, f"__r{short}__", reflected(function))
            setattr(Symbol, f"__i{short}__", in_place(function))


_teach()


@contextmanager
def fused(*arrays):
    """Within this context the arrays, on a GPU, are symbols of a formula: one kernel in the end.

    Use: ``with fused(x, y) as (xp, x, y): xp.multiply(x, 2, out=y)``. What is to be kept must be
    written to one of the arrays; their dtype is that of numbers.

    Raises
    ------
    ConfigError
        For what cannot be recorded: a condition on a value, a function that is not elementwise.
    """
    xp = namespace(arrays[0])
    if xp is np:
        yield (np, *arrays)
        return
    recorder = Recorder(xp, arrays[0].dtype)
    yield (recorder, *map(recorder.symbol, arrays))
    recorder.launch()
