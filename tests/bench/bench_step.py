"""Time of one training step with Synaptic Intelligence, against PyTorch and JAX, in turns.

    python tests/bench/bench_step.py --out docs/results/bench-step.json
    python tests/bench/bench_step.py --net permuted --out docs/results/bench-step-permuted.json
    python tests/bench/bench_step.py --net cnn --out docs/results/bench-step-cnn.json
    python tests/bench/bench_step.py --net cnn-64 --out docs/results/bench-step-cnn-64.json

float32, penalty switched on. `pysi` runs with Numba, `pysi-numpy` without; `adam` in a name means
plain training, without Synaptic Intelligence. PyTorch's "best" is its fastest eager form, "compile"
compiles the network, and "compile-all" also penalty, optimizer and path integral; the convolutional
network has its channels last in them, and in the default order in the idiomatic form. "one run"
gives every contestant all threads; "seeds in parallel" runs one process per core, bound to this
core, with one thread each, and counts time per seed.
"""

import argparse
import os
import statistics
import time
from functools import partial

import quiet
import turns

# units of the layers (or "cnn", CIFAR's network); minibatch, active classes, steps per turn
NETS = {
    "split": ((784, 256, 256, 10), 64, 2, 60),
    "permuted": ((784, 2000, 2000, 10), 256, 10, 8),
    "cnn": ("cnn", 256, 10, 4),
    "cnn-64": ("cnn", 64, 10, 12),
}


def problem(net):
    import numpy as np

    sizes, batch, active, steps = NETS[net]
    rng = np.random.default_rng(0)
    if sizes == "cnn":
        x = rng.integers(0, 256, (4 * batch, 32, 32, 3), np.uint8)
        return x, rng.integers(0, active, len(x)), np.arange(60) < active, rng
    x = rng.integers(0, 256, (4096, sizes[0])).astype(np.uint8)
    x[rng.random(x.shape) < 0.8] = 0  # like MNIST, four pixels in five are blank
    return x, rng.integers(0, active, len(x)), np.arange(sizes[-1]) < active, rng


def turn_of(step, net, order):
    """Return a function that takes a turn: the median time of steps with different minibatches."""
    _, batch, _, steps = NETS[net]

    def turn():
        shuffled, times = order(), []
        for i in range(steps):
            began = time.perf_counter()
            step(shuffled[i * batch % len(shuffled) :][:batch])
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    return turn


def pysi_contestant(name, net):
    import numpy as np

    import pysi
    from pysi.backend import compiled
    from pysi.experiments import machine
    from pysi.threads import using
    from pysi.training import training_step

    if not (name.endswith("-numpy") or compiled.in_use()):
        raise ImportError("Numba is not in use; see pysi-numpy")
    x, y, active, rng = problem(net)
    task = pysi.Task("bench", x, y, x[:1], y[:1], active)
    images, optimizer = NETS[net][0] == "cnn", pysi.Adam()
    network = pysi.CNN(60) if images else pysi.MLP(NETS[net][0])
    plain = name.startswith("pysi-adam")
    rule = pysi.FineTuning() if plain else pysi.SynapticIntelligence(1.0)
    rule.start(network.synapses)
    optimizer.start(network.synapses)
    network.restart("bench")
    if not plain:
        network.synapses.Omega[...] = rng.random(len(network.synapses))
        rule.refresh()

    def step(batch):
        training_step(network, optimizer, rule, x[batch], y[batch], task)

    steps, count = turn_of(step, net, lambda: rng.permutation(len(x))), threads()

    def turn():
        with using(count, images=images):
            return steps()

    with using(count, images=images):
        about = {"numpy": np.__version__, "blas": machine.blas()}
    about |= {"numba": compiled.in_use()} | ({"image_threads": count} if images else {})
    return turn, about


def torch_contestant(name, net):
    import torch
    from torch_si import Trainer

    torch.set_num_threads(threads())
    x, y, active, rng = problem(net)
    x, y, active = torch.tensor(x) / 255, torch.tensor(y), torch.tensor(active)
    form = name.removeprefix("torch-")
    if NETS[net][0] == "cnn" and form == "idiomatic":
        x = x.permute(0, 3, 1, 2).contiguous()
    trainer = Trainer(NETS[net][0], form)
    trainer.end_task()
    trainer.Omega = [torch.rand_like(p) for p in trainer.parameters]

    def step(batch):
        shown = x[batch]
        if NETS[net][0] == "cnn" and form != "idiomatic":
            shown = shown.permute(0, 3, 1, 2)  # no copy: the channels stay last in memory
        trainer.step(shown, y[batch], active)

    def order():
        return torch.tensor(rng.permutation(len(x)))

    step(order()[: NETS[net][1]])  # compiles, or says why not
    turn = turn_of(step, net, order)
    return turn, {"torch": torch.__version__, "threads": torch.get_num_threads()}


