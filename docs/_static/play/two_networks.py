"""Two networks learn pairs of digits: one without consolidation, and one with it.

Both begin with the same weights and see the same examples in the same order: nothing but the
penalty tells them apart.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

import pysi
from ink import SIDE
from pysi.arguments import choice, whole
from pysi.errors import ConfigError
from pysi.evaluation import score
from pysi.experiments.palette import SPARE, colour
from pysi.history import Event, Step
from pysi.losses import softmax
from pysi.scenarios import in_scenario
from pysi.typing import Array

HIDDEN, RATE, EPOCHS, BATCH = 40, 5e-3, 4, 32
REPEATS = 20
"""How many times a digit of the visitor's is among the training examples of its task."""
EVERY = 5
"""Steps from one test to the next, in the first two tasks; later there is more to test."""
FACTORS = (0, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)
"""The strengths on the slider, as multiples of the one that does well."""


@dataclass(frozen=True)
class Choice:
    """A rule to choose: its name, a strength c that does well here, and what its Ω stands for."""

    title: str
    short: str
    rule: Callable[..., Any]
    c: float
    colour: str
    dark: str

    @property
    def strengths(self) -> list[float]:
        """The values of c on the slider."""
        return [float(f"{self.c * factor:.3g}") for factor in FACTORS]


RULES = {
    "si": Choice(
        "Synaptic Intelligence", "SI", pysi.SynapticIntelligence, 1.0, colour("si"),
        "did much to lower the loss",
    ),
    "ewc": Choice(
        "Elastic Weight Consolidation", "EWC", pysi.EWC, 1000.0, colour("ewc"),
        "change the probabilities of the answers most (Fisher information)",
    ),
    "mas": Choice(
        "Memory Aware Synapses", "MAS", pysi.MAS, 0.1, SPARE[0], "change the output most",
    ),
}  # fmt: skip
READOUTS = {
    "shared": ("domain", "one for all digits: even or odd?"),
    "own": ("task", "one for each pair, as in the paper"),
}
"""Which output units the pairs have: the scenario of `pysi.scenarios`, and what it is called."""


@cache
def pairs() -> list[pysi.Task]:
    """Return the five tasks of split MNIST, of the digits that come with the package."""
    return pysi.split_tasks(pysi.load_dataset("mnist-5k"))


def digits_of(task: int) -> list[int]:
    """Return the two digits that a task, counted from 0, is about."""
    return np.flatnonzero(pairs()[task].active).tolist()


