r"""The diagonal of the Fisher information: how much a synapse matters to what the network predicts.

For a model p(k | x) the Fisher information of one synapse is the mean square of the derivative of
the log-probability, over inputs and over the labels that *the model itself* would give:

.. math:: F = \Bigl\langle \sum_k p_k \Bigl(\frac{∂ \log p_k}{∂θ}\Bigr)^2 \Bigr\rangle_x .

With the true label instead of the sum over labels it is called the empirical Fisher.

What is needed is a sum over examples of squares, while a backward pass gives a sum over examples.
But the gradient of one example n for a dense layer y = x W + b is a product, :math:`x_{ni} δ_{nj}`
with δ = ∂L_n/∂y, so its square is a product of squares, and the sum is one matrix product:

.. math:: \sum_n (x_{ni} δ_{nj})^2 = \sum_n x_{ni}^2 δ_{nj}^2 = \bigl[(x^2)^T δ^2\bigr]_{ij},
          \qquad \sum_n δ_{nj}^2 \text{ for the bias.}

The sum over labels needs a δ for each, but the input x is the same for all of them: the squares are
added up before the product.
"""

from pysi.backend import namespace, to_host
from pysi.errors import ConfigError
from pysi.matmul import matmul
from pysi.nn.layers import Dense


def probabilities(logits, active):
    """Softmax over the active classes, (..., B, K); exactly zero for all others."""
    xp = namespace(logits)
    z = xp.where(active, logits, -xp.inf)
    p = xp.exp(z - z.max(axis=-1, keepdims=True))
    p /= p.sum(axis=-1, keepdims=True)
    return p


def squared_gradients(net, *dlogits):
    """Sum over examples of the squared gradient of each example, for every synapse.

    Belongs to the last forward pass of the network, like `Network.backward`, but leaves the table
    as it is.

    Parameters
    ----------
    net : Network
        Of dense layers, and layers without weights.
    *dlogits : array, (..., B, K)
        For each example, the derivative of *its own* loss: not divided by B. Multiply it by √w to
        count an example w times. Of several losses, such as one a label, the squares are added up.

    Returns
    -------
    array, (..., P)
        Σ_n g_n², in units of (loss / weight)².

    Raises
    ------
    ConfigError
        A layer with weights that is not dense.
    """
    s, total = net.synapses, {}
    for dy in dlogits:
        for layer in reversed(net.layers):
            if isinstance(layer, Dense):
                total[layer] = total.get(layer, 0) + dy * dy
                if layer is not net.layers[0]:
                    dy = matmul(dy, layer.W.theta.swapaxes(-1, -2))
            elif layer.parameters:
                raise ConfigError(f"layers: expected dense layers, found weights in {layer.kind!r}")
            else:
                dy = layer.backward(dy)
    squared = s.zeros()
    for layer, dy2 in total.items():
        dW2 = matmul((layer.x * layer.x).swapaxes(-1, -2), dy2)
        squared[..., layer.W.columns] = dW2.reshape(*s.lead, -1)
        squared[..., layer.b.columns] = dy2.sum(axis=-2)
    return squared


def diagonal_fisher(net, x, active, *, batch=1000):
    """Exact diagonal Fisher information, ⟨Σ_k p_k (∂ log p_k / ∂θ)²⟩: one backward pass a class.

    Parameters
    ----------
    net : Network
    x : array, (..., N, features)
        Inputs of the data set to average over.
    active : array of bool, (K,)
        Classes that take part.
    batch : int
        Examples at a time: bounds the memory, and changes nothing else.

    Returns
    -------
    array, (..., P)
        In units of 1 / weight² (nats are dimensionless).

    References
    ----------
    Kirkpatrick et al. (2017), Overcoming catastrophic forgetting in neural networks, PNAS.
    """
    fisher, n = net.synapses.zeros(), x.shape[-2]
    for start in range(0, n, batch):
        p = probabilities(net.forward(x[..., start : start + batch, :]), active)
        dlogits = []
        for k in to_host(active).nonzero()[0].tolist():
            # -∂ log p_k / ∂z_j = p_j - [j = k], counted p_k times
            root = p[..., k] ** 0.5
            dlogits.append(p * root[..., None])
            dlogits[-1][..., k] -= root
        fisher += squared_gradients(net, *dlogits)
    return fisher / n


def empirical_fisher(net, x, labels, active, *, batch=1000):
    """Mean of the squared gradient of each example's loss at its true label, (..., P).

    Parameters
    ----------
    net, x, active, batch
        As for `diagonal_fisher`.
    labels : array of int, (..., N)

    Returns
    -------
    array, (..., P)
        In units of 1 / weight².
    """
    fisher, n = net.synapses.zeros(), x.shape[-2]
    for start in range(0, n, batch):
        part = slice(start, start + batch)
        dlogits = probabilities(net.forward(x[..., part, :]), active)
        xp = net.synapses.xp
        dlogits -= labels[..., part, None] == xp.arange(dlogits.shape[-1])
        fisher += squared_gradients(net, dlogits)
    return fisher / n
