"""What every method costs: steps, memory and parameters, relative to plain training.

    python tests/bench/bench_methods.py --out docs/results/bench-methods.json

Every method of split MNIST learns a few steps of each task but the last, so that it has old tasks
to remember; then all of them take turns with steps of the last task, in one process with one
thread. Ratios are taken within a round. Memory is that of the network's table, the optimizer, the
rule and the memory that layers are lent.
"""

import argparse
import time
from dataclasses import replace

import quiet
import turns

BASE = "joint"
"""It learns all tasks at once, without any rule: its step is that of plain training."""
FEW = 320
"""Examples per earlier task: what is measured is the cost of a step, not what was learned."""


def arrays_in(value, seen):
    """Yield all arrays that a value holds, each once."""
    import numpy as np

    if id(value) in seen or isinstance(value, type):
        return
    seen[id(value)] = value
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from arrays_in(one, seen)
    elif isinstance(value, tuple | list | set):
        for one in value:
            yield from arrays_in(one, seen)
    elif hasattr(value, "__dict__") and type(value).__module__.startswith("pysi"):
        yield from arrays_in(vars(value), seen)


def megabytes(*owners):
    """Return the size of all arrays that some objects hold, where views count as what they show."""
    bases = {}
    for array in arrays_in(list(owners), {}):
        while array.base is not None and hasattr(array.base, "nbytes"):
            array = array.base
        bases[id(array)] = array.nbytes
    return sum(bases.values()) / 1e6


class Runner:
    """A method that has learned a little of all earlier tasks, and takes steps of the last one."""

    def __init__(self, name, config, dataset):
        from pysi.experiments.cell import Cell
        from pysi.experiments.methods import METHODS
        from pysi.training import Run

        method = METHODS[name]
        c = method.grid[1] if method.grid else config.strengths_of(name)[-1]
        cell = Cell(replace(config, methods=(name,)), name, c, 0)
        tasks, _ = method.trains.tasks(config.make_tasks(dataset))
        few = [
            replace(task, x_train=task.x_train[:FEW], y_train=task.y_train[:FEW])
            for task in tasks[:-1]
        ]
        net, optimizer, rule = cell.make()
        if few:
            size = config.batch_size
            for _ in Run(net, optimizer, rule, few, epochs=1, batch_size=size).learn():
                pass
        self.run = Run(net, optimizer, rule, tasks[-1:], epochs=10**6, batch_size=config.batch_size)
        self.events = self.run.learn()
        self.c = c

    def steps(self, count):
        """Return the seconds per step of some steps."""
        from pysi.history import Step

        began, done = time.perf_counter(), 0
        while done < count:
            done += isinstance(next(self.events), Step)
        return (time.perf_counter() - began) / count

    def about(self):
        run = self.run
        return {
            "c": self.c,
            "parameters": len(run.net.synapses),
            "megabytes": round(megabytes(run.net, run.optimizer, run.rule), 2),
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--methods", nargs="+")
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--out")
    quiet.options(parser)
    args = parser.parse_args()
    state = quiet.check(parser, args)

    from pysi.experiments import machine
    from pysi.experiments.methods import METHODS
    from pysi.experiments.protocols import SplitMNIST
    from pysi.threads import using

    config, runners, seconds = SplitMNIST(dataset=args.dataset), {}, {}
    dataset = config.load_dataset(args.dataset)
    with using(1):
        for name in args.methods or SplitMNIST.offers():
            method = METHODS[name]
            if method.trains.first_only or method.trains.reset or method.family == "mistake":
                continue
            fits = next(s for s in SplitMNIST.scenarios if s not in method.unfit)
            runners[name] = Runner(name, replace(config, scenario=fits), dataset)
        for number in range(args.rounds + 1):
            for name, runner in runners.items():
                took = runner.steps(args.steps)
                if number:  # the first round warms up
                    seconds.setdefault(name, []).append(took)
    turns.report(
        {
            "benchmark": f"a step of the last of five tasks, split MNIST, {config.hidden}, batch "
            f"{config.batch_size}, float32, one thread",
            "environment": machine.describe("numpy"),
            "machine": state.record(),
            "rounds": args.rounds,
            "steps": args.steps,
            "methods": {name: runner.about() for name, runner in runners.items()},
            "milliseconds": turns.spreads(seconds, 1e3),
            "relative": turns.quotients(seconds, [(name, BASE) for name in seconds]),
        },
        args.out,
    )


if __name__ == "__main__":
    main()
