r"""The loss: softmax cross-entropy over the classes of the task at hand.

With p = softmax(z) over the active classes and y the label, the loss of one example is
:math:`-\log p_y = \log \sum_j e^{z_j} - z_y`. Its derivative is :math:`∂L/∂z_j = p_j - [j = y]`,
and the mean over the minibatch divides that by the number of examples.
"""

from pysi.backend import namespace


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
    xp = namespace(logits)
    z = xp.where(active, logits, -xp.inf)
    z -= z.max(axis=-1, keepdims=True)
    target = labels[..., None] == xp.arange(logits.shape[-1])
    z_label = xp.where(target, z, 0).sum(axis=-1)
    dlogits = xp.exp(z, out=z)
    total = dlogits.sum(axis=-1, keepdims=True)
    batch = logits.shape[-2]
    loss = (xp.log(total[..., 0]) - z_label).sum(axis=-1) / batch
    dlogits /= total
    dlogits -= target
    dlogits /= batch
    return loss, dlogits


def predict(logits, active):
    """The most probable active class of each example, (..., B)."""
    xp = namespace(logits)
    return xp.where(active, logits, -xp.inf).argmax(axis=-1)
