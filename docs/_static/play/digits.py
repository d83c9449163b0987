"""The page of digits: the functions that it calls, in the order in which a visitor meets them.

The first argument of each is a function that sends a part of the answer to the page at once.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ink import SIDE, centred
from pysi.arguments import refuse, whole
from pysi.backend import stream
from pysi.errors import ConfigError
from pysi.experiments.palette import colour
from two_networks import READOUTS, RULES, Session, digits_of, pairs

LOOK = {
    "free": colour("fine-tuning"),
    "chance": colour("chance"),
    "importance": ["#ffffff", colour("surrogate"), "#003222"],
}

session = Session()


def describe(progress: Any) -> dict[str, Any]:
    """Return what does not change: the rules with their strengths, the tasks and the colours."""
    return {
        "rules": [
            {"name": name, "title": each.title, "short": each.short, "colour": each.colour,
             "strengths": each.strengths, "c": each.c, "dark": each.dark}
            for name, each in RULES.items()
        ],
        "readouts": [{"name": name, "title": title} for name, (_, title) in READOUTS.items()],
        "names": [task.name for task in pairs()],
        "look": LOOK,
    }  # fmt: skip


def start(progress: Any, **settings: Any) -> dict[str, Any]:
    """Begin anew: two networks that have learned nothing; settings: see `Session`."""
    global session
    session = Session(**settings)
    return session.summary()


def learn(progress: Callable[[dict[str, Any]], Any], c: float) -> dict[str, Any]:
    """Let both networks learn the next pair of digits; return the summary."""
    session.learn(progress, c)
    return session.summary()


def back(progress: Any) -> dict[str, Any]:
    """Take the last task back, so that it can be learned again with another c."""
    if not session.before:
        raise ConfigError("task: expected one to take back, found none that has been learned")
    session.net = session.before.pop()
    return session.summary()


def see(progress: Any, drawing: Any) -> dict[str, Any]:
    """Return a drawing as the networks are shown it, and what both answer."""
    image = centred(drawing)
    return {"image": image.reshape(SIDE, SIDE), "answers": session.answers(image)}


def keep(progress: Any, drawing: Any, digit: int) -> dict[str, Any]:
    """Keep a drawing for the next task, with its label; return the summary."""
    n = session.net.learned
    if n == len(session.tasks):
        raise ConfigError("digit: expected one of a task that is left to learn, found none; "
                          "take the last task back, or start again")  # fmt: skip
    if whole("digit", digit, 0) not in digits_of(n):
        raise refuse("digit", f"{pairs()[n].name}, which the next task is about", digit)
    session.kept.append((digit, centred(drawing)))
    return session.summary()


def discard(progress: Any, index: int) -> dict[str, Any]:
    """Forget a drawing that was kept, counted from 0; return the summary."""
    if whole("index", index, 0) >= len(session.kept):
        raise refuse("index", f"one of {len(session.kept)} drawings that were kept", index)
    del session.kept[index]
    return session.summary()


def example(progress: Any, number: int) -> dict[str, Any]:
    """Return test image `number` of those of the tasks up to the next one, and its digit."""
    tasks = pairs()[: session.net.learned + 1]
    labels = np.concatenate([task.y_test for task in tasks])
    images = np.concatenate([task.x_test for task in tasks])
    order = stream(session.seed, "example").permutation(len(labels))
    at = order[whole("number", number, 0) % len(labels)]
    return {"digit": labels[at], "image": images[at].reshape(SIDE, SIDE)}


def learn_headless(progress: Any, c: float = 1.0, tasks: int = 2, **settings: Any) -> list[Any]:
    """Return the accuracies of both networks on each task, after the last of so many tasks.

    A visitor who starts and learns `tasks` pairs gets the same. Another machine may add float32
    numbers in another order, which changes the answer to single test images: expect agreement
    within 0.03.
    """
    start(progress, **settings)
    for _ in range(whole("tasks", tasks)):
        session.learn(progress, c)
    return session.summary()["accuracy"]
