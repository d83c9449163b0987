"""A formula as one compiled loop gives the bits of NumPy's passes."""

import importlib
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings

import pysi
from pysi.backend import compiled as ways
from pysi.backend import elementwise
from pysi.backend.loops import EXACT, Loop
from pysi.backend.recording import Recording
from strategies import toy_cnn, toy_image_tasks, toy_net, toy_run
from test_elementwise import (
    ARGUMENTS,
    CONDITIONS,
    ROUNDED,
    VALUES,
    WRITES,
    bits,
    called,
    calls,
    fill,
    made,
)  # fmt: skip
from test_elementwise_compiled import positive, signed
from test_elementwise_update import every_life, life


def python(function=None, **options):
    """In place of Numba's compiler: Python runs the same source on the same numbers, slowly."""
    if function is None:
        return lambda function: python(function)

    def run(*args):
        with np.errstate(all="ignore"):
            return function(*args)

    return run


PYTHON = SimpleNamespace(__version__="0", njit=python)
numba_alone = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="Numba is not installed: the extra fast"
)


@pytest.fixture(params=["python", pytest.param("numba", marks=numba_alone)])
def loops(request, monkeypatch, tmp_path_factory):
    """The programs that are run as loops, by Python and by Numba."""
    kept = tmp_path_factory.getbasetemp() / "formulas"  # for all tests, to compile once
    monkeypatch.setenv("PYSI_CACHE", str(kept))
    module = PYTHON if request.param == "python" else importlib.import_module("numba")
    return using(module, monkeypatch)


def using(module, monkeypatch):
    """Compile at once, by this module; returns the list to which every loop that runs is added."""
    ran, loop = [], Loop.loop
    monkeypatch.setattr(ways, "numba", lambda: module)
    monkeypatch.setattr(ways, "SWITCH", ways.Switch())
    ways.SWITCH.chosen = True
    monkeypatch.setattr(Loop, "functions", {})
    monkeypatch.setattr(Loop, "loop", lambda self, *args: (ran.append(self), loop(self, *args))[1])
    monkeypatch.setattr(Recording, "structures", {})
    return ran


INEXACT = ("maximum", "minimum", "clip", "sign", "**=")
TEMPLATES = [t for t in VALUES + CONDITIONS + WRITES if not any(word in t for word in INEXACT)]
COUNTS = []


def check_a_call(module, call):
    """Compute a drawn formula as a loop by this module, and as plain NumPy; return the loops."""
    source, arrays, numbers, outs, expected = call
    with pytest.MonkeyPatch.context() as monkeypatch:
        ran = using(module, monkeypatch)
        formula = elementwise(made(source))
        single = len(expected) == 1 and not formula.trace.several
        results, given = called(formula, np.asarray, arrays, numbers, outs, single)
        assert not ways.SWITCH.broken
    assert [bits(result) for result in results] == expected
    written = {id(arrays[i]) for i, _ in outs if i is not None}
    for kept, array in zip(given, arrays, strict=True):
        assert id(array) in written or bits(kept) == bits(array)
    return ran


@settings(max_examples=300)
@given(calls(TEMPLATES))
def test_a_drawn_formula_as_python(call):
    COUNTS.append(len(check_a_call(PYTHON, call)))


def test_many_of_them_were_loops():
    assert sum(map(bool, COUNTS)) > len(COUNTS) / 10


@numba_alone
@pytest.mark.slow
@settings(max_examples=300)
@given(calls(TEMPLATES))
def test_a_drawn_formula_with_numba(call):
    check_a_call(importlib.import_module("numba"), call)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("numbers", [positive, signed])
def test_every_operation(loops, numbers, dtype):
    """Each operation gives a result of its own, so no operation hides another."""
    names = {"a": "x", "b": "y", "c": "b0", "d": "t", "n": "n0", "m": "m0", "k": "k0", "i": "i"}
    body, results = ["t = x > u"], []
    for template in TEMPLATES:
        name = f"r{len(results)}"
        line = fill(template, **names)
        body.append(f"i = y * 1; {line}; {name} = i" if template in WRITES else f"{name} = {line}")
        results.append(name)
    returned = ", ".join(f"np.where(t, {r}, {r})" for r in results)  # all have one shape
    source = "\n    ".join([f"def f({', '.join(ARGUMENTS)}):", *body, f"return {returned}"])
    arguments = numbers(dtype)
    with np.errstate(all="ignore"):
        found = elementwise(made(source))(*arguments)
        assert len(loops) == 1
        expected = made(source, dtype)(*arguments)
    for result, other, line in zip(found, expected, body[1:], strict=True):
        assert bits(result) == bits(other), line


