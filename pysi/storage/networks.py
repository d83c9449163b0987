"""Networks as files: their architecture in words, and their table of synapses."""

from collections.abc import Callable
from typing import Any

from pysi.architecture import UnknownLayer, layers_from_words, layers_in_words
from pysi.backend import to_host
from pysi.errors import DataError
from pysi.storage.archive import Headers, Malformed, read_archive, write_archive
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
    write_archive(path, about, {name: to_host(getattr(net.synapses, name)) for name in SAVED})


def load_network(net: Any, begin: Callable[..., None], path: File, xp: Device) -> Any:
    """Read a network that `save_network` wrote into `net`, whose constructor is `begin`.

    Raises
    ------
    DataError
        The file is missing, damaged, or not a network.
    ConfigError
        It names a class of layers that is not defined. Nothing is imported.
    """
    about, arrays = read_archive(path, EXPECTED, check_network)
    try:
        layers, shape = layers_from_words(about["layers"]), tuple(about["input_shape"])
        dtype = arrays["theta"].dtype
        begin(net, layers, seed=about["seed"], dtype=dtype, xp=xp, input_shape=shape)
        if (held := net.synapses.theta.shape) != arrays["theta"].shape:
            raise ValueError(f"rows of shape {arrays['theta'].shape} for synapses {held}")
        net.learned = about["learned"]
    except UnknownLayer:
        raise
    except (KeyError, TypeError, ValueError) as err:
        raise DataError(f"{path}: expected {EXPECTED}, found {type(err).__name__}: {err}") from err
    for name in SAVED:
        getattr(net.synapses, name)[...] = xp.asarray(arrays[name])
    return net


def check_network(about: Any, headers: Headers) -> None:
    """Raise `Malformed` if `about` describes no network, or the rows do not fit each other."""
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise Malformed(f"no format {FORMAT}")
    learned = about.get("learned")
    if type(learned) is not int or learned < 0:
        raise Malformed(f"{learned!r} as the number of learned tasks")
    if headers.keys() != set(SAVED) or len(set(headers.values())) > 1:
        raise Malformed(f"the rows {headers}")
