"""The memory that a network lends its layers.

An array that a layer only passes on (`Memory.passing`) is used again by the next part of a batch.
If the next layer keeps it, as the value that its `forward` returns shows, each part gets an array
of its own. So no layer can read what another has overwritten.
"""

import threading
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np

from pysi.typing import Array, DTypeLike, Shape


class Passing(threading.local):
    """Arrays that the layers of a stage only pass on: each thread has its own."""

    def __init__(self) -> None:
        self.stores: dict[str, dict] = {}


class Slot:
    """A layer in a network: its name and its columns of the table."""

    def __init__(self, layer: Any, name: str, synapses: Any) -> None:
        self.layer, self.name = layer, name
        self.xp, self.dtype, self.lead = synapses.xp, synapses.dtype, synapses.lead
        self.groups = [synapses.group(f"{name}.{p}") for p in layer.parameters]
        self.weights: tuple[Array, ...] = tuple(group.theta for group in self.groups)
        self.gradients: tuple[Array, ...] = tuple(group.grad for group in self.groups)
        self.owned: set[Hashable] = set()


class Memory:
    """What a layer is lent for one part of a batch; see the head of `pysi.layers`."""

    streams: list[np.random.Generator] | None = None
    need_dx = True
    train = False

    def __init__(self, slot: Slot, order: int = 0, shared: Passing | None = None) -> None:
        self.slot, self.order, self.shared = slot, order, shared
        self.weights, self.gradients = slot.weights, slot.gradients
        self.derived: Any = None
        self.kept: Any = None
        self.own: dict[Hashable, Any] = {}
        self.forwards = True

    def __call__(self, name: Hashable, shape: Shape, dtype: DTypeLike | None = None) -> Array:
        """Lend an array that stays as the layer leaves it until the backward pass.

        At first it holds zeros, later what was left in it; it is made anew if its shape changes.
        """
        return self._from(self.own, name, shape, dtype)

    def passing(self, name: Hashable, shape: Shape, dtype: DTypeLike | None = None) -> Array:
        """Lend an array that only the next layer (or, backward, the one before) will read."""
        return self._from(self._store(name), name, shape, dtype)

    def once(self, name: Hashable, make: Callable[[], Any]) -> Any:
        """Lend what make() returned at the first call: like `passing`, for several arrays."""
        store = self._store(name)
        if name not in store:
            store[name] = make()
        return store[name]

    def _store(self, name):
        if self.shared is None or (self.forwards and name in self.slot.owned):
            return self.own
        return self.shared.stores.setdefault(self.slot.name, {})

    def _from(self, store, name, shape, dtype):
        array, dtype = store.get(name), dtype or self.slot.dtype
        if array is None or array.shape != shape or array.dtype != dtype:
            array = store[name] = self.slot.xp.zeros(shape, dtype)
        return array

    def secure(self, kept: Any) -> None:
        """Make an array this part's own if it was to be passed on, but a layer has kept it."""
        if self.shared is None:
            return
        store = self.shared.stores.get(self.slot.name, {})
        for name in [name for name, held in store.items() if overlap(held, kept)]:
            self.slot.owned.add(name)
            self.own[name] = store.pop(name)


def arrays_in(value: Any) -> list[Array]:
    """Return all arrays in a value: itself, its items or attributes, or a closure's."""
    if hasattr(value, "__array_interface__"):
        return [value]
    if isinstance(value, tuple | list):
        return [array for item in value for array in arrays_in(item)]
    if isinstance(value, dict):
        return arrays_in(list(value.values()))
    held = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
    held += getattr(value, "__dict__", {}).values()
    held += [getattr(value, name, None) for name in getattr(type(value), "__slots__", ())]
    return arrays_in(held) if held else []


def overlap(held: Any, kept: Any) -> bool:
    """Return whether two values have arrays that may share memory."""
    return any(np.may_share_memory(a, b) for a in arrays_in(held) for b in arrays_in(kept))
