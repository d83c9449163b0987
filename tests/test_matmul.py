"""Products of any views, on the strict double, whose BLAS gets addresses and distances."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from numpy.lib.stride_tricks import as_strided

import strict_array
from pysi.backend import to_host
from pysi.backend.matmul import matmul, tensor_float_32
from pysi.losses import softmax_cross_entropy
from strategies import dtypes, seeds, toy_cnn, toy_image_tasks, toy_net, toy_tasks

CUBLAS = strict_array.cuda.cublas


def tiles(new, *lead, m, n):
    """Return overlapping matrices: each begins one line below the one before it."""
    image = new(*lead[:-1], sum(lead[-1:]) + m, n)
    *outer, down, across = image.strides
    return as_strided(image, (*lead, m, n), (*outer, *[down] * len(lead[-1:]), down, across))


def windows(new, *lead, m, n):
    """Return matrices whose rows overlap."""
    line = new(*lead, m + n)
    return as_strided(line, (*lead, m, n), (*line.strides, line.itemsize))


RESULTS = {
    "contiguous": lambda new, *lead, m, n: new(*lead, m, n),
    "of a table": lambda new, *lead, m, n: new(*lead, m * n + 3)[..., 2:-1].reshape(*lead, m, n),
    "columns": lambda new, *lead, m, n: new(*lead, m, n + 3)[..., 2:-1],
    "every second row": lambda new, *lead, m, n: new(*lead, 2 * m, n)[..., 1::2, :],
    "every second matrix": lambda new, *lead, m, n: new(*lead, 2, m, n)[..., 1, :, :],
    "row": lambda new, *lead, m, n: new(*lead, n)[..., None, :] if m == 1 else new(*lead, m, n),
    "axis moved": lambda new, *lead, m, n: np.moveaxis(new(m, *lead, n), 0, -2),
}
"""Views that BLAS reads and writes as they are."""
FACTORS = RESULTS | {
    "transposed": lambda new, *lead, m, n: new(*lead, n, m).swapaxes(-1, -2),
    "columns transposed": lambda new, *lead, m, n: new(*lead, n, m + 3)[..., 2:-1].swapaxes(-1, -2),
    "axis moved to the end": lambda new, *lead, m, n: np.moveaxis(new(n, *lead, m), 0, -1),
    "repeated": lambda new, *lead, m, n: np.broadcast_to(new(m, n), (*lead, m, n)),
    "tiles": tiles,
}
"""Views that BLAS reads as they are."""
BACKWARDS = {
    "upside down": lambda new, *lead, m, n: new(*lead, m, n)[..., ::-1, :],
    "mirrored": lambda new, *lead, m, n: new(*lead, m, n)[..., ::-1],
    "last to first": lambda new, *lead, m, n: np.flip(new(*lead, m, n), tuple(range(len(lead)))),
    "every second of both": lambda new, *lead, m, n: new(*lead, 2 * m, 2 * n)[..., ::2, ::2],
}
OTHERS = BACKWARDS | {"windows": windows}
"""Views that must be copied; `BACKWARDS` can be written to."""
VIEWS = FACTORS | OTHERS


@settings(max_examples=300)
@given(
    mutually_broadcastable_shapes(num_shapes=2, min_dims=0, max_dims=3, max_side=4),
    st.tuples(*[st.integers(1, 5)] * 3),
    st.tuples(*[st.sampled_from(list(VIEWS))] * 2),
    st.sampled_from([None, "transposed", *RESULTS, *BACKWARDS]),
    dtypes,
    seeds,
)
def test_it_is_numpy_s_product(leads, sizes, views, out_view, dtype, seed):
    (m, k, n), (lead_a, lead_b), lead = sizes, leads.input_shapes, leads.result_shape
    rng, memory = np.random.default_rng(seed), []

    def new(*shape):
        memory.append(rng.standard_normal(shape).astype(dtype))
        return memory[-1]

    a = VIEWS[views[0]](new, *lead_a, m=m, n=k)
    b = VIEWS[views[1]](new, *lead_b, m=k, n=n)
    out = VIEWS[out_view](new, *lead, m=m, n=n) if out_view else None
    device_out = strict_array.ndarray(out) if out_view else None
    expected, before = np.matmul(a, b), [array.copy() for array in memory]
    former = np.copy(out)
    copies, launches = strict_array.copies, strict_array.launches
    found = matmul(*map(strict_array.ndarray, (a, b)), out=device_out)
    assert found.shape == expected.shape and found.dtype == dtype
    tolerance = 32 * np.finfo(dtype).eps
    assert np.allclose(to_host(found), expected, rtol=tolerance, atol=tolerance)
    if {*views} <= {*FACTORS} and out_view in (None, *RESULTS):
        assert strict_array.copies == copies
        assert strict_array.launches - launches <= np.prod(lead) / max(lead, default=1)
    if out_view:
        assert found is device_out
        out[...] = former
    for array, kept in zip(memory, before, strict=True):
        assert np.array_equal(array, kept)  # only `out` was written to
    assert np.array_equal(matmul(a, b), expected)


def count(calls, a, b, out=None):
    """Return the numbers of copies, launches, and calls of BLAS in a product."""
    before = strict_array.copies, strict_array.launches, len(calls)
    matmul(*map(strict_array.ndarray, (a, b)), out=out)
    return tuple(np.subtract((strict_array.copies, strict_array.launches, len(calls)), before))


@pytest.fixture
def calls(monkeypatch):
    """Collect the names of the functions of BLAS that are called."""
    made = []

    def counted(name, function):
        return staticmethod(lambda *args: made.append(name) or function(*args))

    for name in ("sgemm", "dgemm", "sgemmStridedBatched", "dgemmStridedBatched"):
        monkeypatch.setattr(CUBLAS, name, counted(name, getattr(CUBLAS, name)))
    return made


@pytest.mark.parametrize("view", OTHERS)
def test_what_blas_cannot_take_is_copied(calls, view):
    other, plain = VIEWS[view](lambda *shape: np.ones(shape), 5, m=3, n=4), np.ones((5, 4, 3))
    assert count(calls, other, plain) == (1, 2, 1)
    assert count(calls, plain, other) == (1, 2, 1)
    assert count(calls, other, np.swapaxes(other, 1, 2)) == (2, 2, 1)


@pytest.mark.parametrize(
    ("lead_a", "lead_b", "launches"),
    [
        ((), (), 1),
        ((5,), (5,), 1),
        ((5,), (), 1),
        ((2, 1), (5,), 2),
        ((5, 1), (2,), 2),
        ((2, 5, 3), (2, 5, 3), 1),
        ((2, 1, 3), (2, 1, 3), 1),
        ((2, 5, 3), (), 1),
        ((2, 5, 3), (3,), 3),
        ((2, 5, 3), (2, 1, 1), 2),
        ((2, 5, 3), (2, 1, 3), 6),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_axes_that_can_be_one_are_one(calls, lead_a, lead_b, launches, dtype):
    a, b = np.ones((*lead_a, 3, 4), dtype), np.ones((*lead_b, 4, 2), dtype)
    assert count(calls, a, b) == (0, launches, launches)
    single = {np.float32: "sgemm", np.float64: "dgemm"}[dtype]
    assert set(calls) == {single if lead_a == () else f"{single}StridedBatched"}


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 3, 0), (2, 0, 3)])
@pytest.mark.parametrize("lead", [(), (2,), (0,)])
def test_nothing_times_something(shape, lead):
    m, k, n = shape
    a, b, out = (
        np.ones((*lead, m, k)),
        np.ones((k, n)),
        strict_array.ndarray(np.ones((*lead, m, n))),
    )
    matmul(*map(strict_array.ndarray, (a, b)), out=out)
    assert np.array_equal(to_host(out), a @ b)


NETWORKS = {
    "mlp": (toy_net, toy_tasks, {}),
    "cnn": (toy_cnn, toy_image_tasks, {}),
    "cnn, slow": (toy_cnn, toy_image_tasks, {"fast": False}),
}


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shared", [False, True])
def test_gradients_are_computed_without_a_copy(calls, network, shared):
    make, tasks, options = NETWORKS[network]
    net, task = make([0, 1, 2], xp=strict_array, **options), tasks()[0].to(strict_array)
    batch = strict_array.asarray(np.arange(8) if shared else np.arange(24).reshape(3, 8))
    copies, (x, labels) = strict_array.copies, task.part("train")
    for _ in range(2):
        calls.clear()
        logits = net.forward(x[batch], train=True)
        net.backward(softmax_cross_entropy(logits, labels[batch], task.active)[1])
    assert strict_array.copies == copies
    if network == "mlp":
        assert calls == ["dgemmStridedBatched"] * 8  # three forward, five backward


@pytest.mark.parametrize(("on", "mode"), [(True, 3), (False, 0)])
def test_tensor_float_32_is_set_and_reset(monkeypatch, on, mode):
    """The numbers are those of cuBLAS: 3 is CUBLAS_TF32_TENSOR_OP_MATH, 0 CUBLAS_DEFAULT_MATH."""
    monkeypatch.setattr(CUBLAS, "mode", 7)
    with tensor_float_32(strict_array, on):
        assert CUBLAS.mode == mode
    assert CUBLAS.mode == 7
    with pytest.raises(RuntimeError), tensor_float_32(strict_array, on):
        raise RuntimeError
    assert CUBLAS.mode == 7
    with tensor_float_32(np, on):
        assert CUBLAS.mode == 7
