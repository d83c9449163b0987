"""Time of one training step with Synaptic Intelligence, against PyTorch, in turns.

    python tests/bench/bench_step.py --out docs/results/bench-step.json

784-256-256-10, batch 64, float32, penalty switched on. "one run" gives every contestant all
threads; "seeds in parallel" runs one process a core with one thread each and counts time per seed.
"""

import argparse
import statistics
import time

import turns

SIZES, BATCH, CLASSES = (784, 256, 256, 10), 64, 10
STEPS = 60


def problem():
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (4096, SIZES[0])).astype(np.uint8)
    x[rng.random(x.shape) < 0.8] = 0  # like MNIST, four pixels in five are blank
    return x, rng.integers(0, 2, len(x)), np.arange(CLASSES) < 2, rng


def pysi_contestant(name):
    import numpy as np

    import pysi
    from pysi.experiments import machine
    from pysi.training import training_step

    x, y, active, rng = problem()
    net, optimizer = pysi.MLP(SIZES, seed=0), pysi.Adam()
    rule = pysi.FineTuning() if name == "pysi-adam" else pysi.SynapticIntelligence(1.0)
    rule.start(net.synapses)
    optimizer.start(net.synapses)
    if name == "pysi":
        net.synapses.Omega[...] = rng.random(len(net.synapses))
        rule.refresh()

    def turn():
        order = rng.permutation(len(x))
        times = []
        for i in range(STEPS):
            began = time.perf_counter()
            batch = order[i * BATCH : (i + 1) * BATCH]
            training_step(net, optimizer, rule, x[batch], y[batch], active)
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    return turn, {"numpy": np.__version__, "blas": machine.blas()}


def torch_contestant(name):
    import os

    import torch
    from torch_si import Trainer

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    x, y, active, rng = problem()
    x, y, active = torch.tensor(x) / 255, torch.tensor(y), torch.tensor(active)
    trainer = Trainer(SIZES, name.removeprefix("torch-"))
    trainer.end_task()
    trainer.Omega = [torch.rand_like(p) for p in trainer.parameters]

    def turn():
        order = torch.tensor(rng.permutation(len(x)))
        times = []
        for i in range(STEPS):
            began = time.perf_counter()
            batch = order[i * BATCH : (i + 1) * BATCH]
            trainer.step(x[batch], y[batch], active)
            times.append(time.perf_counter() - began)
        return statistics.median(times)

    return turn, {"torch": torch.__version__, "threads": torch.get_num_threads()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out")
    args = parser.parse_args()
    if args.serve:
        make = pysi_contestant if args.serve.startswith("pysi") else torch_contestant
        turns.serve(*make(args.serve))
        return

    from pysi.experiments import machine

    cores = machine.require("joblib").cpu_count()
    names = ["pysi", "pysi-adam", "torch-idiomatic", "torch-best"]
    teams = {f"{name}, one run": [turns.Contestant(__file__, name, cores)] for name in names}
    for name in names:
        if name != "pysi-adam":
            teams[f"{name}, seeds in parallel"] = [
                turns.Contestant(__file__, name, 1) for _ in range(cores)
            ]
    teams["pysi, one thread"] = [turns.Contestant(__file__, "pysi", 1)]
    teams["pysi-adam, one thread"] = [turns.Contestant(__file__, "pysi-adam", 1)]
    seconds = turns.compete(teams, args.rounds)
    pairs = [
        ("pysi, one run", "torch-idiomatic, one run"),
        ("pysi, one run", "torch-best, one run"),
        ("pysi, seeds in parallel", "torch-idiomatic, one run"),
        ("pysi, seeds in parallel", "torch-best, one run"),
        ("pysi, seeds in parallel", "torch-idiomatic, seeds in parallel"),
        ("pysi, seeds in parallel", "torch-best, seeds in parallel"),
        ("pysi, one run", "pysi-adam, one run"),
        ("pysi, one thread", "pysi-adam, one thread"),
    ]
    result = {
        "benchmark": "training step with Synaptic Intelligence, 784-256-256-10, batch 64, float32",
        "environment": machine.describe("numpy"),
        "contestants": {
            name: {"processes": len(team), "threads_each": team[0].threads} | team[0].about
            for name, team in teams.items()
        },
        "rounds": args.rounds,
        "milliseconds_per_step_and_seed": {
            name: turns.spread([1e3 * s for s in values]) for name, values in seconds.items()
        },
        "ratios": {f"{a} / {b}": turns.ratios(seconds, a, b) for a, b in pairs},
    }
    for team in teams.values():
        for contestant in team:
            contestant.close()
    for kind in ("milliseconds_per_step_and_seed", "ratios"):
        print(kind)
        for name, value in result[kind].items():
            low, high = value["quartiles"]
            print(f"  {name:<75} {value['median']:.3f}  [{low:.3f}, {high:.3f}]")
    if args.out:
        turns.write(args.out, result)


if __name__ == "__main__":
    main()