def jax_contestant(name, net):
    import jax
    from jax_si import Trainer

    x, y, active, rng = problem(net)  # bytes: the compiled step divides them by 255
    trainer = Trainer(NETS[net][0])
    trainer.end_task()
    keys = jax.random.split(jax.random.key(1), len(trainer.Omega))
    trainer.Omega = [
        jax.random.uniform(k, w.shape) for k, w in zip(keys, trainer.Omega, strict=True)
    ]

    def step(batch):
        trainer.step(x[batch], y[batch], active)
        jax.block_until_ready(trainer.state)

    turn = turn_of(step, net, lambda: rng.permutation(len(x)))
    return turn, {"jax": jax.__version__, "backend": jax.default_backend()}


def threads():
    """Return how many threads a contestant shall use."""
    return int(os.environ["OMP_NUM_THREADS"])


CONTESTANTS = {
    "pysi": pysi_contestant,
    "pysi-numpy": pysi_contestant,
    "pysi-adam": pysi_contestant,
    "pysi-adam-numpy": pysi_contestant,
    "torch-idiomatic": torch_contestant,
    "torch-best": torch_contestant,
    "torch-compile": torch_contestant,
    "torch-compile-all": torch_contestant,
    "jax": jax_contestant,
}


def plan_of(names, net, cores):
    """Return the teams: functions that make their contestants, by the team's name."""

    def maker(name, count, core=None):
        variables = {"PYSI_COMPILED": "0" if name.endswith("-numpy") else "1"}
        words = "--net", net
        return partial(
            turns.Contestant, __file__, name, count, *words, core=core, variables=variables
        )

    plan = {f"{name}, one run": [maker(name, cores)] for name in names}
    for name in names:
        if "adam" not in name:
            plan[f"{name}, seeds in parallel"] = [maker(name, 1, core) for core in range(cores)]
    for name in names:
        if name.startswith("pysi"):
            plan[f"{name}, one thread"] = [maker(name, 1, 0)]
    return plan


def pairs_of(teams):
    """Return the pairs of teams whose times are compared."""
    pairs = [(team, "torch-idiomatic, one run") for team in teams]
    for form in ("one run", "seeds in parallel"):
        others = (*CONTESTANTS, "pysi-numpy")
        pairs += [(f"pysi, {form}", f"{name}, {form}") for name in others if "adam" not in name]
    for form in ("one run", "one thread"):
        pairs += [(f"pysi{end}, {form}", f"pysi-adam{end}, {form}") for end in ("", "-numpy")]
    return pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve")
    parser.add_argument("--net", choices=NETS, default="split")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, metavar="NAME",
                        default=[*CONTESTANTS], help=f"of {', '.join(CONTESTANTS)}")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out")
    quiet.options(parser)
    args = parser.parse_args()
    if args.serve:
        turns.attend(lambda: CONTESTANTS[args.serve](args.serve, args.net))
        return
    state = quiet.check(parser, args)

    from pysi.experiments import machine

    absent, cores = {}, machine.require("joblib").cpu_count()
    teams = turns.gather(plan_of(args.only, args.net, cores), absent)
    sizes, batch, *_ = NETS[args.net]
    fixed = {
        "benchmark": f"training step with Synaptic Intelligence, {sizes}, batch {batch}, float32",
        "environment": machine.describe("numpy"),
        "contestants": {
            name: {"processes": len(team), "threads_each": team[0].threads} | team[0].about
            for name, team in teams.items()
        },
    }

    def result(seconds):
        """Return the result after the rounds so far."""
        return fixed | {
            "machine": state.record(),
            "absent": absent,
            "rounds": max(map(len, seconds.values()), default=0),
            "milliseconds_per_step_and_seed": turns.spreads(seconds, 1e3),
            "ratios": turns.quotients(seconds, pairs_of(seconds)),
        }

    def save(seconds):
        """Save after every round, so that whatever ends the program loses no finished round."""
        if args.out:
            turns.write(args.out, result(seconds), quiet=True)

    seconds = turns.compete(teams, args.rounds, absent, save)
    for team in teams.values():
        for contestant in team:
            contestant.close()
    found = result(seconds)
    for kind in ("milliseconds_per_step_and_seed", "ratios"):
        print(kind)
        turns.table(found[kind])
    print("machine:", found["machine"])
    print("absent:", absent)
    if args.out:
        turns.write(args.out, found)


if __name__ == "__main__":
    main()
