"""Recorded formulas give the bits of plain NumPy, in one launch on a device."""

import re

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import pysi
import strict_array
from pysi.backend import elementwise, to_host
from pysi.backend import program as programs
from pysi.backend.compiled import compiled
from pysi.backend.kernel import Kernel
from pysi.backend.passes import TEMPORARIES
from pysi.backend.program import OPERATIONS
from pysi.backend.recording import Recording
from strategies import dtypes, seeds

# a and b are values, c and d conditions, n and m numbers, k whole numbers, i is written to
PAIRS = [("a", "b"), ("a", "n"), ("n", "a")]
VALUES = [f"{a} {sign} {b}" for sign in "+-*/" for a, b in PAIRS]
VALUES += [
    "-a",
    "abs(a)",
    "a ** 2",
    "a ** 0.5",
    "c * a",
    "a - c",
    "a / c",
    "c * typed(n)",
    "1 - a * a",
]
VALUES += ["np.add(a, b)", "np.subtract(n, a)", "np.multiply(c, a)", "np.divide(a, n)"]
VALUES += ["np.sqrt(a)", "np.square(a)", "np.abs(a)", "np.sign(a)", "np.negative(a)"]
VALUES += ["np.maximum(a, b)", "np.minimum(a, n)", "np.clip(a, n, b)", "np.clip(a, -1, 1)"]
VALUES += ["np.where(c, a, b)", "np.where(c, n, a)", "np.where(a, b, n)", "np.where(n > m, a, b)"]
VALUES += ["np.where(c, typed(n), typed(m))", "(n * m) * a", "a * (1 - n)"]
ROUNDED = ["np.exp(a)", "np.log(a)", "np.tanh(a)"]  # C++ writes these differently from NumPy
ROUNDED += ["a ** n", "a ** 3", "a ** -1", "np.power(a, b)", "n ** a", "a ** a"]
CONDITIONS = [f"{a} {sign} {b}" for sign in ("==", "!=", ">", ">=", "<", "<=") for a, b in PAIRS]
CONDITIONS += [f"np.{name}(a, b)" for name in ("equal", "greater", "less_equal", "not_equal")]
CONDITIONS += ["c & d", "c | d", "~c", "c == d", "c & (n > m)", "np.logical_and(a, c)"]
CONDITIONS += ["np.logical_or(c, n)", "np.logical_not(a)", "k == k", "k + 1 > k * k", "-k < 2"]
CONDITIONS += ["np.where(c, d, k > 1)"]
WRITES = """i += a; i -= c; i *= n; i /= a; i **= 2; i[...] = a; i[...] = n; i[...] = c;
    i[...] *= a; np.subtract(a, b, out=i); np.sqrt(a, out=i); np.less_equal(a, n, out=i)""".split(
    ";"
)
TEMPLATES = VALUES + ROUNDED + CONDITIONS + WRITES
LITERALS = ["2", "-0.5", "0.1", "-0.0", "0", "3.0"]
NUMBERS = [
    3,
    -2,
    0,
    True,
    0.3,
    -0.0,
    1e-3,
    np.float32(0.1),
    np.float64(-2.5),
    np.True_,
    np.int64(2),
]
SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -1.0]
LAYOUTS = {
    "plain": lambda new, shape: new(shape),
    "every second": lambda new, shape: new((*shape[:-1], 2 * shape[-1]))[..., ::2],
    "backwards": lambda new, shape: new(shape)[..., ::-1],
    "transposed": lambda new, shape: new(shape[::-1]).T,
}
ARGUMENTS = ("x", "y", "u", "v", "b0", "k0", "n0", "m0")


def fill(template, **names):
    return re.sub(r"\b[abcdnmki]\b", lambda found: names[found[0]], template).strip()


