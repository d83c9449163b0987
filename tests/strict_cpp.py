"""Evaluate expressions of C++ on whole arrays, with the types that C++ gives them."""

import re

import numpy as np


class Cpp:
    """A value of C++. Two operands take the larger type, and conditions become whole numbers."""

    ranks = ("bool", "int", "long long", "float", "double")
    dtypes = dict(zip(ranks, (np.bool, np.int32, np.int64, np.float32, np.float64), strict=True))

    def __init__(self, value, kind):
        self.kind = kind
        with np.errstate(all="ignore"):
            self.value = np.asarray(value).astype(self.dtypes[kind])

    @classmethod
    def of(cls, value):
        """Return a value of C++ for a literal, or the value itself."""
        if isinstance(value, cls):
            return value
        return cls(value, {bool: "bool", int: "int", float: "double"}[type(value)])

    def promoted(self, *others):
        """Return the operands in the type in which C++ computes, and that type."""
        values = [self, *map(Cpp.of, others)]
        kind = max([value.kind for value in values] + ["int"], key=self.ranks.index)
        return [Cpp(value.value, kind).value for value in values], kind

    def __bool__(self):
        raise TypeError("C++ would branch here: one value for all elements")


def _expression(function, compares=False):
    def method(*operands):
        operands = [Cpp.of(operand) for operand in operands]
        values, kind = operands[0].promoted(*operands[1:])
        if function is np.true_divide and kind not in ("float", "double"):
            raise TypeError("C++ divides whole numbers without a rest")
        return Cpp(function(*values), "bool" if compares else kind)

    return method


for _name, _kind in (
    ("add", "add"), ("sub", "subtract"), ("mul", "multiply"), ("truediv", "true_divide"),
    ("neg", "negative"), ("eq", "equal"), ("ne", "not_equal"), ("gt", "greater"),
    ("ge", "greater_equal"), ("lt", "less"), ("le", "less_equal"),
):  # fmt: skip
    _one = _expression(getattr(np, _kind), _kind.startswith(("equal", "not", "greater", "less")))
    setattr(Cpp, f"__{_name}__", _one)
    if _name in ("add", "sub", "mul", "truediv"):
        setattr(Cpp, f"__r{_name}__", lambda self, other, one=_one: one(other, self))


def _floating(function):
    """Return one of C++'s mathematical functions, which exist for float and for double."""

    def call(*operands):
        operands = [Cpp.of(operand) for operand in operands]
        kinds = {operand.kind for operand in operands}
        if len(kinds) > 1 or kinds & {"bool", "int", "long long"}:
            raise TypeError(f"{function.__name__}: expected float or double, found {kinds}")
        return Cpp(function(*(operand.value for operand in operands)), *kinds)

    return call


def _preamble(function, gives=None):
    """Return one of the templates of the preamble: T f(T a, T b), or bool f(T a, T b)."""

    def call(*operands):
        (kind,) = {operand.kind for operand in operands}  # else no template fits
        return Cpp(function(*(operand.value for operand in operands)), gives or kind)

    return call


def _ternary(condition, yes, no):
    condition, yes, no = map(Cpp.of, (condition, yes, no))
    values, kind = yes.promoted(no)
    kind = yes.kind if yes.kind == no.kind else kind
    return Cpp(np.where(condition.value != 0, *values), kind)


def _cast(value, kind):
    return Cpp(Cpp.of(value).value, kind)


FUNCTIONS = {name: _floating(getattr(np, name)) for name in ("sqrt", "exp", "log", "tanh")} | {
    "pow": _floating(np.power), "ternary": _ternary, "cast": _cast,
    "pysi_maximum": _preamble(np.maximum), "pysi_minimum": _preamble(np.minimum),
    "pysi_abs": _preamble(np.abs), "pysi_sign": _preamble(np.sign),
    "pysi_and": _preamble(np.logical_and, "bool"), "pysi_or": _preamble(np.logical_or, "bool"),
    "pysi_not": _preamble(np.logical_not, "bool"),
}  # fmt: skip
"""What a kernel may call, by C++'s name."""
DECLARED = {"bool": "bool", "int64": "long long", "float32": "float", "float64": "double"}


def compiled(operation, preamble):
    """Return the lines of a kernel: (declared type or None, name, expression to evaluate)."""
    lines, types = [], "|".join(Cpp.ranks)
    for line in operation.splitlines():
        kind, target, source = re.fullmatch(rf"(?:({types}) )?(\w+) = (.*);", line).groups()
        for called in re.findall(r"(\w+)\(", source):
            assert called in FUNCTIONS, called
            assert not called.startswith("pysi_") or f" {called}(" in preamble, called
        cast = rf"\(({types})\)(\w+)"
        source = re.sub(cast, lambda found: f"cast({found[2]}, {found[1]!r})", source)
        source = re.sub(r"(.+) \? (.+) : (.+)", r"ternary(\1, \2, \3)", source)
        lines.append((kind, target, compile(source, line, "eval")))
    return lines


class Scope(dict):
    """Variables by name. A parameter is an element of its array, read when a line reads it."""

    def __init__(self, arrays, kinds):
        self.arrays, self.kinds = arrays, kinds

    def __missing__(self, name):
        return Cpp(self.arrays[name], self.kinds[name])


def run(lines, parameters, arrays, outputs):
    """Run the lines of a kernel; parameters are (dtype, name), arrays NumPy's, by name."""
    scope = Scope(arrays, {name: DECLARED[dtype] for dtype, name in parameters})
    for kind, target, code in lines:
        found = Cpp.of(eval(code, {"__builtins__": {}} | FUNCTIONS, scope))
        if kind:
            assert target not in scope and target not in arrays, target
            scope[target] = Cpp(found.value, kind)
        else:
            assert target in outputs, f"{target} is const"
            with np.errstate(all="ignore"):
                arrays[target][...] = found.value
