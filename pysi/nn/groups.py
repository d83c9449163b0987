"""Images in small groups: what one layer leaves behind is still in the cache for the next.

The images of a batch meet only in the sum over examples that is the gradient. So the layers that
work on images can take a few at a time through all layers, rather than all through a layer at a
time; and the groups can be shared out over threads. Results do not depend on how many threads there
are: the groups are always the same, every share of them adds up gradients of its own, and the
shares are added up in order.
"""

from itertools import chain, pairwise

from pysi.backend import Scratch, share_out
from pysi.errors import ConfigError
from pysi.nn.layers import Layer

SHARES = 8
"""Into how many parts the groups are shared out, whatever the number of threads."""


class ImageGroups(Layer):
    """Layers in a row that take a batch in groups of images.

    Parameters
    ----------
    layers : list of Layer
        From images (..., N, H, W, C) to features (..., N, features). They keep their weights.
    features : int
        How many come out.
    size : int, optional
        Images in a group; by default all of a batch are one.
    """

    def __init__(self, layers, features, size=None):
        super().__init__()
        self.layers, self.features, self.size = list(layers), features, size
        shares = SHARES if size else 1
        self.shares = [[layer.twin() for layer in self.layers] for _ in range(shares)]
        if shares > 1:
            for layer in chain(*self.shares):
                layer.own_gradients()
        self.groups, self.streams = [], [None] * len(self.layers)

    def restart(self, streams):
        """Receive fresh random streams: for every layer, one a network."""
        self.streams = streams
        for k, group in enumerate(self.groups):
            self.give_streams(k, group)

    def new_group(self, share):
        """Twins of a share's layers, for one more group."""
        group = [layer.twin() for layer in share]
        for layer, following in pairwise(layer for layer in group if layer.kind != "dropout"):
            if layer.lends and following.parameters:
                layer.work = Scratch()  # weights need their input until the backward pass
        return group

    def give_streams(self, k, group):
        """The first group has a layer's own streams, the others streams that spring from them."""
        for layer, streams in zip(group, self.streams, strict=True):
            if layer.random:
                layer.restart(streams if k == 0 else [s.spawn(1)[0] for s in streams])

    def parts(self, x):
        """The groups of a batch, as slices."""
        n = x.shape[-4]
        size = self.size or n
        return [slice(i, min(i + size, n)) for i in range(0, n, size)]

    def forward(self, x, *, train=False):
        for layer in self.layers:
            layer.prepare()
        parts = self.parts(x)
        self.batch = parts if train else None
        while train and len(self.groups) < len(parts):
            k = len(self.groups)
            self.groups.append(self.new_group(self.shares[k % len(self.shares)]))
            self.give_streams(k, self.groups[k])
        weights = next(layer.W for layer in self.layers if layer.parameters)
        lead = weights.theta.shape[: -len(weights.shape)] or x.shape[:-4]
        y = self.scratch("y", (*lead, x.shape[-4], self.features), weights.theta)

        def run(share):
            for k in range(share, len(parts), len(self.shares)):
                part = x[..., parts[k], :, :, :]
                for layer in self.groups[k] if train else self.shares[share]:
                    part = layer.forward_part(part, train=train)
                y[..., parts[k], :] = part

        share_out(run, len(self.shares))
        return y

    def backward(self, dy, *, need_dx=False):
        """Gradients of the weights; ∂L/∂x is not computed, because images are where all begins."""
        if self.batch is None:
            raise ConfigError("train: expected True in the forward pass before, found False")

        def run(share):
            for layer in self.shares[share]:
                for total in layer.gradients:
                    total[...] = 0
            for k in range(share, len(self.batch), len(self.shares)):
                part = dy[..., self.batch[k], :]
                first, *others = self.groups[k]
                for layer in reversed(others):
                    part = layer.backward_part(part)
                first.backward_part(part, need_dx=False)

        share_out(run, len(self.shares))
        for layer, *twins in zip(self.layers, *self.shares, strict=True):
            if len(twins) > 1:
                for total, *shares in zip(
                    layer.gradients, *(twin.gradients for twin in twins), strict=True
                ):
                    total[...] = 0
                    for share in shares:
                        total += share
            layer.finish()
