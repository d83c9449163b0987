"""The convolutional network of the paper's CIFAR benchmark."""

from typing import Any

import numpy as np

from pysi.arguments import is_whole
from pysi.errors import ConfigError
from pysi.images.convolution import Conv2D, check_whole
from pysi.images.pooling import Flatten, MaxPool2D
from pysi.images.winograd import WinogradConv2D
from pysi.layers import Dense, Layer, ReLU
from pysi.network import Network, dropouts


def check_sizes(name: str, sizes: Any, count: int | None = None) -> None:
    """Raise a ConfigError unless `sizes` are whole numbers from 1, and `count` of them."""
    fits = isinstance(sizes, tuple | list) and len(sizes) == (count or len(sizes) or 1)
    if not fits or not all(map(is_whole, sizes)):
        expected = f"{count or 'one or more'} whole numbers from 1"
        raise ConfigError(f"{name}: expected {expected}, found {sizes!r}")


class CNN(Network):
    """The network of the paper's CIFAR benchmark: two blocks of convolutions and a hidden layer.

    A block is a convolution with a margin, a convolution without one, and pooling. Rectification
    comes after pooling: that gives the same values, from a quarter as many numbers.

    Parameters
    ----------
    n_classes : int
        Number of units of the readout, which starts from zero weights.
    channels : (int, int)
        Output channels of the convolutions, for each block.
    hidden : int
        Number of units of the hidden layer.
    image : (int, int, int)
        Rows, columns and channels of the input.
    dropout : (float, float)
        Probability of switching a unit off while training: after each block, in the hidden layer.
    fast : bool, optional
        Whether convolutions of at least 8 channels use Winograd's algorithm. By default they do on
        a CPU; on an H200 a step takes 1.5 times as long with it as without.
    seed, dtype, xp
        See `Network`.

    References
    ----------
    Zenke, Poole & Ganguli (2017), Section 5.3 and their released code.
    """

    def __init__(
        self,
        n_classes: int,
        *,
        channels: tuple[int, ...] = (32, 64),
        hidden: int = 512,
        image: tuple[int, int, int] = (32, 32, 3),
        dropout: tuple[float, float] = (0.25, 0.5),
        fast: bool | None = None,
        **options: Any,
    ) -> None:
        check_sizes("image", image, 3)
        check_sizes("channels", channels)
        check_whole("n_classes", n_classes)
        check_whole("hidden", hidden)
        if not isinstance(dropout, tuple | list) or len(dropout) != 2:
            raise ConfigError(f"dropout: expected two probabilities, found {dropout!r}")
        *size, n_in = image
        layers: list[Layer] = []
        for n_out in channels:
            for n, padding in ((n_in, "same"), (n_out, "valid")):
                winograd = n >= 8 and (options.get("xp", np) is np if fast is None else fast)
                make = WinogradConv2D if winograd else Conv2D
                layers += [make(n, n_out, padding=padding), ReLU()]
            layers[-1:] = [MaxPool2D(2), ReLU(), *dropouts(dropout[0])]
            n_in, size = n_out, [(n - 2) // 2 for n in size]
        if min(size) < 1:
            raise ConfigError(f"image: expected enough pixels for every block, found {image}")
        features = size[0] * size[1] * n_in
        layers += [Flatten(), Dense(features, hidden), ReLU(), *dropouts(dropout[1])]
        layers.append(Dense(hidden, n_classes, zero=True))
        super().__init__(layers, input_shape=tuple(image), **options)
