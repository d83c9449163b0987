r"""The loss: softmax cross-entropy over the classes of the task at hand.

With p = softmax(z) over the active classes and y the label, the loss of one example is
:math:`-\log p_y = \log \sum_j e^{z_j} - z_y`. Its derivative is :math:`∂L/∂z_j = p_j - [j = y]`,
and the mean over the minibatch divides that by the number of examples.
"""

from pysi.backend import namespace
from pysi.fusion import fused


def softmax_cross_entropy(logits, labels, active):
    """Mean cross-entropy of the labels, and its gradient with respect to the logits.

    Parameters
    ----------
    logits : array, (..., B, K)
        Readout of B examples.
    labels : array of int, (..., B)
        Each the number of an active class (tasks check it; this function is inside the step).
    active : array of bool, (K,)
        Classes that take part. All others have probability zero.

    Returns
    -------
    loss : array, (...)
        Mean over the B examples, in nats.
    dlogits : array, (..., B, K)
        ∂loss/∂logits. Rows sum to zero; entries of inactive classes are exactly zero.

    Notes
    -----
    Subtracting the largest active logit changes nothing mathematically and keeps exp from
    overflowing. An inactive logit becomes -inf, whose exponential is exactly zero, however large
    it was.
    """
    xp, batch = namespace(logits), logits.shape[-2]
    classes, labels = xp.arange(logits.shape[-1]), labels[..., None]
    dlogits = xp.where(active, logits, -xp.inf)
    largest, of_label = dlogits.max(axis=-1, keepdims=True), xp.empty_like(dlogits)
    with fused(dlogits, largest, of_label, labels, classes) as (fp, z, top, picked, y, k):
        z -= top
        picked[...] = fp.where(y == k, z, 0)
        fp.exp(z, out=z)
    total, loss = dlogits.sum(axis=-1, keepdims=True), of_label.sum(axis=-1)
    with fused(dlogits, total, labels, classes) as (fp, p, whole, y, k):
        p /= whole
        p -= y == k
        p /= batch
    with fused(loss, total[..., 0]) as (fp, z_label, whole):
        fp.subtract(fp.log(whole), z_label, out=z_label)
        z_label /= batch
    return loss.sum(axis=-1), dlogits


def predict(logits, active):
    """The most probable active class of each example, (..., B)."""
    xp = namespace(logits)
    return xp.where(active, logits, -xp.inf).argmax(axis=-1)
