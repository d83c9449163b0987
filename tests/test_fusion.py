"""Formulas as kernels: the same lines, NumPy's bits, one launch."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pysi
import strict_array
from pysi.backend import to_host
from pysi.backend.elementwise import Recorder, fused
from pysi.training import update
from strategies import dtypes, seeds

# a and b are values, c is a condition, n a number, x an array that is written to
PAIRS = [("a", "b"), ("a", "n"), ("n", "a")]
VALUES = [f"{a} {sign} {b}" for sign in "+-*/" for a, b in PAIRS] + ["a - c", "c * a", "-a"]
VALUES += ["xp.add(a, b)", "xp.subtract(n, a)", "xp.multiply(c, a)", "xp.divide(a, n)"]
VALUES += ["xp.sqrt(a)", "xp.where(c, a, b)", "xp.where(c, n, a)", "xp.where(a, b, n)"]
ROUNDED = ["xp.exp(a)", "xp.log(a)", "xp.tanh(a)"]  # otherwise in C++ than by NumPy
CONDITIONS = [f"{a} {sign} {b}" for sign in ("==", ">", ">=", "<", "<=") for a, b in PAIRS]
CONDITIONS += [f"xp.{name}(a, b)" for name in ("equal", "greater", "greater_equal", "less")]
WRITES = """x += a; x -= c; x *= n; x /= a; x[...] = a; x[...] = n; x[...] = c; x[...] *= a;
    xp.subtract(a, b, out=x); xp.sqrt(a, out=x); xp.less_equal(a, n, out=x)""".split(";")
NUMBERS = ["2", "-0.5", "0.1", "True", "number(0.3)", "number(-3)"]
OPTIMIZERS = [pysi.SGD(0.1), pysi.Momentum(0.1), pysi.Adam(0.1)]
RULES = [pysi.FineTuning(), pysi.SynapticIntelligence(0.7), pysi.EWC(0.7)]
tables = pytest.mark.parametrize(("lead", "dtype"), [((), np.float32), ((3,), np.float64)])


def fill(template, **names):
    return re.sub(r"\b[abcnx]\b", lambda found: names[found[0]], template).strip()


@st.composite
def formulas(draw):
    """Lines of Python that write to x and y, and read u and v too."""
    values, conditions, lines = list("xyuv"), ["t0"], ["t0 = x > u"]
    templates = st.sampled_from(VALUES + ROUNDED + CONDITIONS + WRITES)
    for template in draw(st.lists(templates, min_size=1, max_size=15)):
        targets = ["x", "y", *(values[4:] if template.strip() == "x *= n" else [])]
        places = {"a": values, "b": values, "c": conditions, "n": NUMBERS, "x": targets}
        line = fill(template, **{k: draw(st.sampled_from(place)) for k, place in places.items()})
        if template not in WRITES:
            (conditions if template in CONDITIONS else values).append(f"t{len(lines)}")
            line = f"t{len(lines)} = {line}"
        lines.append(line)
    return "\n".join([*lines, f"y[...] = xp.where({conditions[-1]}, y, {values[-1]})"])


def run(formula, xp, arrays, **names):
    """What a formula makes of arrays that have names, on the host; they themselves are kept."""
    arrays = {name: xp.asarray(array.copy()) for name, array in arrays.items()}
    names["number"] = arrays["x"].dtype.type
    with np.errstate(all="ignore"), fused(*arrays.values()) as (names["xp"], *symbols):
        exec(formula, names | dict(zip(arrays, symbols, strict=True)))
    return {name: to_host(array) for name, array in arrays.items()}


def bits(array):
    return np.where(np.isnan(array), np.nan, array).tobytes()  # of all the kinds of nan, one


@settings(max_examples=200)
@given(formulas(), dtypes, seeds, st.data())
def test_a_formula_gives_numpy_s_bits_in_one_launch(formula, dtype, seed, data):
    shape = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple))
    row = tuple(data.draw(st.sampled_from([1, size])) for size in shape)
    tail = shape[data.draw(st.integers(0, len(shape))) :]
    rng, shapes = np.random.default_rng(seed), {"x": shape, "y": shape, "u": row, "v": tail}
    arrays = {name: rng.standard_normal(s).round(1).astype(dtype) for name, s in shapes.items()}
    arrays["unused"] = np.zeros(4, dtype)  # and so no matter that it does not fit
    before = strict_array.launches
    found = run(formula, strict_array, arrays)
    assert strict_array.launches == before + 1
    for name, expected in run(formula, np, arrays).items():
        assert bits(found[name]) == bits(expected), name
        assert name in "xy" or bits(found[name]) == bits(arrays[name])


def life(xp, optimizer, rule, lead, dtype):
    """What some steps make of a table and an optimizer's rows; and the launches of every step."""
    s = pysi.Synapses({"W": (5, 3), "b": (3,)}, lead=lead, dtype=dtype, xp=xp, block_size=7)
    rng, launches = np.random.default_rng(0), []
    s.table[...] = xp.asarray(rng.standard_normal(s.table.shape).astype(dtype))
    rule.start(s)
    optimizer.start(s)
    xp.multiply(s.grad, s.grad, out=s.Omega)
    rule.refresh()
    for step in range(3):
        s.grad[...] = xp.asarray(rng.standard_normal(s.grad.shape).astype(dtype))
        optimizer.lr = 0.1 / (step + 1)
        before = strict_array.launches
        update(s, optimizer, rule)
        launches.append(strict_array.launches - before)
    assert rule.name == "fine-tuning" or (to_host(rule.penalty()) > 0).all()
    rows = [getattr(optimizer, name) for name in optimizer.kept if name != "t"]
    return [bits(to_host(row)) for row in (s.table, *rows)], launches


