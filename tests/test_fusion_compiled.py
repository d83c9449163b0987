"""The source of kernels: a C++ compiler takes it, and makes of it what NumPy computes."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

import strict_array
from pysi.backend import stream, to_host
from pysi.backend.elementwise import TYPES, Recorder
from pysi.layers import Dropout, ReLU, Tanh
from pysi.losses import softmax_cross_entropy
from test_fusion import (
    CONDITIONS,
    ROUNDED,
    VALUES,
    WRITES,
    bits,
    every_life,
    fill,
    life,
    run,
    tables,
)

C = dict(TYPES.values())


class Compiled:
    """A kernel as CuPy makes it: the recorded lines as C++, in a loop over all elements."""

    def __init__(self, library, in_params, out_params, operation, name):
        inputs, outputs = in_params.split(", "), out_params.split(", ")
        self.dtypes, names = zip(*(entry.split() for entry in inputs + outputs), strict=True)
        kinds = ["const "] * len(inputs) + [""] * len(outputs)
        lines = "\n".join(
            f"{kind}{C[dtype]} &{name} = (({C[dtype]} *)p[{k}])[i];"
            for k, (kind, dtype, name) in enumerate(zip(kinds, self.dtypes, names, strict=True))
        )
        loop = f"for (long long i = 0; i < n; i++) {{ {lines}\n{operation} }}"
        function = f'extern "C" void {name}(long long n, void **p) {{ {loop} }}'
        source = f"#include <cmath>\nusing namespace std;\n{function}"
        words = f"g++ -O1 -ffp-contract=off -shared -fPIC -x c++ - -o {library}"
        subprocess.run(words.split(), input=source, text=True, check=True)
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
    """The kernels that were made, and compiled, for the strict double's arrays."""
    if not shutil.which("g++"):
        pytest.skip("g++ is not installed")
    made = []

    def make(*source):
        made.append(Compiled(tmp_path / f"{len(made)}.so", *source))
        return made[-1]

    monkeypatch.setattr(strict_array, "ElementwiseKernel", make)
    monkeypatch.setattr(Recorder, "kernels", {})
    return made


def positive(dtype):
    """Arrays that are safe under roots and logarithms, and as divisors; many numbers are equal."""
    rng, shapes = np.random.default_rng(0), {"x": (4, 5), "y": (4, 5), "u": (4, 1), "v": (5,)}
    numbers = np.array([0.6, 0.9, 1.3], dtype)
    return {name: rng.choice(numbers, shape) for name, shape in shapes.items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("values", "rounding"), [(VALUES, 0), (ROUNDED, 4)])
def test_every_operation_can_be_compiled(kernels, values, rounding, dtype):
    lines, names = ["t0 = x > u"], {"a": "u", "b": "v", "c": "t0", "n": "number(0.9)", "x": "x"}
    for template in values + CONDITIONS + WRITES:
        line = fill(template, **names)
        lines += [line, "y += x"] if template in WRITES else [f"y += {line}"]
    # a comparison that is kept in an array is 1 or 0, by which one can divide
    lines += ["xp.greater(u, v, out=x)", "y += x / (x + x + 1)", "y += xp.sqrt(x) / 3"]
    lines += ["y *= 0.3", "x -= x", "x[...] = -x"]
    expected = run("\n".join(lines), np, positive(dtype))
    found = run("\n".join(lines), strict_array, positive(dtype))
    assert len(kernels) == 1
    if rounding:
        assert np.allclose(found["y"], expected["y"], rtol=rounding * np.finfo(dtype).eps, atol=0)
    else:
        assert all(bits(found[name]) == bits(expected[name]) for name in expected)


@every_life
def test_an_update(kernels, optimizer, rule, lead, dtype):
    expected, _ = life(np, optimizer, rule, lead, dtype)
    found, _ = life(strict_array, optimizer, rule, lead, dtype)
    assert found == expected
    assert len(kernels) == 1


@tables
def test_the_loss_and_its_gradient(kernels, lead, dtype):
    rng, active = np.random.default_rng(0), np.array([True, False, True, True])
    logits = rng.normal(0, 9, (*lead, 6, 4)).astype(dtype)
    arrays = logits, rng.choice([0, 2, 3], (*lead, 6)), active
    found = softmax_cross_entropy(*map(strict_array.asarray, arrays))
    assert len(kernels) == 3
    for host, device in zip(softmax_cross_entropy(*arrays), map(to_host, found), strict=True):
        tolerance = 16 * np.finfo(dtype).eps
        assert (host.shape, host.dtype) == (device.shape, device.dtype)
        assert np.allclose(host, device, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("make", [ReLU, Tanh, lambda: Dropout(0.4)], ids=["relu", "tanh", "drop"])
def test_layers_of_one_kernel(kernels, make):
    x, dy = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
    found = []
    for xp in (np, strict_array):
        layer = make()
        layer.restart([stream(r, "drop", xp=xp) for r in range(3)])
        y = layer.forward(xp.asarray(x), train=True)
        found.append([bits(to_host(a)) for a in (y, layer.backward(xp.asarray(dy)))])
    assert found[0] == found[1]
    assert len(kernels) == 1
