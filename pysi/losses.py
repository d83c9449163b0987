r"""Losses: what a task asks of the network's output, and its gradient.

The paper's is softmax cross-entropy over the classes of the task at hand. With p = softmax(z) over
the active classes and y the label, the loss of one example is
:math:`-\log p_y = \log \sum_j e^{z_j} - z_y`. Its derivative is :math:`∂L/∂z_j = p_j - [j = y]`,
and the mean over the minibatch divides that by the number of examples.
"""

import numpy as np

from pysi.backend import elementwise, namespace
from pysi.errors import ConfigError


class Loss:
    """What a `pysi.Task` minimises; a task names one, by default `softmax_cross_entropy`."""

    def __call__(self, outputs, targets, active):
        """Return the mean loss of B examples, (...), and its gradient ∂loss/∂outputs.

        Parameters
        ----------
        outputs : array, (..., B, K)
            Of the network.
        targets : array, (..., B) or (..., B, K)
        active : array of bool, (K,)
            Outputs that take part; the gradient of all others is exactly zero.
        """
        raise NotImplementedError

    def score(self, outputs, targets, active):
        """Return how good each example's output is, (..., B); histories record its mean."""
        raise NotImplementedError

    def check(self, where, targets, active):
        """Raise a ConfigError, which begins with `where`, for targets that this loss cannot take."""


@elementwise
def exponentials(z, largest, label, k):
    """e^(z - max z), and z - max z of the label's class, 0 for all others."""
    z = z - largest
    z_label = np.where(label == k, z, 0)
    return np.exp(z), z_label


@elementwise
def slope(e, total, label, k, batch):
    """∂loss/∂z = (p - [k = label]) / B, with p = e / Σ e."""
    return (e / total - (label == k)) / batch


@elementwise
def cross_entropy(total, z_label, batch):
    """-log p of the label, over B: (log Σ e - z_label) / B."""
    return (np.log(total) - z_label) / batch


class SoftmaxCrossEntropy(Loss):
    """Mean cross-entropy of the labels, in nats; labels are numbers of active classes.

    Subtracting the largest active logit changes nothing mathematically and keeps exp from
    overflowing. An inactive logit becomes -inf, whose exponential is exactly zero, however large
    it was; rows of the gradient sum to zero.
    """

    def __call__(self, logits, labels, active):
        xp, batch = namespace(logits), logits.shape[-2]
        k, labels = xp.arange(logits.shape[-1]), labels[..., None]
        z, z_label = xp.where(active, logits, -xp.inf), xp.empty_like(logits)
        exponentials(z, z.max(axis=-1, keepdims=True), labels, k, out=(z, z_label))
        total = z.sum(axis=-1, keepdims=True)
        loss = cross_entropy(total[..., 0], z_label.sum(axis=-1), batch)
        return loss.sum(axis=-1), slope(z, total, labels, k, batch, out=z)

    def score(self, logits, labels, active):
        return predict(logits, active) == labels

    def check(self, where, labels, active):
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            raise ConfigError(
                f"{where}: expected whole numbers as labels, one per example, "
                f"found {labels.dtype} of shape {labels.shape}"
            )
        low, high = labels.min().item(), labels.max().item()
        if low < 0 or high >= len(active) or not active[labels].all().item():
            units = [i for i in range(len(active)) if active[i].item()]
            raise ConfigError(
                f"{where}: expected labels among the task's readout units {units} of "
                f"{len(active)}, found labels from {low} to {high}"
            )


class SquaredError(Loss):
    """Half the mean squared error of the active outputs, for regression; targets are (..., B, K).

    L = ½ Σ_k (z_k - y_k)² per example. The score is minus the mean squared error, so that larger is
    better: 0 is perfect.
    """

    def __call__(self, outputs, targets, active):
        error = (outputs - targets) * active
        return (error * error).sum(axis=(-2, -1)) / (2 * error.shape[-2]), error / error.shape[-2]

    def score(self, outputs, targets, active):
        error = (outputs - targets) * active
        return -(error * error).sum(axis=-1) / active.sum()

    def check(self, where, targets, active):
        if targets.dtype.kind != "f" or targets.shape[1:] != active.shape:
            raise ConfigError(
                f"{where}: expected floating targets of shape (examples, {len(active)}), "
                f"found {targets.dtype} of shape {targets.shape}"
            )


softmax_cross_entropy = SoftmaxCrossEntropy()
squared_error = SquaredError()


def distillation(logits, recorded, T=2.0):
    """Cross-entropy between the outputs of an old network and of this one, softened by T.

    Parameters
    ----------
    logits, recorded : array, (..., B, K)
        Of the network that learns, and of the old one.
    T : float
        Temperature; the softmax is that of logits / T.

    Returns
    -------
    loss : array, (...)
        -Σ_k σ(recorded / T)_k log σ(logits / T)_k, mean over the examples, in nats; no factor T².
    dlogits : array, (..., B, K)

    References
    ----------
    Hinton, Vinyals & Dean (2015), Distilling the knowledge in a neural network.
    """
    if not T > 0:
        raise ConfigError(f"T: expected a positive temperature, found {T}")
    p, z = softmax(recorded / T), logits / T
    z = z - z.max(axis=-1, keepdims=True)
    log_total = namespace(z).log(namespace(z).exp(z).sum(axis=-1, keepdims=True))
    batch = logits.shape[-2]
    loss = (p * (log_total - z)).sum(axis=(-2, -1)) / batch
    return loss, (softmax(z) - p) / (T * batch)


def softmax(logits, active=True):
    """Probabilities of the active classes, (..., B, K); exactly zero for all others."""
    xp = namespace(logits)
    z = xp.where(active, logits, -xp.inf)
    p = xp.exp(z - z.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return p


def predict(logits, active):
    """The most probable active class of each example, (..., B)."""
    xp = namespace(logits)
    return xp.where(active, logits, -xp.inf).argmax(axis=-1)
