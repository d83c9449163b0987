r"""The diagonal of the Fisher information: how much a synapse matters for the predictions.

For a model p(k | x) the Fisher information of one synapse is the mean square of the derivative of
the log-probability, over inputs and over the labels that *the model itself* would give:

.. math:: F = \Bigl\langle \sum_k p_k \Bigl(\frac{∂ \log p_k}{∂θ}\Bigr)^2 \Bigr\rangle_x .

With the true label instead of the sum over labels it is called the empirical Fisher.

We need a sum of squares over examples, while a backward pass gives a sum over examples. But for a
dense layer y = x W + b the gradient of one example n is a product, :math:`x_{ni} δ_{nj}` with
δ = ∂L_n/∂y. So its square is a product of squares, and their sum is one matrix product:

.. math:: \sum_n (x_{ni} δ_{nj})^2 = \sum_n x_{ni}^2 δ_{nj}^2 = \bigl[(x^2)^T δ^2\bigr]_{ij},
          \qquad \sum_n δ_{nj}^2 \text{ for the bias.}

The same holds for every f with f(xy) = f(x) f(y), such as the absolute value, which the importance
of memory aware synapses needs (`pysi.rules.mas`).

The sum over labels needs a δ for each, but the input x is the same for all of them: f(δ) is added
up before the product. So a layer with weights has two functions for this:
``add_examples(f, total, dy, kept, memory)`` returns the total with f of one dy added (at first, the
total is 0), and ``example_sums(f, total, kept)`` returns Σ_n f(g_n) for each of its parameters.
Instead, it may have two functions for the square alone: ``add_squares(total, dy, kept, memory)``
and ``squared_gradients(total, kept)``.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pysi.backend import to_host
from pysi.backend.memory import Memory
from pysi.errors import ConfigError
from pysi.losses import softmax
from pysi.network import Network
from pysi.typing import Array

IMAGES = 50
"""How many images are taken at a time; a gradient is kept for each of them."""


def square(x: Array) -> Array:
    """Return x²."""
    return x * x


def functions(layer: Any, f: Callable[[Array], Array]) -> tuple[Callable, Callable]:
    """Return a layer's two functions for f; raise a ConfigError if it has none."""
    found, place = f"{layer}", ""
    if hasattr(layer, "add_squares"):
        if f is square:
            return layer.add_squares, layer.squared_gradients
        found += " with add_squares and squared_gradients, which serve the square alone"
        place = " in their place"
    elif hasattr(layer, "add_examples"):
        return partial(layer.add_examples, f), partial(layer.example_sums, f)
    raise ConfigError(
        f"layers: expected layers with add_examples and example_sums, for the gradients of single "
        f"examples, found {found}; write these two functions{place} (see pysi.rules.fisher)"
    )


def check_layers(net: Network, f: Callable[[Array], Array] = square) -> None:
    """Raise a ConfigError if a layer cannot compute Σ_n f(g_n), a sum over examples n."""
    for layer in net.layers:
        if layer.parameters:
            functions(layer, f)


def sum_over_examples(net: Network, f: Callable[[Array], Array], *dlogits: Array) -> Array:
    """Return Σ_n f(g_n) for every synapse, with g_n the gradient of the loss of example n.

    It uses the network's last forward pass without `train`, and does not change the table.

    Parameters
    ----------
    net : Network
    f : callable
        An elementwise function with f(xy) = f(x) f(y): `square` or `abs`.
    *dlogits : array, (..., B, K)
        For each example, the derivative of *its own* loss: not divided by B. The sums of several
        losses, such as one per label, are added.

    Returns
    -------
    array, (..., P)
        Σ_n f(g_n).

    Raises
    ------
    ConfigError
        A layer with weights lacks the two functions.
    """
    check_layers(net, f)
    totals: dict[Memory, Any] = {}

    def visit(memory: Memory, dy: Array, share: int) -> Array:
        layer: Any = memory.slot.layer
        if layer.parameters:
            add, _ = functions(layer, f)
            totals[memory] = add(totals.get(memory, 0), dy, memory.kept, memory)
        gradients = memory.gradients  # views of the table, which must not change
        memory.gradients = tuple(
            memory.passing(("unused", i), array.shape) for i, array in enumerate(memory.weights)
        )
        dx = layer.input_gradient(dy, memory.kept, memory)
        memory.gradients = gradients
        return dx

    for dy in dlogits:
        net.tested.visit(dy, visit)
    s = net.synapses
    result = s.zeros()
    for memory, total in sorted(totals.items(), key=lambda item: item[0].order):
        _, sums = functions(memory.slot.layer, f)
        for group, part in zip(memory.slot.groups, sums(total, memory.kept), strict=True):
            result[..., group.columns] += part.reshape(*s.lead, -1)
    return result


def squared_gradients(net: Network, *dlogits: Array) -> Array:
    """Return Σ_n g_n², (..., P), in units of (loss / weight)²; see `sum_over_examples`.

    Multiply an example's derivative by √w to count the example w times.
    """
    return sum_over_examples(net, square, *dlogits)


def batches(net: Network, x: Array, batch: int) -> Iterator[tuple[slice, Array]]:
    """Yield the examples of x a few at a time: the slice of their axis, and these examples."""
    axes = len(net.input_shape)
    n, step = x.shape[-1 - axes], batch if axes == 1 else min(batch, IMAGES)
    for start in range(0, n, step):
        part = slice(start, start + step)
        at: tuple = (..., part, *[slice(None)] * axes)
        yield part, x[at]


def diagonal_fisher(net: Network, x: Array, active: Array, *, batch: int = 1000) -> Array:
    """Return the exact diagonal Fisher information, ⟨Σ_k p_k (∂ log p_k / ∂θ)²⟩.

    It takes one backward pass per class.

    Parameters
    ----------
    net : Network
    x : array, ``(..., N, *input_shape)``
        Inputs of the data set to average over.
    active : array of bool, (K,)
        The classes that take part.
    batch : int
        How many examples are taken at a time: this bounds the memory, and changes nothing else.

    Returns
    -------
    array, (..., P)
        In units of 1 / weight² (nats are dimensionless).

    References
    ----------
    Kirkpatrick et al. (2017), Overcoming catastrophic forgetting in neural networks, PNAS.
    """
    fisher, n = net.synapses.zeros(), x.shape[-1 - len(net.input_shape)]
    for _, shown in batches(net, x, batch):
        p = softmax(net.forward(shown), active)
        dlogits = []
        for k in to_host(active).nonzero()[0].tolist():
            # -∂ log p_k / ∂z_j = p_j - [j = k], counted p_k times
            root = p[..., k] ** 0.5
            dlogits.append(p * root[..., None])
            dlogits[-1][..., k] -= root
        fisher += squared_gradients(net, *dlogits)
    return fisher / n


def empirical_fisher(
    net: Network, x: Array, labels: Array, active: Array, *, batch: int = 1000
) -> Array:
    """Return the mean squared gradient of each example's loss at its true label, (..., P).

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
    fisher, n = net.synapses.zeros(), labels.shape[-1]
    for part, shown in batches(net, x, batch):
        dlogits = softmax(net.forward(shown), active)
        xp = net.synapses.xp
        dlogits -= labels[..., part, None] == xp.arange(dlogits.shape[-1])
        fisher += squared_gradients(net, dlogits)
    return fisher / n