@st.composite
def lines(draw, values, conditions, numbers, whole, most=12, templates=TEMPLATES):
    """Draw lines of Python, and the names of the values and conditions that they define."""
    values, conditions, found = list(values), list(conditions), []
    templates = st.sampled_from(templates)
    held = ["i0"]
    for template in ["x * n", *draw(st.lists(templates, min_size=1, max_size=most))]:
        pools = {"a": values, "b": values, "c": conditions, "d": conditions, "n": numbers}
        pools |= {"m": numbers, "k": whole, "i": held}
        line = fill(template, **{k: draw(st.sampled_from(pool)) for k, pool in pools.items()})
        name = f"t{len(found)}"
        if not found:
            line, name = f"i0 = {line}", "i0"
        elif template not in WRITES:
            line = f"{name} = {line}"
        if template not in WRITES:
            (conditions if template in CONDITIONS else values).append(name)
        found.append(line)
    return found, values, conditions


@st.composite
def formulas(draw, templates=TEMPLATES):
    """Draw the source of a formula that returns one result or several."""
    pools = ["x", "y", "u", "v"], ["b0"], [*LITERALS, "n0", "m0"], ["k0"]
    body, values, conditions = draw(lines(*pools, templates=templates))
    results = draw(st.lists(st.sampled_from(values + conditions), min_size=1, max_size=3))
    returned = ", ".join(results) + ("," if draw(st.booleans()) and len(results) == 1 else "")
    return "\n    ".join([f"def f({', '.join(ARGUMENTS)}):", *body, f"return {returned}"])


def made(source, typed=lambda number: number):
    names = {"np": np, "typed": typed}
    exec(source, names)
    return names["f"]


def bits(array):
    array = np.asarray(array)
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), array.dtype.type(np.nan), array)  # one nan for all
    return array.dtype, array.shape, array.tobytes()


def several(results):
    return results if type(results) is tuple else (results,)


@st.composite
def arguments(draw, dtype):
    """Draw the arguments of a formula: arrays that broadcast, of any layout, and numbers."""
    rng = np.random.default_rng(draw(seeds))
    shape = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3).map(tuple))
    row = tuple(draw(st.sampled_from([1, size])) for size in shape)
    tail = shape[draw(st.integers(0, len(shape))) :]
    special = [*SPECIAL, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max]

    def new(shape, kind=dtype):
        if kind is bool:
            return np.asarray(rng.random(shape) < 0.5)
        if kind is np.int64:
            return np.asarray(rng.integers(-1, 4, shape))
        array = np.asarray(rng.standard_normal(shape).round(1), kind)
        np.putmask(array, rng.random(shape) < 0.3, rng.choice(np.array(special, kind), shape))
        return array

    def some(shape, kind=dtype):
        layout = LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))] if shape else LAYOUTS["plain"]
        return layout(lambda s: new(s, kind), shape)

    x, y = some(shape), some(draw(st.sampled_from([shape, row])))
    y = x if draw(st.integers(0, 5)) == 0 else y  # the same array twice
    arrays = [x, y, some(row), some(tail), some(row, bool), some(tail, np.int64)]
    return arrays, [draw(st.sampled_from(NUMBERS)) for _ in range(2)], some


@st.composite
def calls(draw, templates=TEMPLATES):
    """Draw a formula, its arguments, descriptions of `out` for `called`, and the expected bits."""
    dtype, source = draw(dtypes), draw(formulas(templates))
    arrays, numbers, some = draw(arguments(dtype))
    plain = made(source, dtype)
    with np.errstate(all="ignore"):
        expected = several(plain(*(a.copy() for a in arrays), *map(float, numbers)))
    outs, taken = [], []
    for result in expected if draw(st.booleans()) else ():
        same = [i for i, a in enumerate(arrays)
                if (a.shape, a.dtype) == (result.shape, result.dtype)
                and not any(a is arrays[j] for j in taken)]  # fmt: skip
        i = draw(st.sampled_from([None, *same]))
        if i is None:
            outs.append((None, some(result.shape, result.dtype.type)))
        else:
            taken.append(i)
            outs.append((i, draw(st.sampled_from(["itself", "itself", "view", "reversed"]))))
    return source, arrays, numbers, outs, [bits(result) for result in expected]


