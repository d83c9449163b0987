"""Cost of computing importance with Synaptic Intelligence and with EWC, per task.

    python tests/bench/bench_importance.py --out docs/results/bench-importance.json

The task is one of permuted MNIST's: 60,000 examples, 20 epochs of minibatches of 256 for the
network 784-2000-2000-10. Synaptic Intelligence takes a little time at every step, EWC one pass
over the data per class when the task ends. The penalty, which both share, is left out.
"""

import argparse
import time

import quiet
import turns
from bench_step import NETS

EXAMPLES, EPOCHS = 60_000, 20
CLOCKED = ("plain training, a step", "Synaptic Intelligence, a step")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="two or more")
    parser.add_argument("--steps", type=int, default=40, help="timed steps per round")
    parser.add_argument("--out")
    quiet.options(parser)
    args = parser.parse_args()
    state = quiet.check(parser, args)

    import numpy as np

    import pysi
    from pysi.backend import compiled
    from pysi.experiments import machine
    from pysi.training import training_step

    sizes, batch, *_ = NETS["permuted"]
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (EXAMPLES, sizes[0])).astype(np.uint8)
    x[rng.random(x.shape) < 0.8] = 0  # like MNIST, four pixels in five are blank
    y, active = rng.integers(0, sizes[-1], EXAMPLES), np.ones(sizes[-1], bool)
    task = pysi.Task("task", x, y, x[:1], y[:1], active)

    def contestant(rule):
        net, optimizer = pysi.MLP(sizes), pysi.Adam()
        rule.start(net.synapses)
        optimizer.start(net.synapses)
        return net, optimizer, rule

    plain, si = contestant(pysi.FineTuning()), contestant(pysi.SynapticIntelligence(0.0))
    exact, empirical = (contestant(pysi.EWC(0.0, fisher=f)) for f in ("exact", "empirical"))

    def step(net, optimizer, rule):
        chosen = rng.integers(0, EXAMPLES, batch)
        training_step(net, optimizer, rule, x[chosen], y[chosen], task)

    def end(net, optimizer, rule):
        rule.end_task(net, task)

    parts = {
        "plain training, a step": (step, plain),
        "Synaptic Intelligence, a step": (step, si),
        "Synaptic Intelligence, the end of a task": (end, si),
        "EWC, exact Fisher, the end of a task": (end, exact),
        "EWC, empirical Fisher, the end of a task": (end, empirical),
    }
    seconds = {name: [] for name in parts}
    with compiled.compiled(bool(compiled.numba()) or None):  # at once, as in a long run
        for kind in (step, end):
            for number in range((args.steps if kind is step else 1) * args.rounds + 1):
                for name, (part, who) in parts.items():
                    if part is not kind or (kind is end and number == 0):
                        continue
                    began = time.perf_counter()
                    part(*who)
                    if number:  # the first step warms up
                        seconds[name].append(time.perf_counter() - began)
        libraries = machine.libraries()
    steps = EPOCHS * -(-EXAMPLES // batch)
    median = {name: turns.spread(values)["median"] for name, values in seconds.items()}
    extra = [b - a for a, b in zip(*(seconds[name] for name in CLOCKED), strict=True)]
    cost = {
        "training": steps * median["plain training, a step"],
        "Synaptic Intelligence": steps * turns.spread(extra)["median"]
        + median["Synaptic Intelligence, the end of a task"],
        "EWC, exact Fisher": median["EWC, exact Fisher, the end of a task"],
        "EWC, empirical Fisher": median["EWC, empirical Fisher, the end of a task"],
    }
    result = {
        "benchmark": f"cost of importance, {sizes}, batch {batch}, {steps} steps per task, float32",
        "environment": machine.describe("numpy") | libraries,
        "machine": state.record(),
        "rounds": args.rounds,
        "steps_a_round": args.steps,
        "seconds": {name: turns.spread(values) for name, values in seconds.items()},
        "seconds_a_task": cost,
        "share_of_training": {name: value / cost["training"] for name, value in cost.items()},
    }
    turns.report(result, args.out)


if __name__ == "__main__":
    main()
