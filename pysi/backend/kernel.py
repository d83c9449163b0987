"""A recorded program on a GPU: one kernel, whatever the number of its operations."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from pysi.backend.program import OPERATIONS, Operand, Program, Typed, remember
from pysi.errors import ConfigError
from pysi.typing import Device

TYPES = {"float32": "float", "float64": "double", "bool": "bool", "int64": "long long"}
"""The names of types in C++."""
PREAMBLE = """
template<class T> __device__ T pysi_maximum(T a, T b) { return (a > b || a != a) ? a : b; }
template<class T> __device__ T pysi_minimum(T a, T b) { return (a < b || a != a) ? a : b; }
template<class T> __device__ T pysi_abs(T a) { return a < 0 ? -a : (a == 0 ? (T)0 : a); }
template<class T> __device__ T pysi_sign(T a) {
  return a > 0 ? (T)1 : a < 0 ? (T)-1 : a == 0 ? (T)0 : a; }
template<class T> __device__ bool pysi_and(T a, T b) { return a && b; }
template<class T> __device__ bool pysi_or(T a, T b) { return a || b; }
template<class T> __device__ bool pysi_not(T a) { return !a; }
"""
"""NumPy's functions in C++, where C++ has none that treats NaN in the same way."""


class Kernel:
    """A program for arrays of certain types, as one kernel; arguments as for `Passes`."""

    kernels: dict[tuple, Any] = {}
    """The kernels made so far, by module and source: there is one for all shapes."""

    def __init__(self, typed: Typed, aliases: Sequence | None, xp: Device) -> None:
        self.typed, self.xp = typed, xp
        self.numbers, self.evaluate = typed.numbers, typed.evaluate
        self.new = [(s, d or typed.dtype) for s, d in map(typed.spec, typed.results)]
        places = aliases or [None] * len(self.new)
        self.fresh = [i for i, place in enumerate(places) if place is None]
        written = [(a, r) for a, r in zip(places, typed.results, strict=True) if a is not None]
        written += typed.writes.items()
        self.written = [array for array, _ in written]
        ends = [("o", i, self.new[i][1], typed.results[i]) for i in self.fresh]
        ends += [("a", i, typed.specs[i][1], ref) for i, ref in written]
        shapes = {self.new[i][0] for i in self.fresh} | {typed.specs[i][0] for i in self.written}
        self.parts: list = []
        if len(shapes) > 1:
            self.split(ends)
            return
        # all is read before anything is written: a result may be an array that is written to
        lines = [f"{self.c(typed.specs[i, 0][1])} t{i} = {self.expression(*line)};"
                 for i, *line in typed.lines]  # fmt: skip
        lines += [f"{self.c(d)} r{k} = {self.text(ref)};" for k, (*_, d, ref) in enumerate(ends)]
        lines += [f"{letter}{i} = r{k};" for k, (letter, i, *_) in enumerate(ends)]
        used = {o for _, _, operands, _ in typed.lines for o in operands}
        used |= {ref for *_, ref in ends}
        self.read = sorted({o for o in used if isinstance(o, int)} - set(self.written))
        for i in self.read:
            self.c(typed.specs[i][1])
        inputs = [f"{typed.specs[i][1]} a{i}" for i in self.read]
        inputs += [f"{typed.dtype} s{i}" for i in self.numbers.values()]
        outputs = [f"{dtype} {letter}{i}" for letter, i, dtype, _ in ends]
        source = ", ".join(inputs), ", ".join(outputs), "\n".join(lines)
        case = xp.__name__, source
        kernel = self.kernels.get(case)
        if kernel is None:
            made = xp.ElementwiseKernel(*source, "pysi_fused", preamble=PREAMBLE)
            kernel = remember(self.kernels, case, made)
        self.kernel = kernel

    def c(self, dtype: np.dtype) -> str:
        """Return the name of a type in C++; raise a ConfigError for a type not in `TYPES`."""
        if str(dtype) not in TYPES:
            raise ConfigError(
                f"formula {self.typed.name!r}: expected arrays of {', '.join(TYPES)}, found {dtype}"
            )
        return TYPES[str(dtype)]

    def text(self, operand: Operand) -> str:
        """Return how an operand is written in C++."""
        if operand in self.numbers:
            return f"s{self.numbers[operand]}"
        return f"t{operand[0]}" if isinstance(operand, tuple) else f"a{operand}"

    def expression(self, name: str, operands: tuple, types: tuple) -> str:
        """Return one operation in C++, in the types in which NumPy computes it."""
        words = []
        for operand, dtype in zip(operands, types, strict=True):
            held = self.typed.spec(operand)[1] or self.typed.dtype
            cast = "" if held == dtype else f"({self.c(dtype)})"
            words.append(cast + self.text(operand))
        return OPERATIONS[name].format(*words)

    def split(self, ends: list[tuple]) -> None:
        """Make one kernel for the results of each shape; `run` then copies them."""
        groups: dict = {}
        for end in ends:
            groups.setdefault(self.typed.spec(end[-1])[0], []).append(end)
        for group in groups.values():
            name, nodes = self.typed.name, self.typed.program.nodes
            program = Program(name, nodes, tuple(ref for *_, ref in group), {})
            kernel = Kernel(Typed(program, self.typed.arrays), None, self.xp)
            self.parts.append((kernel, [end[:2] for end in group]))

    def run(self, arrays: Sequence, numbers: Sequence, outs: tuple) -> tuple:
        """Run the program, and return its results."""
        if not outs and self.new:
            outs = tuple([self.xp.empty(shape, dtype) for shape, dtype in self.new])
        if self.parts:
            computed = [(part.run(arrays, numbers, ()), places) for part, places in self.parts]
            for results, places in computed:
                for (letter, i), result in zip(places, results, strict=True):
                    (outs if letter == "o" else arrays)[i][...] = result
            return outs
        if self.evaluate is not None:
            numbers = self.evaluate(numbers)
        self.kernel(
            *[arrays[i] for i in self.read], *numbers[: len(self.numbers)],
            *[outs[i] for i in self.fresh], *[arrays[i] for i in self.written],
        )  # fmt: skip
        return outs
