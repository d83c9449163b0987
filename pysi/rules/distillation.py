"""Distillation: how far a network's outputs are from those of an old network."""

from typing import Any

import numpy as np

from pysi.arguments import number
from pysi.backend import namespace
from pysi.losses import softmax
from pysi.typing import Array


def temperature(T: Any) -> float:
    """Return a temperature as a float; raise a ConfigError unless it is finite and positive."""
    return number("T", T, "a positive temperature", lambda T: T > 0)


def distillation(
    logits: Array,
    recorded: Array,
    T: float = 2.0,
    active: Array | bool = True,
    among: Array | None = None,
) -> tuple[Array, Array]:
    """Return the mean over examples of -Σ σ(recorded / T) log σ(logits / T), and its gradient.

    The gradient is the derivative with respect to `logits`. There is no factor T².

    Parameters
    ----------
    logits, recorded : array, (..., B, K)
        Outputs of this network, and of an old one for the same examples.
    T : float
        Temperature, T > 0.
    active : array of bool, (K,)
        The classes among which the softmax σ chooses: by default, all. The gradient of all other
        logits is exactly zero.
    among : array of bool, (K,), optional
        The classes among which this network chooses, if there are more of them. To those that are
        not `active` the old network gives probability zero.

    Returns
    -------
    loss : array, (...)
        In nats.
    gradient : array, (..., B, K)

    References
    ----------
    Hinton, Vinyals & Dean (2015), Distilling the knowledge in a neural network.
    """
    T, batch = temperature(T), logits.shape[-2]
    old = softmax(recorded / T, active)
    new = softmax(logits / T, active if among is None else among)
    tiny = float(np.finfo(new.dtype).tiny)
    loss = -(old * namespace(new).log(new + tiny)).sum(axis=(-2, -1)) / batch
    return loss, (new - old) / (T * batch)
