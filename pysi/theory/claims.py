"""Every equation of Sections 3 and 4, computed twice: as predicted and as measured.

Each small function here belongs to one equation, or to a few together, and yields its rows of the
table that `pysi theory` prints. Where the two numbers can only agree up to a discretisation or a
sample, the tolerance says so; everywhere else it is what rounding in float64 leaves.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.random import Generator as Random

from pysi.backend import to_host
from pysi.losses import softmax_cross_entropy
from pysi.optim import SGD
from pysi.rules.fisher import diagonal_fisher
from pysi.rules.si import SynapticIntelligence
from pysi.synapses import Synapses
from pysi.theory import curvature, importance, normalization
from pysi.theory.checks import Check, compare
from pysi.theory.path_claims import (
    adam_parts,
    example,
    ledgers,
    path_integrals,
    second_minibatch,
)
from pysi.theory.quadratic import Quadratic, random_hessian
from pysi.theory.surrogate import joint_minima, surrogate
from pysi.training import update
from pysi.typing import Device


def surrogates(rng: Random, xp: Device) -> Iterator[Check]:
    """Check Eqs. 4 and 5; Eq. 5 also in a table of synapses."""
    start, end, omega = rng.standard_normal((3, 6))
    stand_in = surrogate(start, end, abs(omega))
    yield compare(
        "5", "the surrogate's drop, synapse by synapse: ω", abs(omega), stand_in.drops(start)
    )
    new = Quadratic(random_hessian(rng.uniform(0.1, 2, 6), rng), rng.standard_normal(6))
    h = rng.uniform(0.1, 2, 6)
    old = Quadratic(random_hessian(h, rng, "axes"), rng.standard_normal(6))
    joint, consolidated = joint_minima(old, new, start)
    yield compare("4", "two tasks at c = 1, diagonal H: joint minimum", joint, consolidated)

    synapses = Synapses({"a": (6,)}, dtype=np.float64, xp=xp)
    rule, optimizer = SynapticIntelligence(1.0, xi=0.0), SGD(0.3)
    synapses.theta[...] = xp.asarray(start)
    rule.start(synapses)
    for _ in range(30):
        synapses.grad[...] = xp.asarray(old.gradient(to_host(synapses.theta)))
        update(synapses, optimizer, rule)
    rule.end_task()
    yield compare(
        "5",
        "Ω in the table after 30 steps: (h/2)/(1-ηh/2)·…",
        normalization.Omega_descent(h, 0.3, 30),
        synapses.Omega,
    )


def flow(rng: Random) -> Iterator[Check]:
    """Check Eqs. 6 to 9."""
    E = Quadratic(random_hessian(rng.uniform(0, 2, 8), rng), rng.standard_normal(8))
    start, h = rng.standard_normal(8), 1e-5
    v = rng.standard_normal(8)
    slope = (E.value(start + h * v) - E.value(start - h * v)) / (2 * h)
    yield compare("6", "gradient of E along a direction", E.gradient(start) @ v, slope, 1e-8)
    t = np.array([0.1, 1.0, 3.0])
    # Eq. 7 by central differences of Eq. 8, with errors of size h² and ε/h
    moved = (E.flow(start, t + h) - E.flow(start, t - h)) / (2 * h)
    yield compare("7, 8", "the flow moves along -g", -E.gradient(E.flow(start, t)), moved, 1e-8)
    yield compare("9", "its velocity", E.velocity(start, t), moved, 1e-8)
    errors = [abs(E.descend(start, 1 / n, n)[-1] - E.flow(start, 1.0)).max() for n in (2000, 4000)]
    yield compare(
        "8", "half the step, half the way from descent to flow", 2.0, errors[0] / errors[1], 1e-2
    )


def Q_matrices(rng: Random) -> Iterator[Check]:
    """Check Eqs. 10 to 12."""
    eigenvalues = np.r_[0.0, 0.7, 0.7, rng.uniform(0.2, 2, 5)]  # free, degenerate, and plain modes
    H, d = random_hessian(eigenvalues, rng), rng.standard_normal(8)
    E = Quadratic(H, np.zeros(8))
    path = E.descend(d, 0.2, 500)
    summed = importance.Q_sum(path, E.gradient(path[:-1]))
    # after 500 steps (1 - 0.2 · 0.2)^1000 of the sum is missing, less than rounding
    yield compare(
        "10", "Q summed along descent = its closed form", importance.Q_descent(H, d, 0.2), summed
    )
    Q = importance.Q_flow(H, d)
    yield compare(
        "11", "Q in eigenmodes = Q by Lyapunov's equation", Q, importance.Q_lyapunov(H, d)
    )
    yield compare(
        "11",
        "the same for descent, η = 0.2",
        importance.Q_descent(H, d, 0.2),
        importance.Q_lyapunov(H, d, 0.2),
    )
    yield compare("11", "trace of Q = loss drop", E.value(d), np.trace(Q))
    gaps = [abs(importance.Q_descent(H, d, lr) - Q).max() for lr in (2e-4, 1e-4)]
    yield compare(
        "11", "half the step, half the way from descent to flow", 2.0, gaps[0] / gaps[1], 1e-3
    )
    n, sigma = 20_000, 1.3
    measured = importance.Q_monte_carlo(H, sigma, n, rng)
    predicted = importance.Q_mean(H, sigma)
    # six exact standard deviations, for 36 different entries
    spread = np.sqrt(importance.Q_variance(H, sigma) / n).max()
    yield compare(
        "12", f"⟨Q⟩ over {n} starts = ½σ²H", predicted, measured, 6 * spread / abs(predicted).max()
    )


def special_cases(rng: Random) -> Iterator[Check]:
    """Check Eqs. 13 and 14, where the printed text differs."""
    h, d = rng.uniform(0.1, 2, 5), rng.standard_normal(5)
    H = np.diag(h)
    yield compare(
        "13",
        "diagonal H: Q = ½ d² H (printed without the ½)",
        0.5 * d**2 * h,
        np.diag(importance.Q_flow(H, d)),
    )
    yield compare("13", "diagonal H: Ω = ½ H", h / 2, normalization.Omega_per_parameter(H, d))
    R = random_hessian([0, 0, 0, 0, 1.7], rng)
    yield compare(
        "14", "rank one: Q = ½ d₁² H", importance.Q_rank_one(R, d), importance.Q_flow(R, d)
    )
    yield compare(
        "14",
        "rank one, Eq. 5: Ω_k = ½ λ₁ for every k (text: ½ H_kk)",
        1.7 / 2,
        normalization.Omega_per_parameter(R, d),
        1e-6,
    )
    yield compare(
        "14",
        "rank one, over the whole movement: ½ H_kk",
        np.diag(R) / 2,
        normalization.Omega_whole_movement(R, d),
    )
    low = random_hessian([0, 0, 0.5, 1.0, 1.7], rng)
    modes, u = np.linalg.eigh(low)
    projector = u[:, 2:] @ u[:, 2:].T
    yield compare(
        "12, 5",
        "low rank: ⟨Q_kk⟩/⟨Δ_k²⟩ = ½ H_kk / Π_kk",
        np.diag(low) / 2 / np.diag(projector),
        normalization.ratio_of_means(low),
    )


def endpoint_curvature(rng: Random, xp: Device) -> Iterator[Check]:
    """Check the last paragraph of Section 4, in an exact form."""
    net, x, labels, active = example(rng, xp, "relu")
    yield compare(
        "Sec. 4",
        "ReLU network: Hessian diagonal = Fisher diagonal",
        diagonal_fisher(net, x, active),
        curvature.hessian_diagonal(net, x, labels, active),
    )
    net, x, labels, active = example(rng, xp, "tanh")
    fisher = diagonal_fisher(net, x, active)
    yield compare(
        "Sec. 4",
        "tanh network: Gauss-Newton diagonal = Fisher diagonal",
        fisher,
        curvature.gauss_newton_diagonal(net, x, active),
    )
    exact = curvature.hessian_diagonal(net, x, labels, active)
    s, h, differences = net.synapses, 1e-5, []
    for k in range(len(s)):
        slopes = []
        for step in (h, -2 * h):
            s.theta[k] += step
            _, dlogits = softmax_cross_entropy(net.forward(x), labels, active)
            net.backward(dlogits)
            slopes.append(s.grad[k].item())
        s.theta[k] += h
        differences.append((slopes[0] - slopes[1]) / (2 * h))
    yield compare(
        "Sec. 4", "tanh network: Hessian diagonal = finite differences", exact, differences, 1e-7
    )


PARTS: tuple[Callable[..., Iterator[Check]], ...] = (
    path_integrals, ledgers, second_minibatch, adam_parts,
    surrogates, flow, Q_matrices, special_cases, endpoint_curvature,
)  # fmt: skip
CLOSED_FORMS = (flow, Q_matrices, special_cases)
"""Checks without synapses: they use NumPy and SciPy, whatever the device."""


def run(seed: int = 0, xp: Device = np) -> list[Check]:
    """Return all checks, in the order of the paper; networks and tables are arrays of `xp`.

    All random numbers depend on the seed alone.
    """
    where = {part: () if part in CLOSED_FORMS else (xp,) for part in PARTS}
    return [c for part in PARTS for c in part(np.random.default_rng(seed), *where[part])]
