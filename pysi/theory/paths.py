r"""Path integrals on real networks (Eqs. 1 to 3), measured step by step.

For a small step δ the loss changes by g·δ (Eq. 1). Added up along a path this becomes the line
integral of the gradient. It is the difference in loss between the ends, however the path winds
(Eq. 2), and it splits into one number per synapse (Eq. 3):

.. math:: L(θ(t_0)) - L(θ(t_1)) = \sum_k ω_k, \qquad ω_k = -\int g_k \, dθ_k .

A training run only has a sum over finite steps. `record` makes a real run and keeps three such
sums for the *same* steps Δθ, which separate two errors:

- `omega` takes the gradient of the minibatch, as Synaptic Intelligence does;
- `omega_full` takes the gradient of all examples at the start of the step. It misses
  :math:`\frac12 Δθ^T H Δθ` of every step: an error of first order in the step size;
- `omega_trapezoid` takes the mean of that gradient at both ends of the step: second order.

**Minibatch noise overestimates.** Let :math:`\hat g` be a minibatch's mean gradient, with mean g
and covariance C. For gradient descent, Δθ = -η ĝ, the first two sums differ in one step by
:math:`η \hat g_k^2 - η g_k \hat g_k`, on average :math:`η C_{kk}`, because the same noise is in the
gradient and in the step. Summed over the steps at fixed training time (η × steps), this difference
tends to a time integral of C: a smaller η does not remove it. For B of N examples drawn without
replacement,

.. math:: C_{kk} = \frac1B \, \frac{N - B}{N - 1} \, \bigl(⟨g_k^2⟩ - ⟨g_k⟩^2\bigr)

with means over all N examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pysi.arguments import is_whole
from pysi.errors import ConfigError
from pysi.losses import softmax_cross_entropy
from pysi.network import Network
from pysi.optim import SGD, Optimizer
from pysi.rules.fisher import squared_gradients
from pysi.rules.si import SynapticIntelligence
from pysi.training import shuffled, update
from pysi.typing import Array


@dataclass(frozen=True)
class Path:
    """The measurements along one training run: rows are (..., P), losses (...).

    Attributes
    ----------
    omega : array
        Minibatch gradient times step, as in Synaptic Intelligence (Eq. 3).
    omega_full : array
        The same sum with the gradient of all examples at the start of each step.
    omega_trapezoid : array
        The same sum with the mean of that gradient at the start and at the end of each step.
    bias : array or None
        Predicted mean of omega - omega_full, Σ_t η C_kk; None if the optimizer is not `SGD`.
    drop : array
        True loss at the start minus true loss at the end, over all examples.
    """

    omega: Array
    omega_full: Array
    omega_trapezoid: Array
    bias: Array | None
    drop: Array


def covariance_diagonal(net: Network, dlogits: Array, batch_size: int) -> Array:
    """Return the variance C_kk of the mean gradient of a minibatch drawn without replacement.

    Parameters
    ----------
    net : Network
        After a forward and a backward pass over all N examples.
    dlogits : array, (..., N, K)
        ∂loss/∂logits of their mean loss.
    batch_size : int

    Returns
    -------
    array, (..., P)
    """
    n = dlogits.shape[-2]
    if batch_size == n:
        return net.synapses.zeros()
    variance = squared_gradients(net, n * dlogits) / n - net.synapses.grad**2
    return variance / batch_size * (n - batch_size) / (n - 1)


def record(
    net: Network, optimizer: Optimizer, x: Array, labels: Array, active: Array, steps: int, *,
    batch_size: int | None = None,
) -> Path:  # fmt: skip
    """Train for some steps, and measure what every synapse contributed.

    Parameters
    ----------
    net : Network
        It is trained from its present weights, without dropout; its table's ω and θ̃ begin anew.
        Several networks are trained side by side.
    optimizer : Optimizer
    x : array, (N, features)
    labels : array of int, (N,)
    active : array of bool, (K,)
    steps : int
    batch_size : int, optional
        By default, all examples. Every minibatch is a fresh draw of different examples, so that the
        mean of its gradient is the true gradient, whatever came before. Every call begins with the
        same draws: a longer run from the same weights begins like a shorter one.

    Returns
    -------
    Path

    Raises
    ------
    ConfigError
        The batch size is not from 1 to N, or `steps` is not a whole number from 0.
    """
    n, s = len(labels), net.synapses
    if batch_size is not None and not (is_whole(batch_size) and batch_size <= n):
        raise ConfigError(f"batch_size: expected 1 to {n} examples, found {batch_size!r}")
    if steps != 0 and not is_whole(steps):
        raise ConfigError(f"steps: expected a whole number from 0, found {steps!r}")
    rule = SynapticIntelligence(0.0)
    rule.start(s)
    optimizer.start(s)

    def gradient(x: Array, labels: Array) -> tuple[Array, Array]:
        loss, dlogits = softmax_cross_entropy(net.forward(x), labels, active)
        net.backward(dlogits)
        return loss, dlogits

    full, trapezoid = s.zeros(), s.zeros()
    bias = s.zeros() if isinstance(optimizer, SGD) else None
    first, dlogits = gradient(x, labels)
    last = first
    for step in range(steps):
        theta, g = s.theta.copy(), s.grad.copy()
        if batch_size is not None:
            if bias is not None:
                bias += optimizer.lr * covariance_diagonal(net, dlogits, batch_size)
            batch = shuffled(net, n, "path", step)[..., :batch_size]
            gradient(x[batch], labels[batch])
        update(s, optimizer, rule)
        delta = s.theta - theta
        last, dlogits = gradient(x, labels)
        full -= g * delta
        trapezoid -= (g + s.grad) / 2 * delta
    return Path(s.omega.copy(), full, trapezoid, bias, first - last)


def richardson(values: Sequence) -> Any:
    r"""Extrapolate to step size zero from results at steps h, h/2, h/4, … (Richardson, 1911).

    If :math:`A(h) = A + a_1 h + a_2 h^2 + …`, then :math:`2 A(h/2) - A(h)` has no term in h, and
    repeating it with 4, 8, … in place of 2 removes one power after the other:
    :math:`A ← (2^p A(h/2) - A(h)) / (2^p - 1)`.

    Parameters
    ----------
    values : sequence of array
        One or more results, each at half the step of the one before.

    Returns
    -------
    array
        The extrapolation, shaped like one of the values; n values leave an error of order hⁿ.

    Examples
    --------
    >>> float(richardson([5.0 + h + h**2 for h in (1, 0.5, 0.25)]))
    5.0
    """
    values, power = list(values), 2
    while len(values) > 1:
        pairs = zip(values[:-1], values[1:], strict=True)
        values = [(power * fine - coarse) / (power - 1) for coarse, fine in pairs]
        power *= 2
    return values[0]


def gradient_flow(
    net: Network, x: Array, labels: Array, active: Array, time: float, steps: int, *,
    levels: int = 4,
) -> tuple[Array, Array]:  # fmt: skip
    """Return ω and the loss drop of the flow dθ/dt = -g, extrapolated from gradient descent.

    Gradient descent with η = time / steps is Euler's method for the flow. Its results are a power
    series in η, if the loss is smooth: use tanh, not ReLU.

    Parameters
    ----------
    net : Network
        The flow starts at its present weights; it is left at the end of the finest run.
    x, labels, active
        As for `record`.
    time : float
        Duration of the flow, in units of η × steps.
    steps : int
        Number of steps of the coarsest run; each further level takes twice as many.
    levels : int
        Number of runs.

    Returns
    -------
    omega : array, (..., P)
    drop : array, (...)
        Equal to the sum of omega, up to the error of the extrapolation (Eq. 3).
    """
    start, paths = net.synapses.theta.copy(), []
    for level in range(levels):
        net.synapses.theta[...] = start
        n = steps * 2**level
        paths.append(record(net, SGD(time / n), x, labels, active, n))
    omega = richardson([path.omega_full for path in paths])
    return omega, richardson([path.drop for path in paths])
