"""A recorded program on a GPU: one kernel, whatever the number of its operations."""

import numpy as np

from pysi.backend.program import OPERATIONS, is_number, numbers_of, scalar_nodes
from pysi.errors import ConfigError

TYPES = {"f": ("float32", "float"), "d": ("float64", "double"), "?": ("bool", "bool")}
TYPES |= dict.fromkeys("lq", ("int64", "long long"))
"""What NumPy and C++ call a type, by the letter that stands for it."""
PREAMBLE = """
template<class T, class S> __device__ T pysi_maximum(T a, S b) {
  return (a >= b || a != a) ? a : (T)b; }
template<class T, class S> __device__ T pysi_minimum(T a, S b) {
  return (a <= b || a != a) ? a : (T)b; }
template<class T> __device__ T pysi_abs(T a) { return a < 0 ? -a : (a == 0 ? (T)0 : a); }
template<class T> __device__ T pysi_sign(T a) {
  return a > 0 ? (T)1 : a < 0 ? (T)-1 : a == 0 ? (T)0 : a; }
template<class T, class S> __device__ bool pysi_and(T a, S b) { return a && b; }
template<class T, class S> __device__ bool pysi_or(T a, S b) { return a || b; }
template<class T> __device__ bool pysi_not(T a) { return !a; }
"""
"""NumPy's functions where C++ has none that treats NaN as it does."""


def names(dtype, formula):
    """What NumPy and C++ call a dtype; a ConfigError for one that no kernel here knows."""
    if dtype.char not in TYPES:
        known = ", ".join(dict(TYPES.values()))
        raise ConfigError(f"formula {formula!r}: expected arrays of {known}, found {dtype}")
    return TYPES[dtype.char]


class Kernel:
    """A program for arrays of certain shapes and types; arguments as for `Passes`."""

    kernels = {}
    """Those that were made before, by module and source: there is one for all shapes."""

    def __init__(self, program, arrays, aliases, xp):
        self.xp, self.name = xp, program.name
        scalars, self.several = scalar_nodes(program), True
        self.numbers, self.evaluate = numbers_of(program, scalars)
        dtypes = [names(a.dtype, program.name) for a in arrays]
        floats = {numpy for numpy, _ in dtypes if numpy.startswith("float")}
        if len(floats) > 1:
            raise ConfigError(
                f"formula {program.name!r}: expected arrays of one floating type, found "
                f"{sorted(floats)}; convert them first"
            )
        self.dtype, self.type = (
            next(iter(floats), "float64"),
            {"float32": "float"}.get(next(iter(floats), ""), "double"),
        )
        kinds, lines, used = [], [], set()
        types = {i: a.dtype.kind for i, a in enumerate(arrays)}
        for i, (operation, operands) in enumerate(program.nodes):
            if i in scalars:
                continue
            used |= {o for o in operands if isinstance(o, int)}
            expression = OPERATIONS[operation].format(*map(self.text, operands))
            lines.append(f"auto t{i} = {expression};")
            types[i, 0] = self.kind(operation, operands, types)
        try:
            self.shape = np.broadcast_shapes(*(a.shape for a in arrays))
        except ValueError as err:
            raise ConfigError(
                f"formula {program.name!r}: expected arrays that broadcast, found shapes "
                f"{[a.shape for a in arrays]}"
            ) from err
        self.new = [(self.shape, "bool" if self.is_condition(ref, types) else self.dtype)
                    for ref in program.results]  # fmt: skip
        ends, written, self.fresh = [], [], []
        for i, ref in enumerate(program.results):
            alias = aliases[i] if aliases else None
            if alias is None:
                self.fresh.append(i)
                kinds.append(f"{self.new[i][1]} o{i}")
                ends.append(f"o{i} = {self.text(ref)};")
            else:
                written.append((alias, ref))
        written += program.writes.items()
        self.written = [i for i, _ in written]
        ends += [f"a{i} = {self.text(ref)};" for i, ref in written]
        used |= {o for o in [*program.results, *program.writes.values()] if isinstance(o, int)}
        self.read = sorted(used - set(self.written))
        inputs = [f"{dtypes[i][0]} a{i}" for i in self.read]
        inputs += [f"{self.dtype} s{i}" for i in self.numbers.values()]
        outputs = [f"{dtypes[i][0]} a{i}" for i in self.written] + kinds
        source = ", ".join(inputs), ", ".join(outputs), "\n".join(lines + ends)
        key = xp.__name__, source
        if key not in self.kernels:
            self.kernels[key] = xp.ElementwiseKernel(*source, "pysi_fused", preamble=PREAMBLE)
        self.kernel = self.kernels[key]

    def text(self, operand):
        """How an operand is written in C++."""
        if operand in self.numbers:
            return f"s{self.numbers[operand]}"
        return f"t{operand[0]}" if isinstance(operand, tuple) else f"a{operand}"

    @staticmethod
    def kind(operation, operands, types):
        """Whether an operation gives a condition, "b", or a number, "f"."""
        compares = OPERATIONS[operation].startswith(("pysi_and", "pysi_or", "pysi_not"))
        if compares or any(
            sign in OPERATIONS[operation] for sign in ("==", "!=", "> ", "< ", ">=")
        ):
            return "b"
        if operation == "where" and all(types.get(o) == "b" for o in operands[1:]):
            return "b"
        return "f"

    @staticmethod
    def is_condition(ref, types):
        return not is_number(ref) and types.get(ref) == "b"

    def run(self, arrays, numbers, outs):
        """Run it; returns its results."""
        if not outs and self.new:
            outs = tuple([self.xp.empty(shape, dtype) for shape, dtype in self.new])
        self.kernel(
            *[arrays[i] for i in self.read], *self.evaluate(numbers),
            *[arrays[i] for i in self.written], *[outs[i] for i in self.fresh],
        )  # fmt: skip
        return outs
