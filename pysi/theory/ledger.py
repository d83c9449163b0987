r"""The ledger: what the path integral ω of a real run is made of, step by step.

A step Δ changes the true loss L, the mean over all examples, from L(θ) to L(θ + Δ). Let G be the
gradient of L at θ, and g that of the minibatch. Then, as an identity,

.. math:: -g \cdot Δ = \underbrace{L(θ) - L(θ + Δ)}_{\text{drop}}
    + \underbrace{-G \cdot Δ - \bigl(L(θ) - L(θ + Δ)\bigr)}_{\text{discretisation}}
    + \underbrace{-(g - G) \cdot Δ^{own}}_{\text{noise}}
    + \underbrace{-(g - G) \cdot Δ^{carried}}_{\text{memory}} .

The step is split in two. :math:`Δ^{own} = -r\,g` is the part that is linear in this minibatch's
own gradient, at the rate r of each synapse (`own_rate`), and the optimizer's moments carry the rest
over from earlier minibatches. Three of the terms can be predicted:

- discretisation by the trapezoid rule, :math:`\frac12 (G(θ+Δ) - G(θ)) \cdot Δ ≈ \frac12 Δ^T H Δ`;
- noise by the variance :math:`C_{kk}` of a minibatch's mean gradient, :math:`\sum_k r_k C_{kk}`;
  where r depends on g², it is taken at the mean, :math:`⟨g_k^2⟩ = G_k^2 + C_{kk}`;
- memory by the covariance of two minibatches of one epoch. They have no example in common, so their
  covariance is not zero but :math:`-σ_k^2 / (N - 1)`, with the variance σ² over the N examples.

A second minibatch that is independent of the present one does not contain its noise. So the mean
that it would give is -G·Δ, and noise + memory is the bias of ω.
"""

from collections.abc import Iterator
from itertools import islice
from math import sqrt
from typing import Any

from pysi.arguments import refuse, whole
from pysi.backend import namespace
from pysi.descent import Adagrad, Momentum
from pysi.errors import ConfigError
from pysi.history import Step
from pysi.layers import Dropout
from pysi.network import Network
from pysi.optim import SGD, Adam, Optimizer
from pysi.rules.fisher import batches, check_layers, squared_gradients
from pysi.rules.rule import Rule
from pysi.tasks import Task
from pysi.theory.account import Account, Ledger
from pysi.threads import computing
from pysi.training import Run
from pysi.typing import Array

SPLIT = (SGD, Momentum, Adagrad, Adam)
"""Optimizers for which the part of a step that is linear in the minibatch's gradient is known."""
CHUNK = 2000
"""How many examples are evaluated at a time: this bounds the memory, and changes nothing else."""


def root(squares: Array) -> Array:
    """Return the square root; sums of squares may be a little below 0, by rounding."""
    xp = namespace(squares)
    return xp.sqrt(xp.maximum(squares, 0))


def own_rate(optimizer: Optimizer, excess: Any = 0) -> tuple[Any, float]:
    """Return the rate r of the newest step, Δ_own = -r g, and its decay from step to step.

    Parameters
    ----------
    optimizer : SGD, Momentum, Adagrad or Adam
    excess : array, (..., P), optional
        Added to the present g² in the sum of squares by which Adagrad and Adam divide.

    Returns
    -------
    rate : float or array, (..., P)
    decay : float
        The gradient of j steps ago is in the step with the weight -r decayʲ.
    """
    if isinstance(optimizer, SGD):
        return optimizer.lr, 0.0
    if isinstance(optimizer, Momentum):
        return optimizer.lr, optimizer.momentum
    if isinstance(optimizer, Adagrad):
        return optimizer.lr / (root(optimizer.G + excess) + optimizer.eps), 0.0
    adam: Any = optimizer
    (beta1, beta2), t = adam.betas, adam.t
    a = adam.lr * (1 - beta1) / (1 - beta1**t)
    b = sqrt((1 - beta2) / (1 - beta2**t))
    return a / (b * root(adam.V + excess) + adam.eps), beta1


