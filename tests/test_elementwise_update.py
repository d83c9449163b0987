"""A step of a table, written as formulas: the bits of NumPy, all or nothing, in one launch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pysi
import strict_array
from pysi.backend import elementwise, to_host
from pysi.backend.kernel import Kernel
from pysi.backend.recording import Recording
from pysi.training import update
from strategies import dtypes, seeds
from test_elementwise import LITERALS, WRITES, bits, fill, lines


@st.composite
def rules(draw):
    """Draw a step of a table, written with plain operators and with formulas."""
    rows = ["theta", "grad", "omega", "M"]
    targets = st.sampled_from(["theta", "omega", "M", "T"])
    body, values, _ = draw(lines([*rows, "c0"], ["(theta > 0)"], [*LITERALS, "lr"], ["theta"], 6))
    body[0] = "i0 = theta * lr"
    pools = {"i": ["theta", "omega", "M", "i0"], "n": [*LITERALS, "lr"]}
    for target in draw(st.lists(targets, min_size=1, max_size=4)):
        if target == "T":
            line = "T[...] = a + n".replace("a", draw(st.sampled_from(["T", "c0"])))
        else:
            line = draw(st.sampled_from(["i[...] = a", "p, i[...] = f(i, a, n)", *WRITES]))
        pools |= {"a": values, "b": values, "c": ["(theta > 0)"], "i": [target]}
        body.append(fill(line, **{k: draw(st.sampled_from(pool)) for k, pool in pools.items()}))
        values += ["p"] if body[-1].startswith("p,") and "p" not in values else []
    return "\n".join(body)


def momentum(u, g, mu):
    """A formula with two results."""
    u = np.where(g != 0, u * mu + g, u)
    return u - g, u


@settings(max_examples=150)
@given(rules(), dtypes, st.sampled_from([(), (1,), (3,)]), st.integers(1, 12), seeds)
def test_an_update_gives_numpy_s_bits_in_one_launch(rule, dtype, lead, block, seed):
    rng, size = np.random.default_rng(seed), 11
    first = rng.standard_normal((6, *lead, size)).round(1).astype(dtype)
    small = rng.standard_normal((2, *lead, 1)).round(1).astype(dtype)

    def names(xp, part, M, T, c0, theta, grad, omega):
        return {
            "np": np, "typed": dtype, "lr": 0.3,
            "f": momentum if xp is None else elementwise(momentum),
            "theta": theta, "grad": grad, "omega": omega, "M": part(M), "T": part(T),
            "c0": part(c0),
        }  # fmt: skip

    arrays = [first[5].copy(), small[0].copy(), small[1].copy(), *first[:3].copy()]
    with np.errstate(all="ignore"):
        scope = names(None, lambda array: array, *arrays)
        exec(rule, scope)
        expected = [bits(array) for array in arrays]
        for xp in (np, strict_array):
            s = pysi.Synapses({"W": (size,)}, lead=lead, dtype=dtype, xp=xp, block_size=block)
            s.table[:3] = xp.asarray(first[:3])
            M, T, c0 = map(xp.asarray, (first[5].copy(), small[0].copy(), small[1].copy()))
            before = strict_array.launches
            with s.update() as rows:
                exec(rule, names(xp, rows.part, M, T, c0, rows.theta, rows.grad, rows.omega))
            if xp is strict_array and "T[...]" not in rule:
                assert strict_array.launches - before == 1
            assert [bits(to_host(a)) for a in (M, T, c0, s.theta, s.grad, s.omega)] == expected


OPTIMIZERS = [pysi.SGD(0.1), pysi.Momentum(0.1), pysi.Adam(0.1)]


class ByHand(pysi.SynapticIntelligence):
    """The same step with plain operators instead of formulas."""

    def total_gradient(self, rows):
        return (rows.theta - rows.theta_ref) * rows.part(self._pull) + rows.grad

    def after_step(self, rows, delta):
        omega = rows.omega
        omega -= rows.grad * delta


RULES = {
    "fine-tuning": pysi.FineTuning(), "si": pysi.SynapticIntelligence(0.7),
    "by hand": ByHand(0.7), "ewc": pysi.EWC(0.7),
}  # fmt: skip
tables = pytest.mark.parametrize(("lead", "dtype"), [((), np.float32), ((3,), np.float64)])


def life(xp, optimizer, rule, lead, dtype):
    """Return a table and an optimizer's rows after some steps, and the launches of every step."""
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
    """Run a test for every optimizer and rule, with one table or three side by side."""
    for mark in (
        pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__),
        pytest.mark.parametrize("rule", RULES.values(), ids=RULES),
        tables,
    ):
        test = mark(test)
    return test


