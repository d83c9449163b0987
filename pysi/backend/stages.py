"""How a batch goes through the layers of a network, and back.

The examples of a batch are independent, except that the gradient is a sum over them. So layers that
work on images take a few images at a time through all layers, rather than all images through one
layer: the output of one layer is still in the cache for the next. These parts of a batch can be
divided among threads. Results do not depend on the number of threads: the parts are always the
same, every share of them adds up its own gradients, and the shares are added up in order.
"""

from collections.abc import Callable
from typing import Any

from pysi.backend.arrays import share_out
from pysi.backend.memory import Memory, Passing, Slot
from pysi.typing import Array, Shape

SHARES = 8
"""Into how many shares the parts of a batch are divided, whatever the number of threads."""


def write(memory: Memory, dy: Array, share: int) -> Array | None:
    """Return dx of one layer, which writes its gradients into the memory's arrays."""
    return memory.slot.layer.backward(dy, memory.kept, memory)


class Stage:
    """Layers in a row that take a batch in parts.

    Parameters
    ----------
    slots : list of Slot
    shape : tuple of int
        Shape of the output for one example.
    n_axes : int
        Number of axes of an example of the input.
    size : int or None
        Examples in a part; with None, the whole batch is one part.
    keeps : bool
        Whether a backward pass will follow.
    last : bool
        Whether the stage ends with the network: its output is then a new array every time.
    """

    def __init__(
        self, slots: list[Slot], shape: Shape, n_axes: int, size: int | None,
        keeps: bool, last: bool,
    ) -> None:  # fmt: skip
        self.slots, self.shape, self.n_axes, self.size = slots, shape, n_axes, size
        self.keeps, self.last = keeps, last
        self.shares = SHARES if size else 1
        self.passing = Passing() if size else None
        self.parts: list[list[Memory]] = []
        self.seen: set[tuple[int, bool]] = set()
        self.streams: list = [None] * len(slots)
        self.output: dict[str, Array] = {}
        self.own = any(hasattr(slot.layer, "accumulators") for slot in slots)
        self.sums: list[dict[str, tuple[Array, ...]]] | None = None
        self.ready = 0

    def restart(self, streams: list) -> None:
        """Receive random streams: for each layer, one per network, or None."""
        self.streams, self.ready = streams, 0

    def slices(self, n: int) -> list[slice]:
        """Return the parts of a batch of n examples."""
        size = self.size or n
        return [slice(i, min(i + size, n)) for i in range(0, n, size)]

    def cut(self, x: Array, part: slice, n_axes: int) -> Array:
        """Return a part of a batch whose examples have n_axes axes."""
        at: tuple = (..., part, *[slice(None)] * n_axes)
        return x[at]

    def lend(self, count: int, train: bool) -> None:
        """Make memories for `count` parts; later parts' streams are spawned from the first's."""
        while len(self.parts) < count:
            order = len(self.parts)
            self.parts.append([Memory(slot, order, self.passing) for slot in self.slots])
        for k in range(self.ready, count if train else 0):
            for memory, streams in zip(self.parts[k], self.streams, strict=True):
                memory.streams = streams if k == 0 or not streams else [
                    s.spawn(1)[0] for s in streams
                ]  # fmt: skip
            self.ready = k + 1

    def forward(self, x: Array, train: bool) -> Array:
        """Return the layers' output for a batch."""
        n = x.shape[-1 - self.n_axes]
        slices = self.slices(n)
        self.lend(len(slices) if self.keeps else min(len(slices), self.shares), train)
        for i, slot in enumerate(self.slots):
            if hasattr(slot.layer, "derive"):
                first = self.parts[0][i]
                first.derived = slot.layer.derive(slot.weights, first.derived)
                for part in self.parts[1:]:
                    part[i].derived = first.derived
        self.batch, y = slices, x
        if self.size:
            y = self.whole(x, n)

        def run(k, memories):
            part = x if not self.size else self.cut(x, slices[k], self.n_axes)
            for memory in memories:
                memory.train, memory.forwards = train, True
                self.before_last = part
                part, memory.kept = memory.slot.layer.forward(part, memory)
            if self.size:
                self.cut(y, slices[k], len(self.shape))[...] = part
            return part

        def run_share(share):
            for k in range(share, len(slices), self.shares):
                run(k, self.parts[k if self.keeps else share])

        if not self.size:
            y = run(0, self.parts[0])
            return y.copy() if self.last else y  # the layer's own array will be used again
        shapes = {(s.stop - s.start, train) for s in slices}
        if self.keeps and not shapes <= self.seen:
            for k in range(len(slices)):  # one after the other, to see what layers keep
                run(k, self.parts[k])
                kept = [memory.kept for memory in self.parts[k]]
                for memory in self.parts[k]:
                    memory.secure(kept)
            self.seen |= shapes
        else:
            share_out(run_share, self.shares)
        return y

    def whole(self, x: Array, n: int) -> Array:
        """Return an array for the output of all parts."""
        lead = next((slot.lead for slot in self.slots if slot.weights), ())
        shape = (*(lead or x.shape[: -1 - self.n_axes]), n, *self.shape)
        if self.last:
            return self.slots[0].xp.empty(shape, self.slots[0].dtype)
        if self.output.get("y") is None or self.output["y"].shape != shape:
            self.output["y"] = self.slots[0].xp.zeros(shape, self.slots[0].dtype)
        return self.output["y"]

    def backward(
        self, dy: Array, visit: Callable, need_dx: bool, dfeatures: Array | None = None
    ) -> Any:
        """Return ∂L/∂x, if the batch is one part; each layer's dx is visit(memory, dy, share).

        `dfeatures` is added to the gradient with respect to the input of the last layer.
        """
        last = {}

        def run_share(share):
            for k in range(share, len(self.batch), self.shares):
                part = dy if not self.size else self.cut(dy, self.batch[k], len(self.shape))
                for i, memory in reversed(list(enumerate(self.parts[k]))):
                    memory.forwards, memory.need_dx = False, need_dx or i > 0
                    part = visit(memory, part, share)
                    last_layer = i == len(self.slots) - 1
                    if last_layer and dfeatures is not None and part is not None:
                        part = part + dfeatures
                last["dx"] = part

        share_out(run_share, self.shares)
        return last["dx"]

    def gradients(self, dy: Array, need_dx: bool, dfeatures: Array | None = None) -> Any:
        """Do as `backward`, and write the gradients of all weights into the table."""
        if self.shares == 1 and not self.own:
            return self.backward(dy, write, need_dx, dfeatures)
        if self.sums is None:
            self.sums = [
                {slot.name: self.new_sums(slot) for slot in self.slots if slot.weights}
                for _ in range(self.shares)
            ]
        for sums in self.sums:
            for total in (total for totals in sums.values() for total in totals):
                total[...] = 0

        def visit(memory, dy, share):
            slot, own = memory.slot, hasattr(memory.slot.layer, "accumulators")
            if slot.weights:
                memory.gradients = self.sums[share][slot.name]
                if not own:
                    memory.gradients = tuple(
                        memory.passing(("gradient", i), total.shape)
                        for i, total in enumerate(memory.gradients)
                    )
            dx = slot.layer.backward(dy, memory.kept, memory)
            if slot.weights and not own:
                for total, part in zip(self.sums[share][slot.name], memory.gradients, strict=True):
                    total += part
            return dx

        dx = self.backward(dy, visit, need_dx, dfeatures)
        for slot in self.slots:
            if slot.weights:
                self.finish(slot, [sums[slot.name] for sums in self.sums])
        return dx

    @staticmethod
    def new_sums(slot: Slot) -> tuple[Array, ...]:
        """Return zeros for a layer's gradients, or for the sums from which it computes them."""
        if hasattr(slot.layer, "accumulators"):
            return slot.layer.accumulators(slot.weights)
        return tuple(slot.xp.zeros_like(gradient) for gradient in slot.gradients)

    @staticmethod
    def finish(slot: Slot, shares: list[tuple[Array, ...]]) -> None:
        """Add up the shares, in order, and write the resulting gradient into the table."""
        totals = shares[0]
        if len(shares) > 1:
            totals = tuple(slot.xp.zeros_like(total) for total in totals)
            for share in shares:
                for total, part in zip(totals, share, strict=True):
                    total += part
        layer: Any = slot.layer
        if hasattr(layer, "accumulators"):
            layer.finish(totals, slot.gradients)
            return
        for gradient, total in zip(slot.gradients, totals, strict=True):
            gradient[...] = total
