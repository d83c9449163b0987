"""What is checked around a run: its arguments before any work, its numbers after every epoch."""

import numpy as np

from pysi.backend import to_host
from pysi.errors import ConfigError, DivergenceError


def check_finite(net, losses, task, epoch):
    """Raise a DivergenceError if a loss of this epoch, or a weight at its end, is not finite."""
    finite = np.isfinite(to_host(losses)).reshape(len(net.seeds), -1)
    weights = np.atleast_1d(to_host(net.synapses.xp.isfinite(net.synapses.theta).all(axis=-1)))
    for r, (seed, steps) in enumerate(zip(net.seeds, finite, strict=True)):
        if not (steps.all() and weights[r]):
            what = "a weight" if steps.all() else "the loss"
            step = len(steps) if steps.all() else np.argmin(steps) + 1
            error = DivergenceError(
                f"{what} is not finite: seed {seed}, task {task}, epoch {epoch}, step {step} of "
                f"{len(steps)}. Lower the learning rate or c."
            )
            error.replica = r
            raise error


def check_arguments(net, tasks, tested, epochs, batch_size):
    """Raise a ConfigError for what cannot be trained, before any work is done."""
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if int(value) != value or value < 1:
            raise ConfigError(f"{name}: expected a whole number from 1, found {value}")
    if not tasks:
        raise ConfigError("tasks: expected at least one task, found none")
    for task in [*tasks, *tested]:
        train, test = task.x_train.shape[1:], task.x_test.shape[1:]
        if not train == test == net.input_shape:
            raise ConfigError(
                f"task {task.name!r}: expected inputs of shape {net.input_shape}, as the network "
                f"has, found {train} for training, {test} for testing"
            )
        if (len(task.active),) != net.output_shape:
            raise ConfigError(
                f"task {task.name!r}: expected {net.output_shape} classes, as the network's "
                f"readout has units, found {len(task.active)}"
            )
