"""Tables of synapses as files."""

import json

import numpy as np

from pysi.backend.arrays import to_host
from pysi.errors import ConfigError, DataError
from pysi.storage.files import atomic, read_arrays

SAVED = ("theta", "omega", "Omega", "theta_ref")
"""The rows that are kept; g is that of a step."""


def save_table(synapses, path, replica=...):
    """Write θ, ω, Ω and θ̃ to an ``.npz`` file; it appears only when it is complete.

    Of several networks all, or the one with the index `replica`.
    """
    rows = {name: to_host(getattr(synapses, name)[replica]) for name in SAVED}
    with atomic(path) as file:
        np.savez_compressed(file, shapes=np.array(json.dumps(synapses.shapes)), **rows)


def load_table(kind, path, xp=np):
    """Read a table that `save_table` wrote, as an object of type `kind`.

    Raises
    ------
    DataError
        The file is missing, unreadable, or not a table of synapses.
    """
    expected = "a table of synapses as written by Synapses.save"
    arrays = read_arrays(path, expected)
    try:
        theta = arrays["theta"]
        shapes = json.loads(str(arrays["shapes"]))
        synapses = kind(shapes, lead=theta.shape[:-1], dtype=theta.dtype, xp=xp)
        for name in SAVED:
            getattr(synapses, name)[...] = xp.asarray(arrays[name])
    except (ValueError, KeyError, AttributeError, ConfigError) as err:
        raise DataError(
            f"{path}: expected {expected}, found {type(err).__name__}: {err}. "
            "Write it again, or name another file."
        ) from err
    return synapses
