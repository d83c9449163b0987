"""The memory that a network lends its layers.

An array that a layer only passes on (`Memory.passing`) is used again by the next part of a batch.
If the next layer keeps it, which shows in what its `forward` returns, each part gets an array of
its own: no layer can read what another has overwritten.
"""

import threading

import numpy as np


class Passing(threading.local):
    """What the layers of a stage only pass on: each thread has its own."""

    def __init__(self):
        self.stores = {}


class Memory:
    """What a layer is lent for one part of a batch; see the head of `pysi.layers`."""

    streams = None
    need_dx = True

    def __init__(self, slot, order=0, shared=None):
        self.slot, self.order, self.shared = slot, order, shared
        self.weights, self.gradients, self.derived = slot.weights, slot.gradients, None
        self.train, self.forwards, self.own, self.kept = False, True, {}, None

    def __call__(self, name, shape, dtype=None):
        """Lend an array that stays as the layer leaves it until the backward pass.

        At first it holds zeros, later what was left in it; it is made anew if its shape changes.
        """
        return self._from(self.own, name, shape, dtype)

    def passing(self, name, shape, dtype=None):
        """Lend an array that only the next layer (or, backward, the one before) will read."""
        return self._from(self._store(name), name, shape, dtype)

    def once(self, name, make):
        """Lend what make() returned at first: like `passing`, for more than one array."""
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

    def secure(self, kept):
        """Make those arrays this part's own that were to be passed on, but are kept by a layer."""
        if self.shared is None:
            return
        store = self.shared.stores.get(self.slot.name, {})
        for name in [name for name, held in store.items() if overlap(held, kept)]:
            self.slot.owned.add(name)
            self.own[name] = store.pop(name)


def arrays_in(value):
    """All arrays in a value: itself, its items, its attributes, or what a function remembers."""
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


def overlap(held, kept):
    """Whether two values have arrays that may share memory."""
    return any(np.may_share_memory(a, b) for a in arrays_in(held) for b in arrays_in(kept))


class Slot:
    """A layer in a network: its name and its columns of the table."""

    def __init__(self, layer, name, synapses):
        self.layer, self.name = layer, name
        self.xp, self.dtype, self.lead = synapses.xp, synapses.dtype, synapses.lead
        self.groups = [synapses.group(f"{name}.{p}") for p in layer.parameters]
        self.weights = tuple(group.theta for group in self.groups)
        self.gradients = tuple(group.grad for group in self.groups)
        self.owned = set()
