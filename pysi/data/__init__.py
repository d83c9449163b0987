"""Data: from files to arrays; every byte is checked before it is used.

In reading order: `dataset` (what every source gives), `idx` (MNIST's file format), `mnist` (the
official files), `mnist_5k` (the subset that comes with the package), `cifar` (its official files),
`catalogue` (what is where), `download` (the cache) and `sources` (which of them is used).
"""

from pysi.data.dataset import Dataset
from pysi.data.download import fetch
from pysi.data.sources import load_dataset, status

__all__ = ["Dataset", "fetch", "load_dataset", "status"]
