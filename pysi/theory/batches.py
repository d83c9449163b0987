"""Is Ω a Fisher information in disguise? ω and Ω against F, over batch sizes and learning rates.

    python -m pysi.theory.batches --out docs/results/omega-fisher.json

Benzing (2022) says that Synaptic Intelligence is close to √F, the root of the Fisher information,
because of the bias of ω: the noise of a minibatch is in its gradient and, through the optimizer, in
the step. Then the likeness must exist for small minibatches, vanish for large ones, and come from
the bias. The program trains on a first task, with minibatches of 16 examples up to all of them, and
prints how ω, its part ω_own and Ω are correlated over the synapses with:

- the exact and the empirical Fisher diagonal at the end of the task, and their roots;
- the mean of g² along the path, for the gradients g of the minibatches, and its root.

Synapses whose gradient was always zero, such as those of blank pixels, are left out: all of these
rows are zero there, which would count as likeness. A second part keeps the ledger of such runs,
and correlates its terms in the same way. References: Benzing (2022), Unifying importance based
regularisation methods for continual learning, AISTATS.
"""

import argparse
import json
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from itertools import islice, product
from pathlib import Path
from typing import Any

import numpy as np

from pysi.data import Dataset, load_dataset
from pysi.descent import Momentum
from pysi.evaluation import score
from pysi.history import Step
from pysi.network import MLP, Network
from pysi.optim import SGD, Adam, Optimizer
from pysi.rules.fisher import diagonal_fisher, empirical_fisher
from pysi.rules.si import SynapticIntelligence
from pysi.storage.files import atomic
from pysi.tasks import Task, permuted_tasks, split_tasks
from pysi.theory.curvature import correlations
from pysi.theory.ledger import keep, own_rate
from pysi.threads import computing
from pysi.training import Run
from pysi.typing import Array, DTypeLike

Rows = dict[str, Array]
OPTIMIZERS: dict[str, Callable[[float], Optimizer]]
OPTIMIZERS = {"SGD": SGD, "momentum": Momentum, "Adam": Adam}
TERMS = ("omega", "own", "carried", "full", "bias")
"""The terms of a ledger that are correlated with F."""


@dataclass(frozen=True)
class Plan:
    """What is run.

    Attributes
    ----------
    hidden : tuple of int
        Sizes of the hidden layers (ReLU).
    seeds : int
        How many networks, with the seeds 0, 1, …
    examples : int
        How many of a task's training examples, the first ones, are used; also the full batch size.
    xi : float
        Damping ξ of Ω.
    steps, ledger_steps : int
        How many minibatches are learned.
    batch_sizes, ledger_batch_sizes : tuple of int
    rates, ledger_rates : tuple of (str, float)
        Optimizers, each with a learning rate.
    """

    hidden: tuple[int, ...] = (50, 50)
    seeds: int = 3
    examples: int = 4096
    xi: float = 1e-3
    steps: int = 200
    batch_sizes: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
    rates: tuple[tuple[str, float], ...] = (
        ("SGD", 0.03), ("SGD", 0.1), ("Adam", 3e-4), ("Adam", 1e-3),
    )  # fmt: skip
    ledger_steps: int = 100
    ledger_batch_sizes: tuple[int, ...] = (16, 128, 1024)
    ledger_rates: tuple[tuple[str, float], ...] = (
        ("SGD", 0.1), ("momentum", 0.01), ("Adam", 1e-3),
    )  # fmt: skip


def first_tasks(dataset: Dataset, examples: int) -> dict[str, Task]:
    """Return split MNIST's first task, 0 or 1, and permuted MNIST's, all ten digits."""
    tasks = {"split": split_tasks(dataset)[0], "permuted": permuted_tasks(dataset, 1)[0]}
    return {
        name: replace(task, x_train=task.x_train[:examples], y_train=task.y_train[:examples])
        for name, task in tasks.items()
    }


def networks(plan: Plan, task: Task, dtype: DTypeLike) -> Network:
    """Return the plan's networks, side by side."""
    sizes = (task.x_train[0].size, *plan.hidden, len(task.active))
    return MLP(sizes, seed=range(plan.seeds), dtype=dtype)


def curvatures(net: Network, task: Task) -> dict[str, Array]:
    """Return both Fisher diagonals at the networks' weights, (R, P) each."""
    x, labels = task.part("train")
    return {
        "exact": diagonal_fisher(net, x, task.active),
        "empirical": empirical_fisher(net, x, labels, task.active),
    }


def rounded(values: Iterable[Any]) -> list[float]:
    """Return a list of rounded numbers, for a file."""
    return [round(float(value), 4) for value in values]


