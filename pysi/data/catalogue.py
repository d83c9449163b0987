"""The table of published data sets: where each lies in a data folder, or on the network."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pysi.data import mnist
from pysi.data.cifar import CIFAR10, CIFAR100, Cifar, read_cifar
from pysi.data.dataset import Dataset


@dataclass(frozen=True)
class Entry:
    """One published data set.

    A *data folder* is the user's folder or the cache; one can hold all data sets.

    Attributes
    ----------
    title : str
        What messages call it.
    places : tuple of str
        Paths in a data folder; each can hold the whole set. What a download writes comes first:
        fetching again then repairs the cache, whatever else lies there.
    holds : str
        The same in words.
    read : callable
        Reads and verifies such a path: read(path, announce) returns a Dataset.
    files : tuple of str
        What is downloaded: paths in a data folder, of which mirrors use the last part.
    mirrors : tuple of str
        Addresses, in the order in which they are tried.
    """

    title: str
    places: tuple[str, ...]
    holds: str
    read: Callable[..., Dataset]
    files: tuple[str, ...]
    mirrors: tuple[str, ...]

    def locate(self, root: Path) -> Path:
        """Return the first of the places that the data folder `root` has, or else the last one."""
        paths = [root / place for place in self.places]
        return next((path for path in paths if os.path.lexists(path)), paths[-1])


def cifar_entry(kind: Cifar) -> Entry:
    """Return the entry of CIFAR-10 or CIFAR-100."""
    return Entry(
        title=kind.title,
        places=(kind.archive, kind.folder),
        holds=f"{kind.archive}, or {kind.folder}/ with its .bin files",
        read=partial(read_cifar, kind),
        files=(kind.archive,),
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
    )


CATALOGUE = {
    "mnist": Entry(
        title="MNIST",
        places=("mnist",),
        holds="mnist/ with the four official files, gzipped or not",
        read=lambda path, announce: mnist.read_mnist(path),  # the whole set or none of it
        files=tuple(f"mnist/{file.name}.gz" for file in mnist.FILES),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
    ),
    "cifar10": cifar_entry(CIFAR10),
    "cifar100": cifar_entry(CIFAR100),
}
