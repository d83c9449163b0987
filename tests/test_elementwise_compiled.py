"""A C++ compiler accepts the source of kernels, and the result computes what NumPy does."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

import strict_array
from pysi.backend import elementwise, to_host
from pysi.backend.kernel import TYPES, Kernel
from pysi.backend.recording import Recording
from pysi.layers import dropped, relu_slope, tanh_slope
from pysi.losses import softmax_cross_entropy
from test_elementwise import (
    ARGUMENTS,
    CONDITIONS,
    ROUNDED,
    VALUES,
    WRITES,
    bits,
    fill,
    made,
    several,
)
from test_elementwise_update import every_life, life, tables


class Compiled:
    """A kernel as CuPy makes it: the recorded lines as C++, in a loop over all elements."""

    def __init__(self, library, in_params, out_params, operation, name, preamble):
        inputs, outputs = (p.split(", ") if p else [] for p in (in_params, out_params))
        self.dtypes, names = zip(*(entry.split() for entry in inputs + outputs), strict=True)
        kinds = ["const "] * len(inputs) + [""] * len(outputs)
        lines = "\n".join(
            f"{kind}{TYPES[dtype]} &{name} = (({TYPES[dtype]} *)p[{k}])[i];"
            for k, (kind, dtype, name) in enumerate(zip(kinds, self.dtypes, names, strict=True))
        )
        loop = f"for (long long i = 0; i < n; i++) {{ {lines}\n{operation} }}"
        function = f'extern "C" void {name}(long long n, void **p) {{ {loop} }}'
        head = f"#include <cmath>\nusing namespace std;\n#define __device__\n{preamble}"
        # no conversion in the source may lose a type that NumPy would keep
        words = f"g++ -O1 -ffp-contract=off -Wconversion -shared -fPIC -x c++ - -o {library}"
        done = subprocess.run(
            words.split(), input=f"{head}\n{function}", text=True, check=True, capture_output=True
        )
        assert not done.stderr, done.stderr
        self.function = getattr(ctypes.CDLL(library), name)

    def __call__(self, *args):
        strict_array.launches += 1
        hosts = [getattr(arg, "_host", arg) for arg in args]
        hosts = np.broadcast_arrays(*map(np.asarray, hosts, self.dtypes))
        hosts = [np.ascontiguousarray(array) for array in hosts]  # what is written is so already
        pointers = (ctypes.c_void_p * len(hosts))(*(array.ctypes.data for array in hosts))
        self.function(ctypes.c_longlong(hosts[0].size), pointers)


@pytest.fixture
def kernels(monkeypatch, tmp_path):
    """Collect the kernels that are made, and compiled, for the strict double's arrays."""
    if not shutil.which("g++"):
        pytest.skip("g++ is not installed")
    compiled = []

    def make(*source, **more):
        compiled.append(Compiled(tmp_path / f"{len(compiled)}.so", *source, **more))
        return compiled[-1]

    monkeypatch.setattr(strict_array, "ElementwiseKernel", make)
    monkeypatch.setattr(Kernel, "kernels", {})
    monkeypatch.setattr(Recording, "structures", {})
    for formula in (dropped, relu_slope, tanh_slope):
        monkeypatch.setattr(formula, "programs", {})
    return compiled


def positive(dtype):
    """Return arrays that are safe for roots, logarithms and divisions; many numbers are equal."""
    rng, numbers = np.random.default_rng(0), np.array([0.6, 0.9, 1.3], dtype)
    arrays = [rng.choice(numbers, shape) for shape in ((4, 5), (4, 5), (4, 5), (5,))]
    return [*arrays, rng.random((4, 5)) < 0.5, rng.integers(0, 3, (4, 1)), 0.9, -2]


def signed(dtype):
    """Return arrays with signs, zeros, and numbers that are not finite."""
    arrays = positive(dtype)
    rng, special = np.random.default_rng(1), [-0.6, 0.0, -0.0, np.nan, np.inf, -np.inf]
    for array in arrays[:4]:
        chosen = rng.random(array.shape) < 0.5
        array[chosen] = rng.choice(np.array(special, dtype), chosen.sum())
    return arrays


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("numbers", [positive, signed])
@pytest.mark.parametrize(("values", "rounding"), [(VALUES, 0), (ROUNDED, 4)])
def test_every_operation_can_be_compiled(kernels, values, rounding, numbers, dtype):
    """Each operation gives a result of its own, so no operation hides another."""
    names = {"a": "x", "b": "y", "c": "b0", "d": "t", "n": "n0", "m": "m0", "k": "k0", "i": "i"}
    body, results = ["t = x > u"], []
    for template in values + CONDITIONS + WRITES:
        name = f"r{len(results)}"
        line = fill(template, **names)
        body.append(f"i = y * 1; {line}; {name} = i" if template in WRITES else f"{name} = {line}")
        results.append(name)
    returned = ", ".join(f"np.where(t, {r}, {r})" for r in results)  # all have one shape
    head = f"def f({', '.join(ARGUMENTS)}):"
    source = "\n    ".join([head, *body, f"return {returned}"])
    arguments = numbers(dtype)
    wrapped = [strict_array.ndarray(a) if isinstance(a, np.ndarray) else a for a in arguments]
    found = elementwise(made(source))(*wrapped)
    assert len(kernels) == 1
    with np.errstate(all="ignore"):
        expected = made(source, dtype)(*arguments)
    for result, other, line in zip(found, expected, body[1:], strict=True):
        if rounding and other.dtype == dtype:
            tolerance = rounding * np.finfo(dtype).eps
            assert np.allclose(to_host(result), other, rtol=tolerance, atol=0, equal_nan=True), line
        else:
            assert bits(to_host(result)) == bits(other), line


@every_life
def test_an_update(kernels, optimizer, rule, lead, dtype):
    expected, _ = life(np, optimizer, rule, lead, dtype)
    found, _ = life(strict_array, optimizer, rule, lead, dtype)
    assert found == expected
    assert len(kernels) == 1


def test_results_that_are_swapped(kernels):
    swap = elementwise(lambda a, b: (b, a + b, a))
    a, b, c = (strict_array.ndarray(np.arange(4.0) + n) for n in (0, 10, 20))
    swap(a, b, out=(a, c, b))
    assert [to_host(x)[0] for x in (a, b, c)] == [10, 0, 10]
    assert len(kernels) == 1


@tables
def test_the_loss_and_its_gradient(kernels, lead, dtype):
    rng, active = np.random.default_rng(0), np.array([True, False, True, True])
    logits = rng.normal(0, 9, (*lead, 6, 4)).astype(dtype)
    arrays = logits, rng.choice([0, 2, 3], (*lead, 6)), active
    found = softmax_cross_entropy(*map(strict_array.asarray, arrays))
    for host, device in zip(softmax_cross_entropy(*arrays), map(to_host, found), strict=True):
        tolerance = 16 * np.finfo(dtype).eps
        assert (host.shape, host.dtype) == (device.shape, device.dtype)
        assert np.allclose(host, device, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(
    ("formula", "numbers"), [(relu_slope, ()), (tanh_slope, ()), (dropped, (0.4, np.float32(1.5)))]
)
def test_the_layers_formulas(kernels, formula, numbers):
    x, y = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    host = several(formula(x, y, *numbers))
    device = several(formula(*map(strict_array.asarray, (x, y)), *numbers))
    assert [bits(to_host(array)) for array in device] == [bits(array) for array in host]
    assert len(kernels) == 1
