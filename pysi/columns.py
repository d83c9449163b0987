"""Progressive networks: each task gets a column of its own, which may read the older ones.

Column k has hidden layers and a readout like any multilayer perceptron. Besides its own units of
the layer before, each layer reads those of all older columns j < k (Rusu et al., 2016)::

    h_i^(k) = relu(h_{i-1}^(k) W + Σ_j h_{i-1}^(j) U^(k:j) + b)       U: lateral weights

The first layer has no lateral weights, because all columns see the same input. The readout has
them, and is linear. With adapters, a hidden layer reads older columns through one more layer: each
column j is scaled by a learned number α_j, V projects all of them together to as many units as the
layer has, and U reads these::

    Σ_j h_{i-1}^(j) U^(k:j)   becomes   relu([α_j h_{i-1}^(j)]_j V) U

While column k is trained, the older columns are computed, but never changed.
"""

from collections.abc import Sequence
from copy import copy
from itertools import pairwise
from math import prod
from typing import Any, Self

import numpy as np

from pysi.arguments import instance, refuse, whole, wholes
from pysi.backend import matmul, namespace
from pysi.errors import ConfigError
from pysi.layers import Dense, Layer, relu_slope
from pysi.typing import Array, Shape


class Columns(Layer):
    """All columns of a progressive network, as one layer. The newest column is trained.

    Columns after the newest are not computed, and their logits are 0. Weights have names such as
    "column2.W1" (in the table, "progressive1.column2.W1"); "a" is α. The rows of U and V, and the
    entries of α, belong to column 1, then to column 2, and so on. The last W, b and U are those of
    the readout.

    Parameters
    ----------
    n_in, hidden, classes, adapters
        See `ProgressiveNetwork`.
    newest : int
        The number of the column that is trained, from 1.
    """

    kind = "progressive"

    def __init__(
        self, n_in: int, hidden: Sequence[int], classes: Sequence[int], adapters: bool = False,
        newest: int = 1,
    ) -> None:  # fmt: skip
        self.n_in = whole("n_in", n_in)
        self.hidden = wholes("hidden", hidden, 1, "one or more positive whole numbers")
        self.classes = wholes("classes", classes, 1, "one or more positive whole numbers")
        self.adapters = instance("adapters", adapters, bool)
        self.newest = whole("newest", newest)
        if self.newest > len(self.classes):
            raise refuse("newest", f"at most {len(self.classes)}, as there are columns", newest)
        self.input_shape = (self.n_in,)
        self.readout = len(self.hidden) + 1
        self.columns = range(1, len(self.classes) + 1)
        self.parameters, self.places, self.ends = {}, {}, [0]
        for k in self.columns:
            shapes, start = self.shapes_of(k), len(self.parameters)
            self.parameters |= {f"column{k}.{name}": shape for name, shape in shapes.items()}
            self.places[k] = {name: start + i for i, name in enumerate(shapes)}
            self.ends.append(self.ends[-1] + sum(map(prod, shapes.values())))

    def shapes_of(self, k: int) -> dict[str, Shape]:
        """Return names and shapes of the weights of column k."""
        found: dict[str, Shape] = {}
        widths = self.n_in, *self.hidden, self.classes[k - 1]
        for i, (n_in, n_out) in enumerate(pairwise(widths), start=1):
            older = (k - 1) * n_in if i > 1 else 0
            found |= {f"W{i}": (n_in, n_out), f"b{i}": (n_out,)}
            if older and self.adapters and i < self.readout:
                found |= {f"a{i}": (k - 1,), f"V{i}": (older, n_out), f"U{i}": (n_out, n_out)}
            elif older:
                found |= {f"U{i}": (older, n_out)}
        return found

    def output_shape(self, shape: Shape) -> Shape:
        if shape != self.input_shape:
            raise ConfigError(f"{self}: expected {self.n_in} features as input, found {shape}")
        return (sum(self.classes),)

    def with_newest(self, newest: int) -> Self:
        """Return the same columns, with another one to be trained."""
        other = copy(self)
        other.newest = newest
        return other

    def initial(self, rng: np.random.Generator) -> dict[str, Array]:
        # a matrix starts like that of a dense layer; α is small, and different for each column
        return {
            name: rng.uniform(0.01, 0.1, shape) if ".a" in name else Dense(*shape).initial(rng)["W"]
            for name, shape in self.parameters.items() if ".b" not in name
        }  # fmt: skip

    def own(self, k: int, i: int) -> slice:
        """Return which units of layer i belong to column k; layer 0 is the common input."""
        if i == 0:
            return slice(None)
        if i == self.readout:
            return slice(sum(self.classes[: k - 1]), sum(self.classes[:k]))
        return slice((k - 1) * self.hidden[i - 1], k * self.hidden[i - 1])

    def older(self, k: int, i: int) -> slice:
        """Return which units of hidden layer i belong to the columns before k."""
        return slice(0, (k - 1) * self.hidden[i - 1])

    def weights(self, arrays: tuple[Array, ...], k: int) -> dict[str, Array]:
        """Return the weights (or gradients) of column k by their short names."""
        return {name: arrays[place] for name, place in self.places[k].items()}

    def forward(self, x: Array, memory: Any) -> tuple[Array, Any]:
        # layer i of all columns is one array, so that older columns lie side by side; it has room
        # for later columns too, so that a product keeps its strides, and bits, when these come
        lead = (*(memory.weights[0].shape[:-2] or x.shape[:-2]), x.shape[-2])
        widths = *(len(self.columns) * n for n in self.hidden), sum(self.classes)
        h = [x, *(memory(("h", i), (*lead, n)) for i, n in enumerate(widths, start=1))]
        for k in self.columns[: self.newest]:
            w, laterals = self.weights(memory.weights, k), {}
            for i in range(1, self.readout + 1):
                before, z = h[i - 1][..., self.own(k, i - 1)], h[i][..., self.own(k, i)]
                matmul(before, w[f"W{i}"], out=z)
                z += w[f"b{i}"][..., None, :]
                if f"U{i}" in w:
                    laterals[i] = self.lateral(k, i, h[i - 1], w, memory)
                    z += matmul(laterals[i], w[f"U{i}"], out=memory.passing(("z", i), z.shape))
                if i < self.readout:
                    namespace(z).maximum(z, 0, out=z)
        return h[-1], (h[:-1], laterals)

    def lateral(self, k: int, i: int, before: Array, w: dict[str, Array], memory: Any) -> Array:
        """Return what layer i of column k reads of the older columns by U."""
        older = before[..., self.older(k, i - 1)]
        if f"V{i}" not in w:
            return older
        # Σ_j α_j h^(j) V_j: V is smaller than a batch of h, so α multiplies its rows
        alpha, V = w[f"a{i}"], self.by_column(w[f"V{i}"], k)
        aV = memory.passing(("aV", k, i), V.shape)
        namespace(V).multiply(alpha[..., None, None], V, out=aV)
        q = memory(("q", i), (*older.shape[:-1], V.shape[-1]))
        matmul(older, aV.reshape(w[f"V{i}"].shape), out=q)
        return namespace(q).maximum(q, 0, out=q)

    @staticmethod
    def by_column(V: Array, k: int) -> Array:
        """Return V with an axis for the older columns, (..., k - 1, n_in, n_out)."""
        return V.reshape(*V.shape[:-2], k - 1, -1, V.shape[-1])

    def backward(self, dy: Array, kept: Any, memory: Any) -> None:
        """Write the gradient of the newest column; that of all others stays 0.

        No gradient enters older columns, and the gradient of the input is not needed.
        """
        k, (h, laterals) = self.newest, kept
        w, d = self.weights(memory.weights, k), self.weights(memory.gradients, k)
        dz = dy[..., self.own(k, self.readout)]
        for i in range(self.readout, 0, -1):
            before = h[i - 1][..., self.own(k, i - 1)]
            matmul(before.swapaxes(-1, -2), dz, out=d[f"W{i}"])
            namespace(dz).sum(dz, axis=-2, out=d[f"b{i}"])
            if f"U{i}" in w:
                matmul(laterals[i].swapaxes(-1, -2), dz, out=d[f"U{i}"])
            if f"V{i}" in w:
                older = h[i - 1][..., self.older(k, i - 1)]
                dq = memory.passing(("dq", i), laterals[i].shape)
                matmul(dz, w[f"U{i}"].swapaxes(-1, -2), out=dq)
                relu_slope(dq, laterals[i], out=dq)
                matmul(older.swapaxes(-1, -2), dq, out=d[f"V{i}"])  # ∂L/∂(αV)
                V, dV = (self.by_column(array[f"V{i}"], k) for array in (w, d))
                products = namespace(V).multiply(V, dV, out=memory.passing(("aV", k, i), V.shape))
                products.sum(axis=(-2, -1), out=d[f"a{i}"])
                dV *= w[f"a{i}"][..., None, None]
            if i > 1:
                dh = memory.passing(("dh", i), before.shape)
                matmul(dz, w[f"W{i}"].swapaxes(-1, -2), out=dh)
                dz = relu_slope(dh, before, out=dh)