def likeness(net: Network, seen: Array, rows: Rows, others: Rows) -> dict[str, Any]:
    """Return how rows (R, P) are correlated with curvatures, over the synapses that are `seen`.

    Returns
    -------
    dict
        By "all" or a layer's name, by row, and by curvature: a list that holds, for each seed,
        Pearson's correlation with the curvature, Pearson's with its root, and Spearman's.
    """
    s = net.synapses
    layer = np.concatenate(
        [np.full(int(np.prod(shape)), name.partition(".")[0]) for name, shape in s.shapes.items()]
    )
    found: dict[str, Any] = {}
    for scope in ("all", *dict.fromkeys(layer.tolist())):
        columns = [np.flatnonzero(one & ((layer == scope) | (scope == "all"))) for one in seen]
        for row, other in product(rows, others):
            pairs = zip(rows[row], others[other], columns, strict=True)
            found.setdefault(scope, {}).setdefault(row, {})[other] = [
                rounded(astuple(correlations(a[of].astype(float), b[of].astype(float))))
                for a, b, of in pairs
            ]
    return found


def run_cell(plan: Plan, task: Task, optimizer: Optimizer, batch_size: int) -> dict[str, Any]:
    """Train on a task, and correlate ω, ω_own and Ω with F, and with g² along the path."""
    net, rule = networks(plan, task, np.float32), SynapticIntelligence(0.0, xi=plan.xi)
    s = net.synapses
    run = Run(net, optimizer, rule, [task], epochs=plan.steps, batch_size=batch_size)
    own, squares = s.zeros(), s.zeros()
    with computing(net, batch_size):
        made = (event for event in run.learn() if isinstance(event, Step))
        for _ in islice(made, plan.steps):
            square = s.grad**2
            own += own_rate(optimizer)[0] * square
            squares += square
        rows = {"omega": s.omega.copy(), "own": own}
        rule.end_task(net, task)
        others = curvatures(net, task) | {"path": squares / plan.steps}
        accuracy = score(net, task, "test", task)
    rows["Omega"] = s.Omega
    return {
        "test_accuracy": rounded(accuracy),
        "own_share": rounded(own.sum(axis=-1) / rows["omega"].sum(axis=-1)),
        "likeness": likeness(net, squares > 0, rows, others),
    }


def ledger_cell(plan: Plan, task: Task, optimizer: Optimizer, batch_size: int) -> dict[str, Any]:
    """Keep the ledger of a run, and correlate its terms with F at the end, and with √F."""
    net, rule = networks(plan, task, np.float64), SynapticIntelligence(0.0)
    books = keep(net, optimizer, rule, task, steps=plan.ledger_steps, batch_size=batch_size)
    rows = {name: getattr(books.synapses, name) for name in TERMS}
    totals = books.steps.totals()
    if decay := own_rate(optimizer)[1]:
        totals["bias_without_evaluation"] = books.steps.bias_without_evaluation(decay).sum(axis=-1)
    else:
        del rows["carried"]  # it is 0, up to rounding
    with computing(net, batch_size):
        others = curvatures(net, task)
    return {
        "totals": {name: rounded(total) for name, total in totals.items()},
        "likeness": likeness(net, rows["own"] > 0, rows, others)["all"],
    }


def cells(plan: Plan, tasks: dict[str, Task]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run the plan, and yield its cells, each with the name of its part of the file."""
    parts = {
        "runs": (run_cell, plan.rates, plan.batch_sizes),
        "ledgers": (ledger_cell, plan.ledger_rates, plan.ledger_batch_sizes),
    }
    for part, (cell, rates, sizes) in parts.items():
        for (name, task), (optimizer, lr), size in product(tasks.items(), rates, sizes):
            about = {"task": name, "optimizer": optimizer, "lr": lr, "batch_size": size}
            yield part, about | cell(plan, task, OPTIMIZERS[optimizer](lr), size)


def line(part: str, cell: dict[str, Any]) -> str:
    """Return a cell as a line of the printed table: means over the seeds."""
    about = "{task:<9} {optimizer:<9} {lr:<7g} {batch_size:>5}  ".format(**cell)
    if part == "ledgers":
        names = ("omega", "drop", "discretisation", "noise", "memory")
        shown = [f"{name} {np.mean(cell['totals'][name]):.3f}" for name in names]
    else:
        within = cell["likeness"]["all"]
        means = {row: np.mean(within[row]["empirical"], axis=0) for row in within}
        shown = [f"{row} {m[0]:5.2f} {m[1]:5.2f} {m[2]:5.2f}" for row, m in means.items()]
    return about + "   ".join(shown)


def main(args: Sequence[str] | None = None) -> None:
    """Run the program with `args`, by default those of the command line."""
    command = argparse.ArgumentParser(
        prog="python -m pysi.theory.batches", description=__doc__.splitlines()[0]
    )
    command.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    command.add_argument("--data", type=Path, help="folder of the data, as for `pysi run`")
    options, plan = command.parse_args(args), Plan()
    dataset = load_dataset("mnist", options.data)
    found: dict[str, Any] = {
        "plan": asdict(plan),
        "dataset": dataset.name,
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "runs": [],
        "ledgers": [],
    }
    print("runs: correlation with the empirical F, with √F, and of ranks")
    for part, cell in cells(plan, first_tasks(dataset, plan.examples)):
        print(line(part, cell), flush=True)
        found[part].append(cell)
    with atomic(options.out, "w", encoding="utf-8") as file:
        json.dump(found, file, ensure_ascii=False)


if __name__ == "__main__":
    main()
