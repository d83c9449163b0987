r"""Curvature at the endpoint: the exact Hessian of a small network, by hand.

Write :math:`R\{f\} = \frac{d}{dr} f(θ + r v)\big|_{r=0}` for the derivative of anything along a
direction v, so that :math:`R\{g\} = H v`. We apply R to each line of the forward and the backward
pass, by the product rule. For a unit vector v that gives a column of the Hessian H exactly, without
finite differences (Pearlmutter, 1994). Several directions form one more leading axis.

The Hessian splits in two. The Gauss-Newton part :math:`⟨J^T (\mathrm{diag}\, p - p p^T) J⟩`, with J
the derivative of the logits, is what remains if the error signals themselves are set to zero; for
softmax cross-entropy it is the Fisher information. The rest is a sum of second derivatives of the
logits, weighted by the errors. In a network of ReLUs every logit is a piecewise linear function of
any *single* synapse. So the rest vanishes on the diagonal, where Hessian and Fisher are equal
almost everywhere. With tanh they differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pysi.backend import namespace
from pysi.errors import ConfigError
from pysi.layers import Dense, Dropout, Layer, ReLU, Tanh
from pysi.losses import softmax, softmax_cross_entropy
from pysi.network import Network
from pysi.typing import Array

DIRECTIONS = 64
"""How many directions are taken through the network at once."""


def slopes(layer: Layer, y: Array) -> tuple[Array, Array]:
    """Return φ'(a) and φ''(a) of an activation, written in terms of y = φ(a)."""
    if isinstance(layer, Tanh):
        slope = 1 - y * y  # tanh' = 1 - tanh²
        return slope, -2 * y * slope
    return (y > 0).astype(y.dtype), namespace(y).zeros_like(y)  # ReLU


def r_operator(net: Network, p: Array, dlogits: Array, v: Array) -> Array:
    r"""Return R{gradient} for directions v, after a forward pass of the network.

    Parameters
    ----------
    net : Network
        One network (no leading axes) of dense layers, ReLU and tanh.
    p : array, (N, K)
        The network's probabilities.
    dlogits : array, (N, K)
        ∂loss/∂logits of the mean cross-entropy; zero for the Gauss-Newton part.
    v : array, (D, P)

    Returns
    -------
    array, (D, P)
        H v, one row per direction.
    """

    def along(group: Any) -> Array:
        return v[:, group.columns].reshape(-1, *group.shape)

    # a dense layer has kept x, and an activation has kept y; dropout does nothing in tests
    layers = [
        (m.slot, m.kept) for m in net.tested.memories if not isinstance(m.slot.layer, Dropout)
    ]
    xp = namespace(v)
    Rx = xp.zeros_like(layers[0][1])  # the data do not depend on θ
    remembered = []
    for slot, kept in layers:
        remembered.append(Rx)
        if isinstance(slot.layer, Dense):
            # a = x W + b   ⇒   Ra = Rx W + x V + v_b
            W, b = slot.groups
            Rx = Rx @ W.theta + kept @ along(W) + along(b)[:, None]
        else:
            # y = φ(a)   ⇒   Ry = φ'(a) Ra
            Rx = slopes(slot.layer, kept)[0] * Rx
    # dz = (p - [j = y]) / N and Rp_j = p_j (Rz_j - Σ_k p_k Rz_k)   ⇒   Rdz = Rp / N
    dy = dlogits
    Rdy = p * (Rx - (p * Rx).sum(axis=-1, keepdims=True)) / len(p)
    result = xp.empty_like(v)
    for (slot, kept), Rx in zip(reversed(layers), reversed(remembered), strict=True):
        if isinstance(slot.layer, Dense):
            W, b = slot.groups
            # dW = xᵀ dy   ⇒   RdW = (Rx)ᵀ dy + xᵀ Rdy,   and db = Σ dy   ⇒   Rdb = Σ Rdy
            RdW = Rx.swapaxes(-1, -2) @ dy + kept.T @ Rdy
            result[:, W.columns] = RdW.reshape(len(v), -1)
            result[:, b.columns] = Rdy.sum(axis=-2)
            # dx = dy Wᵀ   ⇒   Rdx = Rdy Wᵀ + dy Vᵀ
            Rdy = Rdy @ W.theta.T + dy @ along(W).swapaxes(-1, -2)
            dy = dy @ W.theta.T
        else:
            # da = φ'(a) dy   ⇒   Rda = φ'(a) Rdy + φ''(a) Ra dy
            first, second = slopes(slot.layer, kept)
            Rdy = first * Rdy + second * Rx * dy
            dy = first * dy
    return result