@every_life
def test_an_update_is_one_kernel_that_is_made_once(monkeypatch, optimizer, rule, lead, dtype):
    made, kernel = [], strict_array.ElementwiseKernel
    monkeypatch.setattr(Kernel, "kernels", {})
    monkeypatch.setattr(Recording, "structures", {})
    monkeypatch.setattr(
        strict_array, "ElementwiseKernel",
        lambda *source, **more: made.append(source) or kernel(*source, **more),
    )  # fmt: skip
    found, launches = life(strict_array, optimizer, rule, lead, dtype)
    assert launches == [1, 1, 1]
    assert len(made) == len(Recording.structures) == 1  # though learning rate and t are others
    expected, _ = life(np, optimizer, rule, lead, dtype)
    assert found == expected
    if type(rule) is ByHand:
        assert life(np, optimizer, RULES["si"], lead, dtype)[0] == expected


@elementwise
def added(x, y):
    return x + y


WRONG = [
    ("1 / 0", ZeroDivisionError, "division"),
    ("rows.theta[...] = np.sum(rows.grad)", pysi.ConfigError, "found sum"),
    ("rows.theta[2:] = 0", pysi.ConfigError, "whole arrays"),
    ("rows.grad[...] = rows.part(four) * rows.theta", pysi.ConfigError, "that broadcast"),
    ("rows.part(one)[...] = rows.theta", pysi.ConfigError, "a result for an array float32"),
    ("rows.part(double)[...] = rows.grad * rows.part(double)", pysi.ConfigError, "one floating"),
    ("rows.part(s.theta[1:])", pysi.ConfigError, "arrays apart from others"),
    ("rows.part(s.table)", pysi.ConfigError, "arrays apart from others"),
    ("rows.theta = rows.grad", AttributeError, "no setter"),
    ("added(rows.theta, rows.grad, out=s.theta)", pysi.ConfigError, "the argument out"),
    ("added(rows.theta)", pysi.ConfigError, "2 arguments"),
]


@pytest.mark.parametrize("xp", [np, strict_array])
@pytest.mark.parametrize(("line", "error", "message"), WRONG)
def test_an_update_that_fails_changes_nothing(xp, line, error, message):
    s = pysi.Synapses({"W": (2, 3)}, xp=xp, block_size=4)
    arrays = {"four": np.ones(4, "f"), "one": np.ones(1, "f"), "double": np.ones(6)}
    scope = {k: xp.asarray(v) for k, v in arrays.items()} | {"np": np, "s": s, "added": added}
    before = strict_array.launches
    with pytest.raises(error, match=message), s.update() as rows:
        rows.advance(1.0)
        exec(line, scope | {"rows": rows})
        rows.omega[...] = rows.theta
    assert strict_array.launches == before
    assert not to_host(s.table).any()


def test_rows_of_two_tables_do_not_mix():
    one, two = (pysi.Synapses({"W": (3,)}) for _ in range(2))
    refused = pytest.raises(pysi.ConfigError, match="a symbol of 'update'")
    with refused, one.update() as rows, two.update() as others:
        rows.theta[...] = others.theta


def test_an_update_without_writes_does_nothing():
    s = pysi.Synapses({"W": (3,)}, xp=strict_array)
    before = strict_array.launches
    with s.update() as rows:
        rows.theta + rows.grad
    assert strict_array.launches == before
