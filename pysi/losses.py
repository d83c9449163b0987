r"""Losses: what a task asks of the network's output, and its gradient.

The paper's is softmax cross-entropy over the classes of the task. With p = softmax(z) over the
active classes and y the label, the loss of one example is
:math:`-\log p_y = \log \sum_j e^{z_j} - z_y`; its derivative is :math:`∂L/∂z_j = p_j - [j = y]`.
"""

import numpy as np

from pysi.arguments import Arguments
from pysi.backend import elementwise, namespace
from pysi.inputs import check_labels, check_targets
from pysi.typing import Array


class Loss(Arguments):
    """What a `pysi.Task` minimises; a task names one, by default `softmax_cross_entropy`."""

    def __call__(self, outputs: Array, targets: Array, active: Array) -> tuple[Array, Array]:
        """Return the mean loss of B examples, (...), and its gradient ∂loss/∂outputs, (..., B, K).

        `active`, (K,) of bool, marks the outputs that take part; the others' gradient is 0.
        """
        raise NotImplementedError

    def score(self, outputs: Array, targets: Array, active: Array) -> Array:
        """Return how good each example's output is, (..., B); histories record its mean."""
        raise NotImplementedError

    def check(self, where: str, targets: Array, active: Array) -> None:
        """Raise a ConfigError, which begins with `where`, for targets that the loss cannot take."""


@elementwise
def exponentials(z, largest, label, k):
    """Return e^(z - max z), and z - max z where the class is the label, 0 elsewhere."""
    z = z - largest
    z_label = np.where(label == k, z, 0)
    return np.exp(z), z_label


@elementwise
def slope(e, total, label, k, batch):
    """Return ∂loss/∂z = (p - [k = label]) / B, with p = e / Σ e."""
    return (e / total - (label == k)) / batch


@elementwise
def cross_entropy(total, z_label, batch):
    """Return -(log p of the label) / B = (log Σ e - z_label) / B."""
    return (np.log(total) - z_label) / batch


class SoftmaxCrossEntropy(Loss):
    """Mean cross-entropy of the labels, in nats; labels are numbers of active classes.

    Subtracting the largest active logit changes nothing and keeps exp from overflowing. An inactive
    logit becomes -inf, whose exponential is exactly zero. Rows of the gradient sum to zero.
    """

    def __call__(self, logits: Array, labels: Array, active: Array) -> tuple[Array, Array]:
        xp, batch = namespace(logits), logits.shape[-2]
        k, labels = xp.arange(logits.shape[-1]), labels[..., None]
        z, z_label = xp.where(active, logits, -xp.inf), xp.empty_like(logits)
        exponentials(z, z.max(axis=-1, keepdims=True), labels, k, out=(z, z_label))
        total = z.sum(axis=-1, keepdims=True)
        loss = cross_entropy(total[..., 0], z_label.sum(axis=-1), batch)
        return loss.sum(axis=-1), slope(z, total, labels, k, batch, out=z)

    def score(self, logits: Array, labels: Array, active: Array) -> Array:
        return predict(logits, active) == labels

    def check(self, where: str, labels: Array, active: Array) -> None:
        check_labels(where, labels, active)


class SquaredError(Loss):
    """Half the squared error, ½ Σ_k (z_k - y_k)², averaged over examples: for regression.

    Targets are (..., B, K). The score is minus the mean squared error: 0 is perfect.
    """

    def __call__(self, outputs: Array, targets: Array, active: Array) -> tuple[Array, Array]:
        targets = namespace(outputs).asarray(targets, dtype=outputs.dtype)
        error, batch = (outputs - targets) * active, outputs.shape[-2]
        return (error * error).sum(axis=(-2, -1)) / (2 * batch), error / batch

    def score(self, outputs: Array, targets: Array, active: Array) -> Array:
        return -(((outputs - targets) * active) ** 2).sum(axis=-1) / active.sum()

    def check(self, where: str, targets: Array, active: Array) -> None:
        check_targets(where, targets, active)


softmax_cross_entropy = SoftmaxCrossEntropy()
squared_error = SquaredError()


def softmax(logits: Array, active: Array | bool = True) -> Array:
    """Return the probabilities of the active classes, (..., B, K); exactly zero for all others."""
    xp = namespace(logits)
    z = xp.where(active, logits, -xp.inf)
    p = xp.exp(z - z.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return p


def predict(logits: Array, active: Array | bool) -> Array:
    """Return the most probable active class of each example, (..., B)."""
    xp = namespace(logits)
    return xp.where(active, logits, -xp.inf).argmax(axis=-1)