def _columns(
    net: Network, x: Array, labels: Array | None, active: Array
) -> Iterator[tuple[slice, Array]]:
    """Yield ranges of unit directions, and H v for them; without labels, the Gauss-Newton part."""
    known = all(isinstance(layer, Dense | Dropout | ReLU | Tanh) for layer in net.layers)
    if net.synapses.lead or not known:
        raise ConfigError(
            "net: expected one network of dense layers with ReLU or tanh, found layers "
            f"{net.layers} with leading axes {net.synapses.lead}"
        )
    xp, logits = net.synapses.xp, net.forward(x)
    p = softmax(logits, active)
    if labels is None:
        dlogits = xp.zeros_like(p)
    else:
        _, dlogits = softmax_cross_entropy(logits, labels, active)
    size = len(net.synapses)
    for start in range(0, size, DIRECTIONS):
        stop = min(start + DIRECTIONS, size)
        v = xp.eye(stop - start, size, start, dtype=p.dtype)
        yield slice(start, stop), r_operator(net, p, dlogits, v)


def hessian(net: Network, x: Array, labels: Array, active: Array) -> Array:
    """Return the exact Hessian of the mean cross-entropy, (P, P), for small networks.

    Parameters
    ----------
    net : MLP
        One network (no leading axes) with ReLU or tanh; use float64, so that rounding stays small.
    x : ndarray, (N, features)
    labels : ndarray of int, (N,)
    active : ndarray of bool, (K,)

    Returns
    -------
    ndarray, (P, P)
        ∂²L/∂θ_i∂θ_j, in units of loss / weight². Where a ReLU's input is exactly 0, the unit counts
        as off.

    Raises
    ------
    ConfigError
        There are several networks, or layers that are not known here.

    References
    ----------
    Pearlmutter (1994), Fast exact multiplication by the Hessian, Neural Computation 6.
    """
    return net.synapses.xp.concatenate([rows for _, rows in _columns(net, x, labels, active)])


def hessian_diagonal(net: Network, x: Array, labels: Array | None, active: Array) -> Array:
    """Return the diagonal of `hessian`, (P,), without keeping the rest."""
    parts = _columns(net, x, labels, active)
    return net.synapses.xp.concatenate([rows[:, columns].diagonal() for columns, rows in parts])


def gauss_newton_diagonal(net: Network, x: Array, active: Array) -> Array:
    """Return the diagonal of the Gauss-Newton part of the Hessian, (P,), which needs no labels.

    It is computed by the R-operator with the error signals set to zero, so that its equality with
    `pysi.rules.fisher.diagonal_fisher` is a check of both.
    """
    return hessian_diagonal(net, x, None, active)


@dataclass(frozen=True)
class Correlations:
    """How closely importance follows a curvature.

    Attributes
    ----------
    pearson, pearson_root : float
        Linear correlation with the curvature, and with its square root.
    spearman : float
        Rank correlation: it is the same with the root, which does not change ranks.
    """

    pearson: float
    pearson_root: float
    spearman: float


def correlations(Omega: Array, curvature: Array) -> Correlations:
    """Return linear and rank correlations of importance Ω with a curvature and with its root.

    Parameters
    ----------
    Omega, curvature : ndarray, (P,)
        A curvature below zero (a Hessian's, away from a minimum) counts as zero.

    Returns
    -------
    Correlations

    Raises
    ------
    ConfigError
        One of the two is constant, so that no correlation is defined.
    """
    from scipy.stats import spearmanr

    curvature = np.maximum(curvature, 0)
    if np.ptp(Omega) == 0 or np.ptp(curvature) == 0:
        raise ConfigError("correlations: expected two rows that vary, found a constant one")
    return Correlations(
        float(np.corrcoef(Omega, curvature)[0, 1]),
        float(np.corrcoef(Omega, np.sqrt(curvature))[0, 1]),
        float(spearmanr(Omega, curvature).statistic),
    )
