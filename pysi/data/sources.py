"""Where data comes from: the user's folder, else the cache, else a download, else a subset."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pysi.data.catalogue import CATALOGUE
from pysi.data.cifar import join
from pysi.data.dataset import Dataset
from pysi.data.download import cache_dir, fetch
from pysi.data.mnist_5k import folder, read_mnist_5k
from pysi.errors import ConfigError, DataError
from pysi.typing import File

Announce = Callable[[str], object]
"""A function that receives a message for the user."""


@dataclass(frozen=True)
class Place:
    """One place where a data set may lie.

    Attributes
    ----------
    dataset, place : str
        The data set's name, and what the place is.
    path : str or None
        The file or folder; None if there is none.
    state : str
        ``"ok"``, followed by what using the data set would announce; ``"absent"``; or the message
        of the error that using it would raise.
    """

    dataset: str
    place: str
    path: str | None
    state: str


def load_dataset(
    name: str = "mnist", data: File | None = None, announce: Announce = print
) -> Dataset:
    """Load a data set, verified, from the first place that has it.

    The places are the user's folder, the cache, a download and, for MNIST, the subset that comes
    with the package. A place that is there but broken is an error and never silently skipped; so is
    a user's folder without the data set.

    Parameters
    ----------
    name : str
        ``"mnist"``, or ``"mnist-5k"`` for the subset alone; ``"cifar10"``, ``"cifar100"``, or
        ``"cifar10-100"`` for both as one data set of 110 classes.
    data : path-like, optional
        A folder that holds ``mnist/`` with the official files, or CIFAR's official binary archives,
        or the folders that they unpack to. Default: ``PYSI_DATA``, if set.
    announce : callable
        Called with one message (str) if less than the full set is used.

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
    if name == "mnist-5k":
        return read_mnist_5k()
    if name == "cifar10-100":
        return join(*(load_dataset(part, data, announce) for part in ("cifar10", "cifar100")))
    if name not in CATALOGUE:
        names = ", ".join([*CATALOGUE, "mnist-5k", "cifar10-100"])
        raise ConfigError(f"unknown data set {name!r}: expected one of {names}.")
    if (location := _users_location(data)) is not None:
        return _read_users(name, location, announce)
    if (cached := _cached(name)) is not None:
        return _read_cached(name, cached, announce)
    try:
        return CATALOGUE[name].read(fetch(name), announce)
    except DataError as error:
        if name == "mnist":
            return _read_substitute(str(error).splitlines()[0], announce)
        title = CATALOGUE[name].title
        raise DataError(
            f"no {title} anywhere: no folder is given, and the cache is empty.\n{error}"
        ) from error


def status(data: File | None = None) -> list[Place]:
    """Look at every place that may hold data, without using the network.

    Parameters
    ----------
    data : path-like, optional
        As for `load_dataset`.

    Returns
    -------
    list of Place
        The places of each data set, in the order in which `load_dataset` looks at them.
    """
    location = _users_location(data)
    places: list[Place] = []
    for name in CATALOGUE:
        users, cached = partial(_read_users, name), partial(_read_cached, name)
        places.append(_look(name, "--data or PYSI_DATA", location, users))
        places.append(_look(name, "cache", _cached(name), cached))
    inside = Path(str(folder()))
    return [*places, _look("mnist-5k", "package", inside, lambda *_: read_mnist_5k())]


def _look(
    dataset: str, place: str, path: Path | None, read: Callable[[Path, Announce], Dataset]
) -> Place:
    if path is None:
        return Place(dataset, place, None, "absent")
    state = ["ok"]
    try:
        read(path, state.append)
    except DataError as error:
        state = [str(error)]
    return Place(dataset, place, str(path), "\n".join(state))


def _users_location(data: File | None) -> Path | None:
    if data is None:
        data = os.environ.get("PYSI_DATA") or None
    # "~" is expanded here, because a shell leaves that of --data=~/folder alone.
    return None if data is None else Path(os.path.expanduser(data))


def _read_users(name: str, location: Path, announce: Announce) -> Dataset:
    entry = CATALOGUE[name]
    try:
        return entry.read(entry.locate(location), announce)
    except DataError as error:
        raise DataError(
            f"{error}\n--data or PYSI_DATA must name a folder that holds {entry.holds}.\n"
            f"Without either, the cache is used; `pysi data fetch {name}` fills it."
        ) from error


def _cached(name: str) -> Path | None:
    root = cache_dir()
    path = root and CATALOGUE[name].locate(root)
    return path if path and os.path.lexists(path) else None


def _read_cached(name: str, path: Path, announce: Announce) -> Dataset:
    try:
        return CATALOGUE[name].read(path, announce)
    except DataError as error:
        raise DataError(f"{error}\n`pysi data fetch {name}` repairs the cache.") from error


def _read_substitute(reason: str, announce: Announce) -> Dataset:
    ways = (
        "To get the full set: `pysi data fetch mnist`, or --data FOLDER (or PYSI_DATA=FOLDER),\n"
        f"where FOLDER holds {CATALOGUE['mnist'].holds}."
    )
    try:
        dataset = read_mnist_5k()
    except DataError as error:
        raise DataError(
            f"no MNIST anywhere: no folder is given, the cache is empty, {reason}\n{error}\n{ways}"
        ) from error
    announce(
        f"The full MNIST is not at hand: {reason}\n"
        "Using mnist-5k instead, 5,000 real MNIST digits (4,000 to train, 1,000 to test).\n"
        f"It is a subset: results on it are not comparable with the paper.\n{ways}"
    )
    return dataset