def every_life(test):
    """For every optimizer and rule, one table or three side by side."""
    for mark in (
        pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__),
        pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name),
        tables,
    ):
        test = mark(test)
    return test


@every_life
def test_an_update_is_one_kernel_that_is_made_once(monkeypatch, optimizer, rule, lead, dtype):
    made, kernel = [], strict_array.ElementwiseKernel
    monkeypatch.setattr(Recorder, "kernels", {})
    monkeypatch.setattr(
        strict_array, "ElementwiseKernel", lambda *source: made.append(source) or kernel(*source)
    )
    found, launches = life(strict_array, optimizer, rule, lead, dtype)
    assert launches == [1, 1, 1]
    assert len(made) == 1  # though the learning rate, and Adam's t, are always others
    expected, _ = life(np, optimizer, rule, lead, dtype)
    assert found == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("xp.maximum(x, 0)", "where or one of .*'add'.*'sqrt'.*, found 'maximum'"),
        ("y[...] = x if x else u", "without conditions.* use where"),
        ("y *= float(x)", "without conditions"),
        ("y *= int(x)", "without conditions"),
        ("y *= 'ab'[x]", "without conditions"),
        ("y *= len(x)", "without conditions"),
        ("y *= sum(x)", "without conditions"),
        ("y += x[0]", "whole arrays, .* found the index 0"),
        ("y[:2] = 1", "whole arrays, .* found the index slice"),
    ],
)
def test_what_cannot_be_recorded_is_a_config_error_and_nothing_is_launched(line, message):
    before = strict_array.launches
    with pytest.raises(pysi.ConfigError, match=f"fusion: expected .*{message}"):
        run(f"y[...] = 0; {line}", strict_array, dict.fromkeys("xyu", np.ones(3)))
    assert strict_array.launches == before


def test_arrays_of_other_types_are_config_errors():
    arrays = {"x": np.ones(3), "pixels": np.ones(3, np.uint8)}
    with pytest.raises(pysi.ConfigError, match="float32, float64, bool, int64, found uint8"):
        run("x *= 2", strict_array, arrays)
    with pytest.raises(pysi.ConfigError, match="found float16"):
        Recorder(strict_array, np.dtype(np.float16))


def test_a_step_that_fails_changes_nothing():
    s = pysi.Synapses({"W": (2, 3)}, xp=strict_array)
    before = strict_array.launches
    with pytest.raises(ZeroDivisionError):
        for block in s.blocks():
            block.advance(1 / 2)
            block.advance(1 / 0)
    assert strict_array.launches == before
    assert not to_host(s.theta).any()


def test_what_was_on_no_array_is_forgotten():
    """Python gives the place of a symbol that is gone to the next: it was not written to."""
    x, row = (strict_array.asarray(np.ones(shape)) for shape in ((2, 3), (1, 3)))
    with fused(x) as (fp, symbol):
        gone = [symbol * 2 for _ in range(40)]
        for temporary in gone:
            temporary += 1
        del gone, temporary
        for _ in range(40):
            symbol += row + 0
    assert (to_host(x) == 41).all()


@pytest.mark.parametrize("xp", [np, strict_array])
def test_an_array_may_be_named_itself(xp):
    x = xp.asarray(np.ones(3))
    with fused(x) as (fp, symbol):
        fp.multiply(x, 2, out=x)
        symbol += fp.add(x, 0)
    assert (to_host(x) == 4).all()


@pytest.mark.parametrize("xp", [np, strict_array])
def test_scratch_has_the_table_s_type(xp):
    s = pysi.Synapses({"W": (2, 3)}, xp=xp)
    for block in s.blocks():
        on = block.xp.less(block.theta, 1, out=block.scratch("on"))
        block.advance(block.xp.sqrt(on, out=on) * 0.1)
    assert (to_host(s.theta) == np.float32(0.1)).all()


def test_on_a_cpu_the_arrays_stand_for_themselves():
    x, y = np.ones(2), np.ones(3)
    with fused(x, y) as (xp, first, second):
        assert xp is np and first is x and second is y
