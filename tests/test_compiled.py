"""A formula as one compiled loop gives the bits of NumPy's passes."""

import importlib
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings

import pysi
from pysi.backend import compiled as ways
from pysi.backend import elementwise
from pysi.backend.compiled import EXACT, Compiled
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


def python(function, **options):
    """In place of Numba's compiler: Python runs the same source on the same numbers, slowly."""

    def run(*args):
        with np.errstate(all="ignore"):
            return function(*args)

    return run


PYTHON = SimpleNamespace(__version__="0", njit=python)
numba_alone = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None, reason="Numba is not installed: the extra fast"
)


@pytest.fixture(params=["python", pytest.param("numba", marks=numba_alone)])
def loops(request, monkeypatch, tmp_path):
    """The programs that are run as loops, by Python and by Numba."""
    monkeypatch.setenv("PYSI_CACHE", str(tmp_path))
    module = PYTHON if request.param == "python" else importlib.import_module("numba")
    return using(module, monkeypatch)


def using(module, monkeypatch):
    made = []
    monkeypatch.setattr(ways, "numba", lambda: module)
    monkeypatch.setattr(ways, "_wanted", True)
    monkeypatch.setattr(ways, "_broken", False)
    monkeypatch.setattr(Compiled, "functions", {})
    monkeypatch.setattr(Recording, "structures", {})
    init = Compiled.__init__
    monkeypatch.setattr(
        Compiled, "__init__", lambda self, *args: (made.append(self), init(self, *args))[1]
    )
    return made


INEXACT = ("maximum", "minimum", "clip", "sign", "**=")
TEMPLATES = [t for t in VALUES + CONDITIONS + WRITES if not any(word in t for word in INEXACT)]
COUNTS = []


@settings(max_examples=600)
@given(calls(TEMPLATES))
def test_a_drawn_formula_as_python(call):
    source, arrays, numbers, outs, expected = call
    with pytest.MonkeyPatch.context() as monkeypatch:
        loops = using(PYTHON, monkeypatch)
        formula = elementwise(made(source))
        single = len(expected) == 1 and not formula.trace.several
        results, given = called(formula, np.asarray, arrays, numbers, outs, single)
    assert [bits(result) for result in results] == expected
    written = {id(arrays[i]) for i, _ in outs if i is not None}
    for kept, array in zip(given, arrays, strict=True):
        assert id(array) in written or bits(kept) == bits(array)
    COUNTS.append(len(loops))


def test_many_of_them_were_loops():
    assert sum(map(bool, COUNTS)) > len(COUNTS) / 10


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


@every_life
def test_an_update(loops, optimizer, rule, lead, dtype):
    found, _ = life(np, optimizer, rule, lead, dtype)
    assert loops
    with ways.compiled(False):
        Recording.structures.clear()
        expected, _ = life(np, optimizer, rule, lead, dtype)
    assert found == expected


@pytest.mark.parametrize("make", [toy_net, toy_cnn])
def test_a_run(loops, make):
    tables = []
    for on in (True, False):
        with ways.compiled(on):
            Recording.structures.clear()
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
from pysi.backend import elementwise
from pysi.backend.compiled import Compiled
@elementwise
def f(x, y):
    return x * 2 + y
assert f(np.ones(3), np.ones(3)).tolist() == [3, 3, 3]
(function,) = Compiled.functions.values()
print(sum(function.stats.cache_hits.values()), sum(function.stats.cache_misses.values()))
"""
    monkeypatch.setenv("PYSI_CACHE", str(tmp_path))
    told = [
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    assert [done.stdout.split() for done in told] == [["0", "1"], ["1", "0"]]
    assert not any(done.stderr for done in told)


@pytest.mark.parametrize("place", ["a file", "nowhere"])
def test_a_folder_that_cannot_be_written_to_is_no_error(place, loops, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PYSI_CACHE", str(tmp_path / "file"))
    double = elementwise(lambda x: x * 2 + 1)
    assert double(np.ones(2)).tolist() == [3, 3]
    assert loops


class Broken:
    __version__ = "0"

    @staticmethod
    def njit(function, **options):
        def fail(*args):
            raise TypeError("of another time")

        return fail


def test_a_compiler_that_fails_is_said_once(monkeypatch, tmp_path):
    monkeypatch.setenv("PYSI_CACHE", str(tmp_path))
    using(Broken, monkeypatch)
    double, triple = (elementwise(f) for f in (lambda x: x * 2 + 1, lambda x: x * 3 + 1))
    with pytest.warns(UserWarning, match="Numba is installed but does not work .*another time"):
        assert double(np.ones(2)).tolist() == [3, 3]
    assert double(np.ones(2)).tolist() == [3, 3]
    assert triple(np.ones(2)).tolist() == [4, 4]
    assert ways.in_use() is None


def test_an_import_that_fails_is_said_once(monkeypatch):
    def fail(name):
        raise ImportError("needs NumPy 1")

    monkeypatch.setattr(ways, "_broken", False)
    monkeypatch.setattr(ways.importlib, "import_module", fail)
    with pytest.warns(UserWarning, match="ImportError: needs NumPy 1"):
        assert ways.numba.__wrapped__() is None


def test_it_can_be_switched_off(loops):
    double = elementwise(lambda x: x * 2 + 1)
    with ways.compiled(False):
        assert double(np.ones(2)).tolist() == [3, 3]
        assert ways.in_use() is None
    assert not loops