def called(formula, wrap, arrays, numbers, outs, single):
    """Call it; return its results, and the arrays that it was given."""
    apart = {}
    for array in arrays:
        apart.setdefault(id(array), wrap(copy_of(array)))
    given = [apart[id(array)] for array in arrays]
    out = []
    for i, how in outs:
        if i is None:
            out.append(wrap(copy_of(how)))
        elif how == "itself":
            out.append(given[i])
        else:
            out.append(given[i][(..., *[slice(None)] * (given[i].ndim > 0))] if how == "view"
                       or not given[i].ndim else given[i][..., ::-1])  # fmt: skip
    with np.errstate(all="ignore"):
        where = (out[0] if single else tuple(out)) if out else None
        results = formula(*given, *numbers, out=where)
    if out:
        assert all(one is two for one, two in zip(several(results), out, strict=True))
    return several(results), given


def copy_of(array):
    """Return the same numbers in memory of the same layout."""
    whole = array if array.base is None else array.base
    again = whole.copy()
    start = array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    if not array.size:
        return array.copy()
    return np.ndarray(array.shape, array.dtype, again, start, array.strides)


@settings(max_examples=300)
@given(calls())
def test_a_formula_gives_numpy_s_bits_in_one_launch(call):
    source, arrays, numbers, outs, expected = call
    formula = elementwise(made(source))
    single = len(expected) == 1 and not source.rstrip().endswith(",")
    written = {id(arrays[i]) for i, _ in outs if i is not None}
    for wrap in (np.asarray, strict_array.ndarray):
        for _ in range(2):  # once more, with the program that is kept
            before = strict_array.launches
            results, given = called(formula, wrap, arrays, numbers, outs, single)
            count = strict_array.launches - before
            assert [bits(to_host(result)) for result in results] == expected
            for kept, array in zip(given, arrays, strict=True):
                assert id(array) in written or bits(to_host(kept)) == bits(array)
        plain = all(how == "itself" for i, how in outs if i is not None)
        if wrap is strict_array.ndarray and plain and len({shape for _, shape, _ in expected}) == 1:
            assert count == 1


@elementwise
def both(x, y):
    return x + y, x * y


def test_formulas_may_call_formulas():
    @elementwise
    def outer(x, y):
        total, product = both(x, y)
        return (total + 2) * product

    x, y = np.arange(3.0), np.arange(1.0, 4)
    assert outer(x, y).tolist() == ((x + y + 2) * (x * y)).tolist()
    assert outer(2, 3) == 42


def test_caches_are_bounded(monkeypatch):
    monkeypatch.setattr(programs, "PROGRAMS", 5)
    for cache in (Kernel.kernels, Recording.structures, TEMPORARIES.views):
        cache.clear()
    formula = elementwise(lambda x, y: x * 2 + y * 3)
    with compiled(False):
        for n in range(1, 20):
            for wrap in (np.asarray, strict_array.ndarray):
                x = wrap(np.full(n, 2.0))
                assert (to_host(formula(x, x)) == 10).all()
                other = elementwise(eval(f"lambda x: x * {n}"))
                assert (to_host(other(x)) == 2 * n).all()
            s = pysi.Synapses({"W": (n,)})
            with s.update() as rows:
                rows.theta[...] = rows.grad * 2 + rows.theta * 3 + 1
            assert (s.theta == 1).all()
    for cache in (formula.programs, Kernel.kernels, Recording.structures, TEMPORARIES.views):
        assert 0 < len(cache) <= 5


def test_programs_hold_no_arrays():
    import gc
    import weakref

    for wrap in (np.asarray, strict_array.ndarray):
        x = wrap(np.ones(7))
        formula, gone = elementwise(lambda x: x * 2 + x * 3), weakref.ref(x)
        formula(x)
        del x
        gc.collect()
        assert gone() is None


def test_all_operations_are_tried():
    """So that no operation can be added without a test."""
    spelled = " ".join(VALUES + ROUNDED + CONDITIONS + WRITES)
    signs = {"bitwise_and": "&", "bitwise_or": "|", "invert": "~", "assign": "[...]",
             "greater_equal": ">=", "less": "<"}  # fmt: skip
    for name in OPERATIONS:
        assert signs.get(name, f"np.{name}(") in spelled, name
