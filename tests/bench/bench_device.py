"""Time of one training step with Synaptic Intelligence on a GPU, against PyTorch and JAX, in turns.

    python tests/bench/bench_device.py --net split --out docs/results/bench-gpu-split.json

float32, penalty switched on, TF32 off for all unless --tf32. The data are on the device. A turn is
a queue of steps between two synchronisations. "replicas" are networks that pysi trains side by
side; their time is given per network. The host's time is what it takes to put a step into the
device's queue. Launches are counted after the last round. With --device numpy all of it runs on a
CPU, to compare replicas with one network alone.
"""

import argparse
import json
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from math import prod

import contestants
import launches
import quiet
import turns
from bench_parts import READ, WRITTEN
from bench_step import NETS

LARGE = 8192
FIRST = 4
"""Steps whose launches fit into the device's queue, so that the host does not wait for it."""


def timed(step, batches, wait, host=None):
    """Return a function that takes a turn: the mean seconds per step, over a queue of steps.

    The host's seconds per step, over the first steps of the queue, are appended to `host`.
    """

    def turn():
        wait()
        began = time.perf_counter()
        for i, batch in enumerate(batches):
            if i == FIRST and host is not None:
                host.append((time.perf_counter() - began) / FIRST)
            step(batch)
        wait()
        return (time.perf_counter() - began) / len(batches)

    return turn


def serve(args):
    """Be a contestant, or say why it is absent."""
    try:
        about, answers = (floor(args), {}) if args.serve == "floor" else contend(args)
    except Exception as err:  # whatever a library raises: not installed, no compiler, no memory
        reason = next(iter(str(err).strip().splitlines()), "")
        about, answers = {"absent": f"{type(err).__name__}: {reason}"}, {}
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        print(json.dumps(answers[line.strip()]()), flush=True)


def contend(args):
    """Return what a contestant is, and what answers each line that it is sent."""
    host = []
    with contestants.settings(args):
        step, batches, wait, about = contestants.make(args)
        turn = timed(step, batches, wait, host)
        turn()  # all contestants compile at the same time, and not in turns

    def go():
        with contestants.settings(args):
            return turn() / about.get("replicas", 1)

    def traced():
        with contestants.settings(args):
            return launches.measured(step, batches, wait)

    return about, {
        "go": go,
        "host": lambda: 1e3 * statistics.median(host) if host else None,
        "launches": traced,
    }


def ask(contestant, question):
    """Return a contestant's answer, or the reason why there is none."""
    try:
        contestant.process.stdin.write(question + "\n")
        contestant.process.stdin.flush()
        return json.loads(contestant.answer())
    except (turns.Absent, BrokenPipeError, ValueError) as err:  # or what a profiler printed
        return {question: None, "reason": str(err)}


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
    parser.add_argument("--only", nargs="+", metavar="NAME", help="contestants (default: all)")
    parser.add_argument("--replicas", type=int, default=10)
    parser.add_argument("--tf32", action="store_true")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--limit", type=float, default=120, help="most seconds for an answer")
    parser.add_argument("--out")
    quiet.options(parser)
    args = parser.parse_args()
    if args.serve:
        serve(args)
        return
    state = quiet.check(parser, args)

    from pysi.backend.arrays import device_namespace
    from pysi.experiments import machine

    device_namespace(args.device)
    words = ["--net", args.net, "--device", args.device, "--replicas", str(args.replicas)]
    words += ["--tf32"] if args.tf32 else []
    names = args.only or contestants.names(args.device, args.net)
    absent, more = {}, {}
    # on a CPU formulas are compiled at once, as they would be in a long run
    variables = {"PYSI_COMPILED": "1"} if args.device == "numpy" else None

    def start(name):
        try:
            return turns.Contestant(
                __file__, name, 1, *words, limit=args.limit, variables=variables
            )
        except turns.Absent as err:
            absent[name] = f"at its start: {err}"
            return None

    alone = start("floor")  # its rates are those of a device that does nothing else
    with ThreadPoolExecutor(len(names)) as pool:
        started = list(zip(names, pool.map(start, names), strict=True))
    teams = {name: [found] for name, found in started if found}
    sizes, batch, *_ = NETS[args.net]
    fixed = {
        "benchmark": f"training step with Synaptic Intelligence, {sizes}, batch {batch}, float32",
        "environment": machine.describe(args.device),
        "machine": {"begin": state.begin},  # the whole follows after the last round
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
        } | more  # fmt: skip

    def save(seconds):
        """Save after every round, so that a time limit does not lose finished rounds."""
        if args.out:
            turns.write(args.out, result(seconds), quiet=True)

    seconds = turns.compete(teams, args.rounds, absent, save)
    left = {name: teams[name][0] for name in seconds}
    more["host_milliseconds_per_step"] = {name: ask(one, "host") for name, one in left.items()}
    if args.device == "cupy":
        save(seconds)  # before the profiler is asked, which may end a process
        with ThreadPoolExecutor(len(left) or 1) as pool:
            answers = pool.map(ask, left.values(), ["launches"] * len(left))
            more["launches_per_step"] = dict(zip(left, answers, strict=True))
    more["machine"] = state.record()
    turns.report(result(seconds), args.out)
    for contestant in [*left.values(), *filter(None, [alone])]:
        contestant.process.kill()  # a library may take its time to end
        contestant.close()


if __name__ == "__main__":
    main()