def evaluate(net: Network, task: Task) -> tuple[Array, Array, Array]:
    """Return the loss over all training examples, its gradient G, and the examples' variance σ².

    It overwrites `grad`.

    Returns
    -------
    loss : array, (...)
    gradient, variance : array, (..., P)
        Mean and variance, over the examples, of the gradient of one example's loss.
    """
    s, (x, targets) = net.synapses, task.part("train")
    n, loss = len(targets), s.xp.zeros(s.lead, s.dtype)
    gradient, squares = s.zeros(), s.zeros()
    for part, shown in batches(net, x, CHUNK):
        size = len(targets[part])
        mean, dlogits = task.loss(net.forward(shown), targets[part], task.active)
        net.backward(dlogits)
        loss += mean * (size / n)
        gradient += s.grad * (size / n)
        squares += squared_gradients(net, size * dlogits) / n
    return loss, gradient, squares - gradient**2


def check(net: Network, optimizer: Optimizer, rule: Rule) -> None:
    """Raise a ConfigError if no ledger can be kept for this network, optimizer and rule."""
    check_layers(net)
    if not isinstance(optimizer, SPLIT):
        names = ", ".join(kind.__name__ for kind in SPLIT)
        raise refuse("optimizer", f"one whose steps can be split ({names})", optimizer)
    if any(isinstance(layer, Dropout) for layer in net.layers):
        raise ConfigError(
            "layers: expected no Dropout, whose noise has no entry in the ledger, found one; "
            "make the network without it"
        )
    if type(rule).modulate is not Rule.modulate or not rule.separate:
        raise refuse("rule", "one that leaves the task's g and the optimizer's step alone", rule)


def keep(
    net: Network, optimizer: Optimizer, rule: Rule, task: Task, *, steps: int, batch_size: int
) -> Ledger:
    """Train on a task as `pysi.train` does, and keep a ledger of every step.

    After each step all of the task's training examples are evaluated, which changes nothing in the
    run. It stops after the given steps, before the rule's `end_task`: ω is still in the table.

    Parameters
    ----------
    net : Network
        It is trained from where it stands, without dropout. Several networks are trained side by
        side.
    optimizer : SGD, Momentum, Adagrad or Adam
    rule : Rule
        Its penalty, if it has one, counts as carried, because it is not linear in g.
    task : Task
    steps, batch_size : int
        As many epochs are begun as the steps need.

    Returns
    -------
    Ledger

    Raises
    ------
    ConfigError
        An argument is not fit for `pysi.train`; or the network has dropout, or the steps cannot be
        split, because another optimizer makes them or the rule changes them.
    """
    check(net, optimizer, rule)
    steps = whole("steps", steps)
    run = Run(net, optimizer, rule, [task], epochs=steps, batch_size=batch_size)
    rows: dict[str, Array] = {}
    sums: dict[str, list[Array]] = {}
    with computing(net, run.batch_size):
        for by_synapse, in_all in islice(entries(run), steps):
            rows = {name: rows.get(name, 0) + row for name, row in by_synapse.items()}
            for name, total in in_all.items():
                sums.setdefault(name, []).append(total)
    history = {name: net.synapses.xp.stack(values, axis=-1) for name, values in sums.items()}
    return Ledger(Account(**history), Account(**rows))


def entries(run: Run) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
    """Train, and yield the entries of every step: by synapse, (..., P), and their sums, (...)."""
    net, s, task = run.net, run.net.synapses, run.tasks[0]
    n, theta = len(task.y_train), s.theta.copy()
    loss, G, variance = evaluate(net, task)
    for event in run.learn():
        if not isinstance(event, Step):
            continue
        delta, g, size = s.theta - theta, s.grad.copy(), run.rule.examples.shape[-1]
        rate, decay = own_rate(run.optimizer)
        own = -rate * g
        between = variance / max(n - 1, 1)  # minus the covariance of two disjoint minibatches
        noise = between * ((n - size) / size)
        expected, _ = own_rate(run.optimizer, G**2 + noise - g**2)
        # how much of the epoch's earlier minibatches is left in the step
        left = sum(decay**j for j in range(1, event.step))
        old_loss, old_G = loss, G
        theta[...] = s.theta
        loss, G, variance = evaluate(net, task)
        bend = (G - old_G) / 2 * delta
        rows = {
            "omega": -g * delta,
            "own": -g * own,
            "drop": -(old_G + G) / 2 * delta,
            "discretisation": bend,
            "noise": (old_G - g) * own,
            "memory": (old_G - g) * (delta - own),
            "expected_discretisation": bend,
            "expected_noise": expected * noise,
            "expected_memory": expected * between * -left,
        }
        sums = {name: row.sum(axis=-1) for name, row in rows.items()}
        drop = old_loss - loss
        sums |= {"drop": drop, "discretisation": -(old_G * delta).sum(axis=-1) - drop}
        yield rows, sums
