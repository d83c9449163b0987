"""A recorded program on a CPU as one compiled loop, where Numba is installed.

NumPy runs a formula operation by operation, and each reads and writes memory. One loop reads every
array once and writes every result once. It computes the same operations in the same order and the
same types, and so the same bits: +, -, ×, ÷, √ and comparisons are exact to the last place on every
processor. What is not (exp, log, tanh, power, maximum, minimum) stays with NumPy's passes.
"""

import hashlib
import importlib
import os
import sys
import warnings
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np

from pysi.backend.passes import Passes
from pysi.backend.program import remember

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
VARIABLE = "PYSI_COMPILED"

_broken = False
_wanted = os.environ.get(VARIABLE, "1") not in ("0", "no", "off", "false")


@contextmanager
def compiled(on):
    """Within this context, whether formulas run as compiled loops where they can."""
    global _wanted
    before, _wanted = _wanted, bool(on)
    try:
        yield
    finally:
        _wanted = before


def in_use():
    """Return Numba's version if formulas run as compiled loops, else None."""
    return getattr(numba(), "__version__", None) if _wanted and not _broken else None


@cache
def numba():
    """Return Numba, or None if it is missing or cannot be imported: the latter is said once."""
    try:
        return importlib.import_module("numba")
    except ModuleNotFoundError as err:
        if err.name != "numba":
            give_up(err)
    except Exception as err:  # a version that does not fit NumPy's or Python's: whatever it raises
        give_up(err)
    return None


def give_up(problem):
    """Say that Numba does not work, and go on without it."""
    global _broken
    if not _broken:
        warnings.warn(
            f"Numba is installed but does not work ({type(problem).__name__}: {problem}); formulas "
            "run as NumPy passes, with the same numbers. Install another version of Numba, or set "
            f"{VARIABLE}=0",
            stacklevel=3,
        )
    _broken = True


def folder():
    """Return where compiled code is kept for the next process."""
    base = os.environ.get("PYSI_CACHE") or os.environ.get("XDG_CACHE_HOME")
    if sys.platform == "win32":
        base = base or os.environ.get("LOCALAPPDATA")
    return (Path(base) if base else Path.home() / ".cache") / "pysi" / "formulas"


def can_compile(typed):
    """Whether a program has the same bits as one compiled loop, and gains by it."""
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


class Compiled:
    """A program for arrays of certain shapes and types; arguments as for `Passes`."""

    functions = {}
    """Those that were made before, by their source: there is one for all sizes."""

    def __init__(self, typed, aliases, xp):
        self.numbers, self.evaluate = typed.numbers, typed.evaluate
        self.typed, self.aliases, self.given = typed, aliases, aliases is not None
        self.new = [(s, d or typed.dtype) for s, d in map(typed.spec, typed.results)]
        places = aliases or [None] * len(self.new)
        ends = [
            (f"o{i}" if place is None else f"a{place}", ref)
            for i, (place, ref) in enumerate(zip(places, typed.results, strict=True))
        ]
        ends += [(f"a{i}", ref) for i, ref in typed.writes.items()]
        self.outs = [int(name[1:]) for name, _ in ends if name[0] == "o"]
        used = {o for line in typed.lines for o in line[2]} | {ref for _, ref in ends}
        written = {int(name[1:]) for name, _ in ends if name[0] == "a"}
        self.read = sorted(o for o in used if isinstance(o, int))
        self.arrays = sorted({*self.read, *written})
        (shape,) = {typed.spec(ref)[0] for _, ref in ends}
        source = self.source(shape, ends)
        self.function = self.functions.get(source)
        if self.function is None:
            self.function = remember(self.functions, source, function(source))

    def source(self, shape, ends):
        """The loop, as Python."""
        typed, lines = self.typed, []
        names = [f"a{i}" for i in self.arrays] + [f"s{i}" for i in self.numbers.values()]
        names += [f"o{i}" for i in self.outs]
        first = ends[0][0]
        indent = "    "
        for axis in range(len(shape)):
            lines.append(f"{indent}for i{axis} in range({first}.shape[{axis}]):")
            indent += "    "

        def at(own):
            extra = len(shape) - len(own)
            places = ["0" if n == 1 != shape[extra + k] else f"i{extra + k}"
                      for k, n in enumerate(own)]  # fmt: skip
            return f"[{', '.join(places)}]" if places else "[()]"

        lines += [f"{indent}x{i} = a{i}{at(typed.specs[i][0])}" for i in self.read]
        for i, name, operands, types in typed.lines:
            words = [self.text(o, np.dtype(t)) for o, t in zip(operands, types, strict=True)]
            lines.append(f"{indent}t{i} = {EXACT[name].format(*words)}")
        for k, (_, ref) in enumerate(ends):
            lines.append(f"{indent}r{k} = {self.text(ref, typed.spec(ref)[1])}")
        lines += [f"{indent}{name}{at(shape)} = r{k}" for k, (name, _) in enumerate(ends)]
        return "\n".join([f"({', '.join(names)}):", *lines, ""])

    def text(self, operand, dtype):
        """How an operand is written, in the type in which NumPy computes it."""
        if operand in self.numbers:
            return f"{dtype.name}(s{self.numbers[operand]})"
        word = f"t{operand[0]}" if isinstance(operand, tuple) else f"x{operand}"
        held = self.typed.spec(operand)[1]
        if held == dtype:
            return word
        return f"({word} != 0)" if dtype.kind == "b" else f"{dtype.name}({word})"

    def run(self, arrays, numbers, outs):
        """Run it; returns its results."""
        if not outs and not self.given and self.new:
            outs = tuple([np.empty(shape, dtype) for shape, dtype in self.new])
        values = numbers if self.evaluate is None else self.evaluate(numbers)
        try:
            self.function(
                *[arrays[i] for i in self.arrays], *values[: len(self.numbers)],
                *[outs[i] for i in self.outs],
            )  # fmt: skip
        except Exception as err:  # of the compiler, before anything is computed
            give_up(err)
            self.run = Passes(self.typed, self.aliases, np).run
            return self.run(arrays, numbers, outs)
        return outs


def function(source):
    """Return the compiled function of a loop, from the folder of compiled code if it is there."""
    library = numba()
    name = "formula_" + hashlib.sha256(source.encode()).hexdigest()[:16]
    source = f"def {name}{source}"
    # compiled code that is read from disk asks for the module that it was made in
    scope = {
        "__name__": __name__,
        "sqrt": np.sqrt,
        "float32": np.float32,
        "float64": np.float64,
        "int64": np.int64,
    }
    path = folder() / f"{name}.py"
    try:
        if not path.exists() or path.read_text() != source:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}.partial")
            partial.write_text(source)
            os.replace(partial, path)
        kept = True
    except (OSError, RuntimeError):  # RuntimeError: no home
        path, kept = f"<{name}>", False
    exec(compile(source, str(path), "exec"), scope)
    options = {"nogil": True, "error_model": "numpy"}
    try:
        return library.njit(scope[name], cache=kept, **options)
    except RuntimeError:  # nowhere to keep it
        return library.njit(scope[name], **options)


def on_cpu(typed, aliases, xp):
    """Return the program as it runs on a CPU: a compiled loop, or NumPy's passes."""
    usable = _wanted and not _broken and can_compile(typed) and numba() is not None
    return (Compiled if usable else Passes)(typed, aliases, xp)