class Session:
    """Two networks, what they have learned, and the digits that the visitor has painted.

    Parameters
    ----------
    rule : {"si", "ewc", "mas"}
        The rule of the second network; the first network has the same rule with c = 0.
    readout : {"shared", "own"}
        See `READOUTS`.
    seed : int
        It fixes the initial weights and the order of the examples.
    """

    def __init__(self, rule: str = "si", readout: str = "shared", seed: int = 0) -> None:
        self.rule = RULES[choice("rule", rule, RULES)]
        self.readout = choice("readout", readout, READOUTS)
        self.seed = whole("seed", seed, 0)
        self.tasks = in_scenario(pairs(), READOUTS[readout][0])
        sizes = [SIDE * SIDE, HIDDEN, len(self.tasks[0].active)]
        self.net = pysi.MLP(sizes, zero_readout=True, seed=[seed, seed])
        self.before: list[pysi.Network] = []  # the networks as they were before each task
        self.kept: list[tuple[int, Array]] = []  # digits that the visitor has painted

    def target(self, task: int, digit: int) -> int:
        """Return the output unit that stands for a digit of a task."""
        return int(np.flatnonzero(self.tasks[task].active)[digits_of(task).index(digit)])

    def with_own(self, task: int) -> pysi.Task:
        """Return a task; its training examples include the visitor's digits, `REPEATS` times."""
        plain, own = self.tasks[task], [k for k in self.kept if k[0] in digits_of(task)]
        if not own:
            return plain
        labels = np.repeat([self.target(task, digit) for digit, _ in own], REPEATS)
        images = np.repeat([image for _, image in own], REPEATS, axis=0)
        x, y = np.concatenate([plain.x_train, images]), np.concatenate([plain.y_train, labels])
        return replace(plain, x_train=x, y_train=y)

    def learn(self, progress: Callable[[dict[str, Any]], Any], c: float) -> None:
        """Learn the next task; the second network has strength c. Send accuracies on the way."""
        task = self.net.learned
        if task == len(self.tasks):
            raise ConfigError(f"task: expected one that is left to learn, found none: all {task} "
                              "are learned; start again")  # fmt: skip
        rule = self.rule.rule(c=[0.0, c])  # a new one goes on with the table, so c may change
        tested, examples = self.tasks[: task + 1], self.with_own(task)
        steps = EPOCHS * -(-len(examples.y_train) // BATCH)

        def tell(step: int) -> None:
            found = {"task": task, "step": step, "steps": steps, "accuracy": self.scores(tested)}
            progress(found | {"omega": self.picture("omega")})

        def listen(event: Event) -> None:
            if isinstance(event, Step):
                done = (event.epoch - 1) * (steps // EPOCHS) + event.step
                if done % (EVERY * (1 + task // 2)) == 0 or done == steps:
                    tell(done)

        before, self.net = self.net, self.net.copy()
        tell(0)
        try:
            pysi.train(
                self.net, pysi.Adam(RATE), rule, [examples], epochs=EPOCHS, batch_size=BATCH,
                tested=tested, listeners=[listen], threads=1,
            )  # fmt: skip
        except BaseException:
            self.net = before
            raise
        self.before.append(before)

    def scores(self, tasks: Iterable[pysi.Task]) -> list[list[float]]:
        """Return the test accuracy of both networks on each task."""
        return [score(self.net, task, "test").tolist() for task in tasks]

    def picture(self, row: str) -> Array:
        """Return a row of the second network's table, such as Ω, per pixel: (28, 28).

        It is the sum over the synapses that lead from the pixel to the hidden units.
        """
        importance = getattr(self.net.synapses.group("dense1.W"), row)[1]
        return importance.sum(axis=-1).reshape(SIDE, SIDE)

    def answers(self, image: Array) -> list[dict[str, Any]]:
        """Return how sure both networks are of each answer to the questions that they know."""
        if not self.net.learned:
            return []
        logits = self.net.logits(image[None])[:, 0]
        shared, found = self.readout == "shared", []
        for task in range(1 if shared else self.net.learned):
            active = self.tasks[task].active
            words = ["even", "odd"] if shared else [str(digit) for digit in digits_of(task)]
            p = softmax(logits, active)[:, active]
            found.append({"question": " or ".join(words), "words": words, "p": p.tolist()})
        return found

    def own(self) -> list[dict[str, Any]]:
        """Return the visitor's digits, and which network reads each of them correctly."""
        listed = []
        for digit, image in self.kept:
            task = digit // 2
            entry: dict[str, Any] = {"digit": digit, "image": image.reshape(SIDE, SIDE)}
            if task < self.net.learned:
                read = self.net.predict(image[None], self.tasks[task].active)[:, 0]
                entry["right"] = (read == self.target(task, digit)).tolist()
            listed.append(entry)
        return listed

    def summary(self) -> dict[str, Any]:
        """Return what has been learned, and which digits come next."""
        n, importance = self.net.learned, self.picture("Omega")
        accuracy = self.scores(self.tasks[:n])
        return {
            "learned": n,
            "digits": digits_of(n) if n < len(self.tasks) else [],
            "accuracy": accuracy,
            "Omega": importance,
            "half": half(importance),
            "own": self.own(),
            "sentences": [
                f"Of the {'s and '.join(map(str, digits_of(task)))}s, {percent(free)} are "
                f"{'still ' if task < n - 1 else ''}read correctly without consolidation, and "
                f"{percent(held)} with {self.rule.short}."
                for task, (free, held) in enumerate(accuracy)
            ],
        }


def percent(share: float) -> str:
    """Return a share in words, rounded as the page's scripts round."""
    return f"{int(100 * share + 0.5)} %"


def half(importance: Array) -> float:
    """Return the smallest share of the pixels that holds half of all importance; 0 without any."""
    falling = np.sort(importance.ravel())[::-1].cumsum()
    return (1 + np.argmax(falling >= falling[-1] / 2)) / falling.size if falling[-1] > 0 else 0.0
