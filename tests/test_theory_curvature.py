"""The R-operator against finite differences, and Hessian against Fisher (claim 11)."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import pysi
from pysi.layers import Layer
from pysi.losses import softmax_cross_entropy
from pysi.rules.fisher import diagonal_fisher
from pysi.theory import curvature
from pysi.theory.curvature import (
    correlations,
    gauss_newton_diagonal,
    hessian,
    hessian_diagonal,
)
from strategies import seeds
from test_fisher import problem

hiddens = st.lists(st.integers(1, 4), min_size=1, max_size=4)
activations = st.sampled_from(["relu", "tanh"])


def gradient(net, x, labels, active, theta):
    net.synapses.theta[...] = theta
    _, dlogits = softmax_cross_entropy(net.forward(x), labels, active)
    net.backward(dlogits)
    return net.synapses.grad.copy()


def kink(net):
    """Return the distance of the nearest ReLU input from its kink, after a forward pass."""
    dense = [m for m in net.last.memories if isinstance(m.slot.layer, pysi.layers.Dense)]
    before = [m.kept @ m.weights[0] + m.weights[1] for m in dense[:-1]]
    return min((abs(a).min() for a in before), default=np.inf)


@given(seeds, hiddens, activations)
def test_hessian_is_the_derivative_of_the_gradient(seed, hidden, activation):
    net, x, labels, active = problem(seed, hidden, activation)
    theta = net.synapses.theta.copy()
    H = hessian(net, x, labels, active)
    v = np.random.default_rng(seed).standard_normal(theta.shape)
    v /= np.linalg.norm(v)
    # if not, a unit could switch within the differences
    assume(activation == "tanh" or kink(net) > 1e-2)

    def difference(h):
        up, down = (gradient(net, x, labels, active, theta + s * h * v) for s in (1, -1))
        return (up - down) / (2 * h)

    # central differences at h and h/2, extrapolated: truncation h⁴ times a fifth derivative,
    # which grows with the weights and inputs, rounding ε/h = 1e-13 times the gradient
    measured = (4 * difference(5e-4) - difference(1e-3)) / 3
    scale = 1 + abs(H @ v).max()
    assert np.allclose(measured, H @ v, rtol=1e-6, atol=1e-7 * scale)


@given(seeds, hiddens, activations)
def test_hessian_is_symmetric_and_its_diagonal_is_its_diagonal(seed, hidden, activation):
    net, x, labels, active = problem(seed, hidden, activation)
    H = hessian(net, x, labels, active)
    assert np.allclose(H, H.T, rtol=1e-10, atol=1e-12 * (1 + abs(H).max()))
    assert np.array_equal(hessian_diagonal(net, x, labels, active), H.diagonal())


@given(seeds, hiddens, activations)
def test_gauss_newton_for_softmax_is_the_fisher(seed, hidden, activation):
    """Two methods give one matrix: R-operator without error signals, and squared gradients."""
    net, x, _, active = problem(seed, hidden, activation)
    fisher = diagonal_fisher(net, x, active)
    # p_k(δ_jk - p_j) is formed in two ways; terms as large as the largest entry cancel
    tolerance = 1e-12 * (1 + fisher.max())
    assert np.allclose(gauss_newton_diagonal(net, x, active), fisher, rtol=1e-9, atol=tolerance)


@given(seeds, hiddens)
def test_for_relu_the_hessian_s_diagonal_is_the_fisher(seed, hidden):
    """Every logit is linear in any single synapse: the diagonals agree, the matrices do not."""
    net, x, labels, active = problem(seed, hidden, "relu")
    H, fisher = hessian_diagonal(net, x, labels, active), diagonal_fisher(net, x, active)
    assert np.allclose(H, fisher, rtol=1e-9, atol=1e-12 * (1 + fisher.max()))


@given(seeds)
def test_for_tanh_they_differ_below_the_readout_and_agree_in_it(seed):
    net, x, labels, active = problem(seed, [3, 4], "tanh")
    H, fisher = hessian_diagonal(net, x, labels, active), diagonal_fisher(net, x, active)
    readout = net.synapses.group("dense2.W").columns.start
    # in the readout every logit is linear in every synapse
    assert np.allclose(H[readout:], fisher[readout:], rtol=1e-9, atol=1e-12 * (1 + fisher.max()))
    assert abs(H - fisher)[:readout].max() > 1e-3 * fisher.max()


def test_without_errors_tanh_has_no_residual():
    """At a perfect fit p = y the error signals vanish, and with them Hessian minus Fisher."""
    net, x, _, active = problem(3, [3, 4], "tanh")
    net.synapses.group("dense2.b").theta[...] = [60.0, 0, 0, 0]
    labels = np.zeros(len(x), int)
    H, fisher = hessian_diagonal(net, x, labels, active), diagonal_fisher(net, x, active)
    # the residual is at most Σ (1 - p) times second derivatives; 1 - p is below e^-45
    assert abs(H - fisher).max() < 1e-15


@given(seeds)
def test_softmax_regression_has_a_known_hessian(seed):
    """⟨(diag p - p pᵀ) ⊗ x xᵀ⟩, written out entry by entry."""
    net, x, labels, active = problem(seed, [3], inactive=False)
    H = hessian(net, x, labels, active)
    z = net.forward(x).copy()
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    S = np.einsum("nj,jk->njk", p, np.eye(4)) - np.einsum("nj,nk->njk", p, p)
    x1 = np.c_[x, np.ones(len(x))]  # the bias is the weight of a constant input
    expected = np.einsum("njk,na,nb->ajbk", S, x1, x1).reshape(16, 16) / len(x)
    assert np.allclose(H, expected, rtol=1e-9, atol=1e-12)


def test_directions_can_be_cut_anywhere(monkeypatch):
    net, x, labels, active = problem(1, [3, 4], "tanh")
    whole = hessian(net, x, labels, active)
    monkeypatch.setattr(curvature, "DIRECTIONS", 5)
    assert np.allclose(hessian(net, x, labels, active), whole, rtol=1e-12, atol=1e-14)
    diagonal = hessian_diagonal(net, x, labels, active)
    assert np.allclose(diagonal, whole.diagonal(), rtol=1e-12, atol=1e-14)


def test_dropout_is_idle():
    net, x, labels, active = problem(1, [3, 4])
    dropped = pysi.MLP([3, 4, 4], dropout=0.5, dtype=np.float64)
    dropped.synapses.theta[...] = net.synapses.theta
    expected = hessian_diagonal(net, x, labels, active)
    assert np.array_equal(hessian_diagonal(dropped, x, labels, active), expected)


def test_one_synapse_s_curvature_by_hand():
    """One input, two classes, logits (θ x, 0): L'' = x² p (1 - p)."""
    net = pysi.MLP([1, 2], dtype=np.float64)
    net.synapses.theta[...] = [0.7, 0, 0, 0]
    H = hessian(net, np.array([[1.5]]), np.array([0]), np.ones(2, bool))
    p = 1 / (1 + np.exp(-0.7 * 1.5))
    assert np.isclose(H[0, 0], 1.5**2 * p * (1 - p), rtol=1e-12)


def test_correlations_are_linear_and_by_rank():
    F = np.array([1.0, 4.0, 9.0, 16.0])
    found = correlations(np.sqrt(F), F)
    assert np.isclose(found.pearson_root, 1)
    assert np.isclose(found.spearman, 1)
    # (1, 2, 3, 4) and (1, 4, 9, 16): covariance 25/4, variances 5/4 and 129/4
    assert np.isclose(found.pearson, 25 / np.sqrt(5 * 129))
    assert np.isclose(correlations(-F, F).spearman, -1)
    below = correlations(np.array([0.0, 0.0, 1.0]), np.array([-5.0, 0.0, 1.0]))
    assert np.isclose(below.pearson, 1)
    assert np.isclose(below.pearson_root, 1)


@pytest.mark.parametrize(
    ("Omega", "F"), [(np.ones(3), np.arange(3.0)), (np.arange(3.0), np.zeros(3))]
)
def test_constant_rows_have_no_correlation(Omega, F):
    with pytest.raises(pysi.ConfigError, match="constant"):
        correlations(Omega, F)


class Square(Layer):
    kind = "square"

    def forward(self, x, *, train=False):
        return x * x


@pytest.mark.parametrize(
    "net",
    [
        pysi.MLP([3, 4], seed=[0, 1], dtype=np.float64),
        pysi.Network([pysi.layers.Dense(3, 4), Square()], dtype=np.float64),
    ],
)
def test_what_has_no_hand_written_hessian_is_a_config_error(net):
    with pytest.raises(pysi.ConfigError):
        hessian(net, np.ones((2, 3)), np.array([0, 1]), np.ones(4, bool))
