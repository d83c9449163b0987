"""What is checked around a run: its arguments before any work, its numbers after every epoch."""

from collections.abc import Iterable
from inspect import signature
from typing import Any

import numpy as np

from pysi.arguments import instance, refuse, whole
from pysi.backend import to_host
from pysi.errors import ConfigError, DivergenceError
from pysi.inputs import check_pixels, check_values
from pysi.network import Network
from pysi.optim import Optimizer
from pysi.rules.rule import Rule
from pysi.tasks import Task
from pysi.threads import wanted
from pysi.typing import Array


def check_finite(net: Network, losses: Array, task: int, epoch: int) -> None:
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


def check_listeners(listeners: Any) -> list[Any]:
    """Return listeners as a list; raise a ConfigError if one cannot be called."""
    if isinstance(listeners, str) or not isinstance(listeners, Iterable):
        raise refuse("listeners", "a list of functions of an event", listeners)
    for listener in (listeners := list(listeners)):
        if isinstance(listener, type) or not callable(listener):
            raise refuse("listeners", "functions of an event", listener)
    return listeners


def check_options(given: Iterable[str], known: Any, threads: Any) -> None:
    """Raise a ConfigError for arguments that `known` does not take, or a bad number of threads."""
    if threads is not None:
        whole("threads", threads)
    wanted()
    names = list(signature(known).parameters)
    for name in given:
        if name not in names:
            remedy = ""
            if name == "checkpoint":
                remedy = "; a checkpoint is a listener, listeners=[Checkpoint(path, settings)]"
            raise ConfigError(f"{name}: expected one of {names}, found another{remedy}")


def check_arguments(
    net: Any, optimizer: Any, rule: Any, tasks: list[Task], tested: list[Task], epochs: Any,
    batch_size: Any, reset_network: bool = False,
) -> None:  # fmt: skip
    """Raise a ConfigError for what cannot be trained, before any work is done."""
    instance("net", net, Network)
    instance("optimizer", optimizer, Optimizer)
    instance("rule", rule, Rule)
    whole("epochs", epochs)
    whole("batch_size", batch_size)
    if len(net.output_shape) != 1 or not net.layers[-1].parameters:
        found = f"{net.layers[-1]!r} with output {net.output_shape}"
        raise ConfigError(
            f"net: expected a last layer with weights and one output per class, such as Dense, "
            f"found {found}"
        )
    if hasattr(net, "check"):
        if reset_network:
            kind = type(net).__name__
            raise ConfigError(f"reset_network: expected False with a {kind}, which keeps old tasks")
        net.check(tasks)
    seen: list[Any] = []
    highest = 0
    for task in [*tasks, *tested]:
        for part, x in (("train", task.x_train), ("test", task.x_test)):
            where = f"task {task.name!r}: {part} inputs"
            if x.shape[1:] != net.input_shape:
                raise ConfigError(
                    f"{where}: expected examples of shape {net.input_shape}, as the network has, "
                    f"found {x.shape[1:]}"
                )
            if not any(x is other for other in seen):
                highest = max(highest, check_values(where, x, net.synapses.dtype))
                seen.append(x)
        if (len(task.active),) != net.output_shape:
            raise ConfigError(
                f"task {task.name!r}: expected {net.output_shape[0]} classes, one per unit of the "
                f"network's readout, found {len(task.active)}"
            )
    check_pixels(highest)
