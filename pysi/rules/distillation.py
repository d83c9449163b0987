"""Distillation: how far a network's outputs are from those that an old network gave."""

import numpy as np

from pysi.backend import namespace
from pysi.errors import ConfigError
from pysi.losses import softmax
from pysi.typing import Array


def distillation(logits: Array, recorded: Array, T: float = 2.0) -> tuple[Array, Array]:
    """Return the mean over examples of -Σ σ(recorded / T) log σ(logits / T), and its gradient.

    The gradient is the derivative with respect to `logits`; σ is the softmax, `recorded` are an old
    network's logits, and T > 0 is a temperature. There is no factor T². Source: Hinton, Vinyals &
    Dean (2015), Distilling the knowledge in a neural network.
    """
    if not T > 0:
        raise ConfigError(f"T: expected a positive temperature, found {T}")
    old, new, batch = softmax(recorded / T), softmax(logits / T), logits.shape[-2]
    tiny = np.finfo(new.dtype).tiny
    loss = -(old * namespace(new).log(new + tiny)).sum(axis=(-2, -1)) / batch
    return loss, (new - old) / (T * batch)
