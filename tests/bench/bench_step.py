"""Time of one training step with Synaptic Intelligence, against PyTorch, in turns.

    python tests/bench/bench_step.py --out docs/results/bench-step.json
    python tests/bench/bench_step.py --net permuted --out docs/results/bench-step-permuted.json
    python tests/bench/bench_step.py --net cnn --out docs/results/bench-step-cnn.json

float32, penalty switched on. PyTorch's "best" form of the convolutional network has its channels
last, the idiomatic one has the default order. "one run" gives every contestant all threads; "seeds
in parallel" runs one process per core with one thread each, and counts time per seed.
"""

import argparse
import statistics
import time

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
    import os

    import numpy as np

    import pysi
    from pysi.experiments import machine
    from pysi.threads import using
    from pysi.training import training_step

    x, y, active, rng = problem(net)
    task = pysi.Task("bench", x, y, x[:1], y[:1], active)
    images, optimizer = NETS[net][0] == "cnn", pysi.Adam()
    network = pysi.CNN(60) if images else pysi.MLP(NETS[net][0])
    rule = pysi.FineTuning() if name == "pysi-adam" else pysi.SynapticIntelligence(1.0)
    rule.start(network.synapses)
    optimizer.start(network.synapses)
    network.restart("bench")
    if name == "pysi":
        network.synapses.Omega[...] = rng.random(len(network.synapses))
        rule.refresh()

    def step(batch):
        training_step(network, optimizer, rule, x[batch], y[batch], task)

    steps, count = (
        turn_of(step, net, lambda: rng.permutation(len(x))),
        os.environ["OMP_NUM_THREADS"],
    )

    def turn():
        with using(int(count), images=images):
            return steps()

    with using(int(count), images=images):
        about = {"numpy": np.__version__, "blas": machine.blas()}
    return turn, about | ({"image_threads": int(count)} if images else {})


def torch_contestant(name, net):
    import os

    import torch
    from torch_si import Trainer

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
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
        if NETS[net][0] == "cnn" and form == "best":
            shown = shown.permute(0, 3, 1, 2)  # no copy: the channels stay last in memory
        trainer.step(shown, y[batch], active)

    turn = turn_of(step, net, lambda: torch.tensor(rng.permutation(len(x))))
    return turn, {"torch": torch.__version__, "threads": torch.get_num_threads()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve")
    parser.add_argument("--net", choices=NETS, default="split")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out")
    args = parser.parse_args()
    if args.serve:
        make = pysi_contestant if args.serve.startswith("pysi") else torch_contestant
        turns.serve(*make(args.serve, args.net))
        return

    from pysi.experiments import machine

    cores = machine.require("joblib").cpu_count()
    names = ["pysi", "pysi-adam", "torch-idiomatic", "torch-best"]

    def contestant(name, threads):
        return turns.Contestant(__file__, name, threads, "--net", args.net)

    teams = {f"{name}, one run": [contestant(name, cores)] for name in names}
    for name in names:
        if name != "pysi-adam":
            teams[f"{name}, seeds in parallel"] = [contestant(name, 1) for _ in range(cores)]
    teams["pysi, one thread"] = [contestant("pysi", 1)]
    teams["pysi-adam, one thread"] = [contestant("pysi-adam", 1)]
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
    sizes, batch, *_ = NETS[args.net]
    result = {
        "benchmark": f"training step with Synaptic Intelligence, {sizes}, batch {batch}, float32",
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
        for member in team:
            member.close()
    for kind in ("milliseconds_per_step_and_seed", "ratios"):
        print(kind)
        for name, value in result[kind].items():
            low, high = value["quartiles"]
            print(f"  {name:<75} {value['median']:.3f}  [{low:.3f}, {high:.3f}]")
    if args.out:
        turns.write(args.out, result)


if __name__ == "__main__":
    main()
