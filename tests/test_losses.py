import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from pysi.losses import predict, softmax_cross_entropy
from strategies import dtypes, leads, seeds


def example(seed, lead=(), dtype=np.float64, scale=3.0):
    rng = np.random.default_rng(seed)
    batch, classes = rng.integers(1, 8), rng.integers(2, 7)
    active = np.zeros(classes, bool)
    units = rng.choice(classes, rng.integers(1, classes + 1), replace=False)
    active[units] = True
    logits = (scale * rng.standard_normal((*lead, batch, classes))).astype(dtype)
    return logits, rng.choice(units, (*lead, batch)), active


@given(seeds, leads, dtypes)
def test_rows_sum_to_zero_and_inactive_logits_are_exactly_zero(seed, lead, dtype):
    logits, labels, active = example(seed, lead, dtype)
    loss, dlogits = softmax_cross_entropy(logits, labels, active)
    assert loss.shape == lead
    assert loss.dtype == dlogits.dtype == dtype
    assert (dlogits[..., ~active] == 0).all()
    assert np.allclose(dlogits.sum(axis=-1), 0, atol=4 * np.finfo(dtype).eps)


@given(seeds, leads)
def test_value_is_scipy_s(seed, lead):
    logits, labels, active = example(seed, lead)
    expected = log_softmax(np.where(active, logits, -np.inf), axis=-1)
    expected = -np.take_along_axis(expected, labels[..., None], -1).mean(axis=(-2, -1))
    assert np.allclose(softmax_cross_entropy(logits, labels, active)[0], expected, rtol=1e-12)


@given(seeds, st.floats(-1e3, 1e3))
def test_shift_invariant(seed, shift):
    logits, labels, active = example(seed)
    a, da = softmax_cross_entropy(logits, labels, active)
    b, db = softmax_cross_entropy(logits + shift, labels, active)
    # adding the shift rounds the logits to |shift| ε ≤ 1e3 × 2.2e-16
    assert np.isclose(a, b, rtol=0, atol=1e-11)
    assert np.allclose(da, db, rtol=0, atol=1e-11)


@given(seeds, st.sampled_from([1e4, 1e30, np.inf]))
def test_huge_logits_do_not_overflow(seed, huge):
    logits, labels, active = example(seed, scale=1e4)
    expected = softmax_cross_entropy(logits, labels, active)
    logits[:, ~active] = huge
    loss, dlogits = softmax_cross_entropy(logits, labels, active)
    assert np.isfinite(loss)
    assert loss == expected[0]
    assert np.array_equal(dlogits, expected[1])


@given(seeds)
def test_gradient_along_a_random_direction(seed):
    logits, labels, active = example(seed)
    v = np.random.default_rng(seed + 1).standard_normal(logits.shape)
    _, dlogits = softmax_cross_entropy(logits, labels, active)
    h = 1e-5
    up, _ = softmax_cross_entropy(logits + h * v, labels, active)
    down, _ = softmax_cross_entropy(logits - h * v, labels, active)
    assert np.isclose((up - down) / (2 * h), (dlogits * v).sum(), rtol=1e-6, atol=1e-8)


@given(seeds, leads)
def test_predictions_are_active_classes(seed, lead):
    logits, _, active = example(seed, lead)
    logits[..., ~active] = 1e9
    assert active[predict(logits, active)].all()