@pytest.mark.parametrize(
    "formula",
    [
        lambda x, y: ((x > 0) + (y > 0)) * 2.5,
        lambda x, y: ((x > 0) * (y > 0)) * 2.5,
        lambda x, y: np.logical_and(x, y) * 2.5,
        lambda x, y: np.logical_or(x, y) + np.logical_not(y) * 2.5,
        lambda x, y: abs(x > y) * 2.5,
        lambda x, y: np.where(x, y, 0) * 2.5,
        lambda x, y: ((x > 0) | (y > 0)) * x - ((x > 0) & ~(y > 0)) * y,
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_condition_is_one_or_zero(formula, dtype, loops):
    x, y = (a.ravel() for a in np.meshgrid(*[np.array([-3, -0.0, 0, 0.25, 3, np.nan], dtype)] * 2))
    found = elementwise(formula)(x, y)
    assert loops
    assert bits(found) == bits(np.asarray(formula(x, y), dtype))


@every_life
def test_an_update(loops, optimizer, rule, lead, dtype):
    found, _ = life(np, optimizer, rule, lead, dtype)
    assert loops
    with ways.compiled(False):
        expected, _ = life(np, optimizer, rule, lead, dtype)
    assert found == expected


@pytest.mark.parametrize("make", [toy_net, toy_cnn])
def test_a_run(loops, make):
    tables = []
    for on in (True, False):
        with ways.compiled(on):
            tasks = toy_image_tasks(n=8) if make is toy_cnn else None
            net, history = toy_run(pysi.SynapticIntelligence(1.0), net=make(3), tasks=tasks,
                                   optimizer=pysi.Adam(0.01), epochs=1)  # fmt: skip
            tables.append((net.synapses.table.tobytes(), history.test_accuracy.tobytes()))
    assert loops
    assert tables[0] == tables[1]


def test_what_does_not_round_alike_stays_with_numpy(loops):
    for line in [fill(t, a="x", b="y", n="n0", m="m0", c="(x > y)") for t in ROUNDED]:
        elementwise(made(f"def f({', '.join(ARGUMENTS)}):\n    return ({line}) * 2 + x"))(
            *positive(np.float32)
        )
    assert not loops
    assert not {"exp", "log", "tanh", "power", "maximum", "minimum"} & EXACT.keys()


@numba_alone
def test_the_next_process_finds_the_code(tmp_path, monkeypatch):
    script = """
import sys, numpy as np, pysi
from pysi.backend import compiled as ways
from pysi.backend import elementwise
from pysi.backend.loops import Loop
@elementwise
def f(x, y):
    return x * 2 + y
assert f(np.ones(3), np.ones(3)).tolist() == [3, 3, 3]
(function,) = Loop.functions.values()
print(sum(function.stats.cache_hits.values()), sum(function.stats.cache_misses.values()))
"""
    monkeypatch.setenv("PYSI_CACHE", str(tmp_path))
    told = [
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYSI_COMPILED": "1"},
        )  # fmt: skip
        for _ in range(2)
    ]
    assert [done.stdout.split() for done in told] == [["0", "1"], ["1", "0"]]
    assert not any(done.stderr for done in told)


@pytest.fixture
def double():
    return elementwise(lambda x: x * 2 + 1)


def test_code_is_kept_in_the_user_s_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("PYSI_CACHE", "~/own")
    assert ways.folder() == tmp_path / "own" / "formulas"
    for name in ("PYSI_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert ways.folder() == tmp_path / ".cache" / "pysi" / "formulas"


@pytest.mark.parametrize("cache", ["a file", "nowhere"])
def test_a_folder_that_cannot_be_written_to_is_no_error(
    cache, loops, double, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PYSI_CACHE", str(tmp_path / "file"))
    if cache == "nowhere":
        monkeypatch.setattr(ways, "folder", lambda: ways.Path("~nobody").expanduser())
    assert double(np.ones(2)).tolist() == [3, 3]
    assert loops
    assert not ways.SWITCH.broken


@numba_alone
@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_damaged_files_of_the_cache_are_no_error(damage, double, tmp_path, monkeypatch):
    monkeypatch.setenv("PYSI_CACHE", str(tmp_path))
    for _ in range(2):
        using(importlib.import_module("numba"), monkeypatch)
        assert double(np.ones(2)).tolist() == [3, 3]
        double.programs.clear()
        kept = [path for path in tmp_path.rglob("*.nb?")]
        assert kept
        for path in kept:
            path.write_bytes(path.read_bytes()[:-9] if damage is None else damage)
    assert not ways.SWITCH.broken


class Broken:
    __version__ = "0"

    @staticmethod
    def njit(**options):
        def fail(*args):
            raise TypeError("of another time")

        return lambda function: fail


def test_a_compiler_that_fails_is_said_once(double, monkeypatch, tmp_path):
    monkeypatch.setenv("PYSI_CACHE", str(tmp_path))
    using(Broken, monkeypatch)
    triple = elementwise(lambda x: x * 3 + 1)
    with pytest.warns(UserWarning, match="Numba is installed but does not work .*another time"):
        assert double(np.ones(2)).tolist() == [3, 3]
    assert double(np.ones(2)).tolist() == [3, 3]
    assert triple(np.ones(2)).tolist() == [4, 4]
    assert ways.in_use() is None


def test_an_import_that_fails_is_said_once(monkeypatch):
    def fail(name):
        raise ImportError("needs NumPy 1")

    monkeypatch.setattr(ways, "SWITCH", ways.Switch())
    monkeypatch.setattr(ways.importlib, "import_module", fail)
    with pytest.warns(UserWarning, match="ImportError: needs NumPy 1"):
        assert ways.numba.__wrapped__() is None


def test_it_can_be_switched_off_and_on_again(loops, double):
    for on, count in ((False, 0), (True, 1), (False, 1)):
        with ways.compiled(on):
            assert double(np.ones(2)).tolist() == [3, 3]
            assert (ways.in_use() is not None) == on
        assert len(loops) == count


def test_loops_are_used_once_passes_have_worked_enough(loops, double, monkeypatch):
    monkeypatch.setattr(ways, "PATIENCE", 50)
    with ways.compiled(None):
        for count in (0, 0, 0, 1, 2):  # two operations on ten numbers: 20, 40, 60
            assert double(np.ones(10)).tolist() == [3] * 10
            assert len(loops) == count
        assert ways.in_use() is not None


def test_an_update_in_blocks_is_one_loop(loops):
    tables = []
    for size in (None, 7):
        loops.clear()
        s = pysi.Synapses({"W": (5, 6), "b": (6,)}, block_size=size)
        s.table[...] = np.random.default_rng(0).random(s.table.shape)
        with s.update() as rows:
            rows.omega[...] = rows.omega - rows.grad * rows.theta
            rows.theta[...] = rows.theta * 0.5 + rows.omega
        tables.append(s.table.tobytes())
        assert len(loops) == 1
    assert tables[0] == tables[1]


@pytest.mark.parametrize(("value", "chosen"), [(None, None), ("", None), ("0", False), ("1", True)])
def test_the_variable_is_obeyed(value, chosen, monkeypatch):
    monkeypatch.delenv("PYSI_COMPILED", raising=False)
    if value is not None:
        monkeypatch.setenv("PYSI_COMPILED", value)
    assert ways.Switch().chosen is chosen


@pytest.mark.parametrize("value", ["yes", "2", " 1"])
def test_the_variable_says_0_or_1(value, double, monkeypatch):
    monkeypatch.setenv("PYSI_COMPILED", value)
    with pytest.raises(pysi.ConfigError, match=f"PYSI_COMPILED: expected 1 .*found '{value}'"):
        double(np.ones(2))


def test_a_missing_numba_is_named(monkeypatch):
    monkeypatch.setattr(ways, "numba", lambda: None)
    monkeypatch.setattr(ways, "SWITCH", ways.Switch())
    with pytest.raises(pysi.ConfigError, match=r'found none; pip install ".*\[fast\]"'):
        ways.compiled(True).__enter__()


@pytest.mark.parametrize(
    "kind",
    ["read-only", "Fortran", "reversed", "memmap", "unaligned", "of one entry", "empty"],
)
def test_any_array(kind, loops, tmp_path):
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    if kind == "read-only":
        x.flags.writeable = False
    elif kind == "Fortran":
        x = np.asfortranarray(x)
    elif kind == "reversed":
        x = x[::-1, ::-2]
    elif kind == "memmap":
        x.tofile(tmp_path / "x")
        x = np.memmap(tmp_path / "x", np.float32, "r", shape=(3, 4))
    elif kind == "unaligned":
        x = np.frombuffer(b"x" + x.tobytes(), np.float32, offset=1).reshape(3, 4)
    elif kind == "of one entry":
        x = x[:1, :1]
    elif kind == "empty":
        x = x[:0]
    formula = elementwise(lambda x, y: x * y + 1)
    assert bits(formula(x, x)) == bits(np.asarray(x) * np.asarray(x) + np.float32(1))
    assert loops
    assert not ways.SWITCH.broken


def test_constants_of_any_size(loops):
    whole = elementwise(lambda i: i * 3 - 2**40)
    assert whole(np.arange(3)).tolist() == [-(2**40), 3 - 2**40, 6 - 2**40]
    large = elementwise(lambda x: x * 10**30 + 2**70)
    assert large(np.ones(2)).tolist() == [10.0**30 + 2.0**70] * 2
    assert len(loops) == 2
    assert not ways.SWITCH.broken


def test_results_say_what_they_were_computed_with(monkeypatch):
    from pysi.experiments import machine

    monkeypatch.setattr(ways, "SWITCH", ways.Switch())
    with ways.compiled(False):
        assert machine.libraries()["numba"] is None
    monkeypatch.setattr(ways, "numba", lambda: PYTHON)
    with ways.compiled(True):
        assert machine.libraries()["numba"] == "0"
