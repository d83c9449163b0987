"""Eqs. 1 to 3 on real networks, and where ω comes from: the rows of `claims` about training.

Rows about minibatches compare means over 64 independent networks. Their tolerance is five standard
errors of measured minus predicted.
"""

from collections.abc import Iterator
from math import exp, lgamma, sqrt
from typing import Any

import numpy as np
from numpy.random import Generator as Random

from pysi.backend import to_host
from pysi.descent import Momentum
from pysi.losses import softmax_cross_entropy
from pysi.network import MLP
from pysi.optim import SGD, Adam, Optimizer
from pysi.rules.si import SynapticIntelligence
from pysi.synapses import Synapses
from pysi.tasks import Task
from pysi.theory import ledger, paths
from pysi.theory.checks import Check, compare
from pysi.training import shuffled, update
from pysi.typing import Array, Device, Seeds

NETWORKS = range(64)
"""Seeds of the networks whose mean is taken."""


def example(rng: Random, xp: Device, activation: str = "tanh", seed: Seeds = 0) -> tuple[Any, ...]:
    """Return a small network, or several, and random data for it: (net, x, labels, active)."""
    net = MLP((5, 6, 4, 3), activation=activation, seed=seed, dtype=np.float64, xp=xp)
    labels = rng.integers(0, 3, 60)
    x = rng.standard_normal((60, 5)) + np.eye(3, 5)[labels]
    return net, xp.asarray(x), xp.asarray(labels), xp.ones(3, bool)


def path_integrals(rng: Random, xp: Device) -> Iterator[Check]:
    """Check Eqs. 1 to 3 on a real network."""
    net, x, labels, active = example(rng, xp)
    s, h = net.synapses, 1e-6
    loss, dlogits = softmax_cross_entropy(net.forward(x), labels, active)
    net.backward(dlogits)
    delta = xp.asarray(h * rng.standard_normal(len(s)))
    predicted = (s.grad * delta).sum()
    s.theta[...] += delta
    after, _ = softmax_cross_entropy(net.forward(x), labels, active)
    s.theta[...] -= delta
    # the error is ½ δᵀHδ, of relative size h, and the rounding of the loss, of size ε/h
    yield compare("1", "loss change of one small step: g·δ", predicted, after - loss, 1e-4)

    start = s.theta.copy()
    omega, drop = paths.gradient_flow(net, x, labels, active, time=1.0, steps=40, levels=5)
    # five levels of Richardson leave an error of order η⁵, η = 1/40
    yield compare("2, 3", "Σω of gradient flow = loss drop", drop, omega.sum(), 1e-6)

    errors = []
    for refine in (1, 2):
        net.synapses.theta[...] = start
        path = paths.record(net, SGD(0.02 / refine), x, labels, active, 50 * refine)
        errors.append((path.omega.sum() - path.drop).item())
    # the error is a η (1 + O(η)): the ratio is 2 up to the next order
    yield compare("3", "half the step, half the error of Σω", 2.0, errors[0] / errors[1], 0.05)

    net, x, labels, active = example(rng, xp, seed=range(64))
    path = paths.record(net, SGD(0.05), x, labels, active, 40, batch_size=8)
    bias: Any = path.bias  # an array, because the optimizer is SGD
    measured = to_host((path.omega - path.omega_full).sum(axis=-1))
    predicted = to_host(bias.sum(axis=-1))
    # a mean over independent networks: five standard errors of measured minus predicted
    noise = (measured - predicted).std(ddof=1) / np.sqrt(len(measured))
    yield compare(
        "3",
        "minibatch noise overestimates Σω by Σ η tr C",
        predicted.mean(),
        measured.mean(),
        5 * noise / predicted.mean(),
    )


def means(equation: str, what: str, predicted: Array, measured: Array) -> Check:
    """Return the row for the means of independent values, whose tolerance is their noise."""
    predicted, measured = to_host(predicted), to_host(measured)
    noise = (measured - predicted).std(ddof=1) / np.sqrt(len(measured))
    mean = predicted.mean()
    return compare(equation, what, mean, measured.mean(), 5 * noise / abs(mean))


