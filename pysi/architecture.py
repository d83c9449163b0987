"""The layers of a network in words: as a table for people, and as plain values for files."""

from collections.abc import Iterator
from math import prod
from typing import Any

from pysi.arguments import refuse
from pysi.errors import ConfigError
from pysi.layers import Layer


class UnknownLayer(ConfigError):
    """A file names a class of layers that is not defined yet."""


def describe(net: Any) -> str:
    """Return a table of a network's layers, the shapes of their outputs, and their parameters."""
    s = net.synapses
    rows = [("layer", "output", "parameters", "")]
    for name, layer, shape in zip(net.names, net.layers, net.shapes[1:], strict=True):
        count = sum(map(prod, layer.parameters.values()))
        rows.append((name, str(shape), f"{count:,}", repr(layer)))
    seeds = f"seed {net.seeds[0]}" if not s.lead else f"seeds {list(net.seeds)}"
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head = f"{type(net).__name__}: {s.size:,} synapses, {s.dtype}, input {net.shapes[0]}, {seeds}"
    lines = [
        f"  {name:<{widths[0]}}  {shape:<{widths[1]}}  {count:>{widths[2]}}  {layer}".rstrip()
        for name, shape, count, layer in rows
    ]
    return "\n".join([head, *lines])


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise refuse("a layer's argument", "a number, a word, None or a list of these", value)


def frozen(value: Any) -> Any:
    """Return a value from JSON as a constructor takes it: lists become tuples."""
    return tuple(map(frozen, value)) if isinstance(value, list) else value


def layers_in_words(layers: list[Layer]) -> list[dict[str, Any]]:
    """Return the class and the arguments of each layer as plain values."""
    return [
        {
            "layer": f"{type(layer).__module__}.{type(layer).__qualname__}",
            "arguments": {name: plain(value) for name, value in layer.arguments.items()},
        }
        for layer in layers
    ]


def known_layers(base: type = Layer) -> Iterator[tuple[str, type]]:
    """Yield name and class of every layer that has been defined so far: nothing is imported."""
    kind: type
    for kind in base.__subclasses__():
        yield f"{kind.__module__}.{kind.__qualname__}", kind
        yield from known_layers(kind)


def layers_from_words(words: list[dict[str, Any]]) -> list[Layer]:
    """Return the layers that `layers_in_words` wrote down; raise `UnknownLayer` for others."""
    known, layers = dict(known_layers()), []
    for entry in words:
        if (name := entry["layer"]) not in known:
            module = name.rpartition(".")[0]
            raise UnknownLayer(
                f"layers: expected layers that are defined, found {name!r}; import {module} first"
            )
        layers.append(known[name](**{k: frozen(v) for k, v in entry["arguments"].items()}))
    return layers
