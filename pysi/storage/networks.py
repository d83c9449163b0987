"""Networks as files: their architecture in words, and their table of synapses."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np

from pysi.architecture import UnknownLayer, layers_from_words, layers_in_words
from pysi.backend import to_host
from pysi.errors import DataError
from pysi.storage.files import atomic, read_arrays
from pysi.storage.tables import SAVED
from pysi.typing import Device, File

FORMAT = "pysi-network-1"
EXPECTED = "a network as written by Network.save"


def save_network(net: Any, path: File) -> None:
    """Write a network to an ``.npz`` file; see `pysi.Network.save`."""
    about = {
        "format": FORMAT,
        "layers": layers_in_words(net.layers),
        "input_shape": net.input_shape,
        "seed": list(net.seeds) if net.synapses.lead else net.seeds[0],
        "learned": net.learned,
    }
    rows = {name: to_host(getattr(net.synapses, name)) for name in SAVED}
    with atomic(path) as file:
        np.savez(file, about=np.array(json.dumps(about)), **rows)


def load_network(net: Any, begin: Callable[..., None], path: File, xp: Device) -> Any:
    """Read a network that `save_network` wrote into `net`, whose constructor is `begin`."""
    arrays = read_arrays(path, EXPECTED)
    try:
        about = json.loads(str(arrays["about"]))
        if about["format"] != FORMAT:
            raise DataError(f"{path}: expected the format {FORMAT}, found {about['format']!r}")
        layers, shape = layers_from_words(about["layers"]), tuple(about["input_shape"])
        dtype = arrays["theta"].dtype
        begin(net, layers, seed=about["seed"], dtype=dtype, xp=xp, input_shape=shape)
        for name in SAVED:
            row = getattr(net.synapses, name)
            if arrays[name].shape != row.shape or arrays[name].dtype != row.dtype:
                raise DataError(f"{path}: expected {name} of shape {row.shape} and {row.dtype}, "
                                f"found {arrays[name].shape} and {arrays[name].dtype}")  # fmt: skip
            row[...] = xp.asarray(arrays[name])
        net.learned = int(about["learned"])
    except UnknownLayer:
        raise
    except (KeyError, TypeError, ValueError) as err:
        raise DataError(f"{path}: expected {EXPECTED}, found {type(err).__name__}: {err}") from err
    return net