def ledgers(rng: Random, xp: Device) -> Iterator[Check]:
    """Check what ω of a real run is made of: its ledger, beside the predictions."""
    net, x, labels, active = example(rng, xp, seed=NETWORKS)
    x, labels, active = to_host(x), to_host(labels), to_host(active)
    task, start = Task("example", x, labels, x, labels, active), net.synapses.theta.copy()

    def sums(optimizer: Optimizer) -> dict[str, Array]:
        net.synapses.theta[...] = start
        rule = SynapticIntelligence(0.0)
        return ledger.keep(net, optimizer, rule, task, steps=24, batch_size=8).steps.totals()

    found = sums(Adam(0.01))
    terms = ("drop", "discretisation", "noise", "memory")
    omega = net.synapses.omega.sum(axis=-1)
    yield compare("3", "Σω of Adam: its ledger adds up", sum(found[term] for term in terms), omega)
    # what is left is of the third order of the step: relative to the second, of the first
    yield compare(
        "3",
        "discretisation in it: ½ Σ ΔᵀHΔ",
        found["expected_discretisation"],
        found["discretisation"],
        0.02,
    )
    # within an epoch, the examples of a step are missing from later minibatches: this gives an
    # excess of order η², which a small η keeps below the noise of the mean
    found = sums(SGD(0.005))
    yield means("3", "noise in it, for SGD: Σ η tr C", found["expected_noise"], found["noise"])
    found = sums(Momentum(0.005))
    yield means("3", "memory in it, for momentum", found["expected_memory"], found["memory"])


def second_minibatch(rng: Random, xp: Device) -> Iterator[Check]:
    """Check what an independent second minibatch gives for the same steps."""
    net, x, labels, active = example(rng, xp, seed=NETWORKS)
    s, n, rule, optimizer = net.synapses, len(labels), SynapticIntelligence(0.0), Momentum(0.01)
    rule.start(s)
    optimizer.start(s)

    def gradient(examples: Any) -> Array:
        _, dlogits = softmax_cross_entropy(net.forward(x[examples]), labels[examples], active)
        net.backward(dlogits)
        return s.grad.copy()

    full, second, bias, carried_full, carried = (s.zeros() for _ in range(5))
    for step in range(24):
        theta = s.theta.copy()
        G = gradient(slice(None))
        other = gradient(shuffled(net, n, "second", step)[..., :8])
        g = gradient(shuffled(net, n, "first", step)[..., :8])
        update(s, optimizer, rule)
        delta = s.theta - theta
        memory = delta + optimizer.lr * g
        full -= G * delta
        second -= other * delta
        bias -= (g - other) * delta
        carried_full -= G * memory
        carried -= g * memory
    sums = [row.sum(axis=-1) for row in (full, second, carried_full, carried)]
    yield compare("3", "SI = SIU + SIB", second + bias, s.omega)
    yield means("3", "SIU, with a second minibatch: -G·Δ", *sums[:2])
    yield means("3", "ω_carried has no bias: -G·Δ_carried", *sums[2:])


def adam_parts(rng: Random, xp: Device) -> Iterator[Check]:
    """Check the two parts of Adam's step, and ω_own for noise that does not change."""
    synapses, steps = Synapses({"a": (4000,)}, dtype=np.float64, xp=xp), 400
    rule, adam = SynapticIntelligence(0.0), Adam(1e-3, betas=(0.9, 0.9999))
    rule.start(synapses)
    adam.start(synapses)
    sigma = np.exp(rng.uniform(-3, 3, len(synapses)))
    own, expected = synapses.zeros(), 0.0
    for t in range(1, steps + 1):
        synapses.grad[...] = xp.asarray(sigma * rng.standard_normal(len(synapses)))
        theta, M = synapses.theta.copy(), adam.M.copy()
        update(synapses, adam, rule)
        rate, decay = ledger.own_rate(adam)
        own += rate * synapses.grad**2
        # v̂ is nearly the plain mean of t squares: the mean of its root is that of χ_t over √t
        root = sqrt(2 / t) * exp(lgamma((t + 1) / 2) - lgamma(t / 2))
        expected += adam.lr * (1 - decay) / (1 - decay**t) * root
    yield compare(
        "3",
        "Adam: Δ = own + carried = -r g - r β₁ M",
        -rate * (synapses.grad + decay * M),
        synapses.theta - theta,
    )
    measured = to_host(own) / sigma
    yield means("3", "Adam, pure noise: ω_own = Σ a √⟨g²⟩", 0 * measured + expected, measured)
