"""Time of one training step with Synaptic Intelligence on a GPU, against PyTorch, in turns.

    python tests/bench/bench_device.py --net split --out docs/results/bench-gpu-split.json

float32, penalty switched on, TF32 off on both sides unless --tf32. The data are on the device. A
turn is a queue of steps between two synchronisations. "replicas" are networks that pysi trains side
by side; their time is given per network. With --device numpy all of it runs on a CPU, to compare
replicas with one network alone.
"""

import argparse
import statistics
import time
from math import prod

import turns
from bench_parts import READ, WRITTEN
from bench_step import NETS, problem

STEPS = 50
"""Steps per turn, on a GPU."""
LARGE = 8192


def timed(step, batches, synchronise):
    """Return a function that takes a turn: the mean seconds per step, over a queue of steps."""

    def turn():
        synchronise()
        began = time.perf_counter()
        for batch in batches:
            step(batch)
        synchronise()
        return (time.perf_counter() - began) / len(batches)

    return turn


def pysi_contestant(args):
    import numpy as np

    import pysi
    from pysi.backend.arrays import device_namespace
    from pysi.backend.matmul import tensor_float_32
    from pysi.threads import using
    from pysi.training import training_step

    xp, r = device_namespace(args.device), args.replicas
    seed = list(range(r)) if args.serve == "pysi-replicas" else 0
    x, y, active, rng = problem(args.net)
    sizes, size, *_ = NETS[args.net]
    options = {"seed": seed, "xp": xp}
    if sizes == "cnn":
        net = pysi.CNN(60, fast=args.serve != "pysi-im2col", **options)
    else:
        net = pysi.MLP(sizes, **options)
    rule, optimizer = pysi.SynapticIntelligence(1.0), pysi.Adam()
    rule.start(net.synapses)
    optimizer.start(net.synapses)
    net.restart("bench")
    net.synapses.Omega[...] = xp.asarray(rng.random(net.synapses.theta.shape, np.float32))
    rule.refresh()
    task = pysi.Task("bench", x, y, x[:1], y[:1], active).to(xp)
    data, labels = task.part("train")
    lead = net.synapses.lead
    count = STEPS if args.device == "cupy" else NETS[args.net][-1]
    batches = [xp.asarray(rng.integers(0, len(x), (*lead, size))) for _ in range(count)]

    def step(batch):
        training_step(net, optimizer, rule, data[batch], labels[batch], task)

    wait = xp.cuda.Device().synchronize if args.device == "cupy" else lambda: None
    inner = timed(step, batches, wait)

    def turn():
        with tensor_float_32(xp, args.tf32), using(1, images=sizes == "cnn"):
            return inner() / (r if lead else 1)

    return turn, {"xp": xp.__name__, "version": xp.__version__, "replicas": r if lead else 1}


def torch_contestant(args):
    import torch
    from torch_si import Trainer

    device = "cuda" if args.device == "cupy" else "cpu"
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.tf32
    x, y, active, rng = problem(args.net)
    sizes, size, *_ = NETS[args.net]
    x, y, active = (torch.tensor(array).to(device) for array in (x, y, active))
    form = args.serve.removeprefix("torch-")
    if sizes == "cnn" and form == "idiomatic":
        x = x.permute(0, 3, 1, 2).contiguous()
    trainer = Trainer(sizes, form, device=device)
    trainer.end_task()
    trainer.Omega = [torch.rand_like(p) for p in trainer.parameters]
    count = STEPS if device == "cuda" else NETS[args.net][-1]
    batches = [torch.tensor(rng.integers(0, len(x), size)).to(device) for _ in range(count)]

    def step(batch):
        shown = x[batch] / 255
        if sizes == "cnn" and form != "idiomatic":
            shown = shown.permute(0, 3, 1, 2)  # no copy: the channels stay last in memory
        trainer.step(shown, y[batch], active)

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    return timed(step, batches, wait), {"torch": torch.__version__, "device": device}


def floor(args):
    """Return the milliseconds of operations and of the update's bytes, at the device's rates."""
    import pysi
    from pysi.backend.arrays import device_namespace
    from pysi.backend.matmul import matmul, tensor_float_32

    xp = device_namespace(args.device)
    wait = xp.cuda.Device().synchronize if args.device == "cupy" else lambda: None
    n = LARGE if args.device == "cupy" else LARGE // 8
    a, b, c = (xp.ones((n, n), "float32") for _ in range(3))

    def rate(work):
        with tensor_float_32(xp, args.tf32):
            times = [timed(lambda _: work(), range(3), wait)() for _ in range(5)]
        return 1 / statistics.median(times)

    def copy():
        c[...] = a

    flops, bandwidth = 2 * n**3 * rate(lambda: matmul(a, b, out=c)), 2 * a.nbytes * rate(copy)
    sizes, batch, *_ = NETS[args.net]
    net = pysi.CNN(60) if sizes == "cnn" else pysi.MLP(sizes)
    operations = 0
    for layer, shape in zip(net.layers, net.shapes[1:], strict=True):
        if layer.parameters:  # y, ∂L/∂W and, except in the first layer, ∂L/∂x
            products = 3 if operations else 2
            operations += 2 * batch * prod(shape) * prod(layer.parameters["W"][:-1]) * products
    touched = (READ + WRITTEN) * net.synapses.theta.nbytes
    return {
        "tflop_per_s": flops / 1e12,
        "gb_per_s": bandwidth / 1e9,
        "operations_ms": 1e3 * operations / flops,
        "update_ms": 1e3 * touched / bandwidth,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve")
    parser.add_argument("--net", choices=NETS, default="split")
    parser.add_argument("--device", choices=["cupy", "numpy"], default="cupy")
    parser.add_argument("--replicas", type=int, default=10)
    parser.add_argument("--tf32", action="store_true")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--limit", type=float, default=120, help="most seconds for an answer")
    parser.add_argument("--out")
    args = parser.parse_args()
    if args.serve == "floor":
        found = floor(args)
        turns.serve(lambda: 0.0, found)
        return
    if args.serve:
        make = pysi_contestant if args.serve.startswith("pysi") else torch_contestant
        turns.serve(*make(args))
        return

    from pysi.backend.arrays import device_namespace
    from pysi.experiments import machine

    device_namespace(args.device)
    words = ["--net", args.net, "--device", args.device, "--replicas", str(args.replicas)]
    words += ["--tf32"] if args.tf32 else []
    names = ["pysi", "pysi-replicas", "torch-idiomatic", "torch-best"]
    names += ["pysi-im2col"] if NETS[args.net][0] == "cnn" else []
    names += ["torch-compile"] if args.device == "cupy" else []
    absent = {}

    def start(name):
        try:
            return turns.Contestant(__file__, name, 1, *words, limit=args.limit)
        except turns.Absent as err:
            absent[name] = f"at its start: {err}"
            return None

    alone = start("floor")
    teams = {name: [found] for name in names if (found := start(name))}
    sizes, batch, *_ = NETS[args.net]
    fixed = {
        "benchmark": f"training step with Synaptic Intelligence, {sizes}, batch {batch}, float32",
        "environment": machine.describe(args.device),
        "tf32": args.tf32,
        "contestants": {name: team[0].about for name, team in teams.items()},
    }

    def result(seconds):
        """Return the result after the rounds so far, with the names of absent contestants."""
        return fixed | {
            "absent": absent,
            "rounds": max(map(len, seconds.values()), default=0),
            "milliseconds_per_step_and_network": {
                name: turns.spread([1e3 * s for s in values]) for name, values in seconds.items()
            },
            "ratios": {
                f"{a} / {b}": turns.ratios(seconds, a, b)
                for a in names[:2] for b in names
                if {a, b} <= {*seconds} and a != b and (a, b) != ("pysi", "pysi-replicas")
            },
            "floor": alone and alone.about,
        }  # fmt: skip

    def save(seconds):
        """Save after every round, so that a time limit does not lose finished rounds."""
        if args.out:
            turns.write(args.out, result(seconds), quiet=True)

    seconds = turns.compete(teams, args.rounds, absent, save)
    for name in seconds:
        teams[name][0].close()
    if alone:
        alone.close()
    turns.report(result(seconds), args.out)


if __name__ == "__main__":
    main()
