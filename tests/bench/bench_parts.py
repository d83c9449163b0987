"""How the time of a training step is divided, and how close it is to the machine's best.

    python tests/bench/bench_parts.py --net permuted --out docs/results/bench-parts-permuted.json

The step, its forward pass, its backward pass and its update are timed with Numba and without, in
processes of their own that take turns; so are the step's matrix products alone. The floor is a time
that no NumPy program can undercut by much: the products' operations at the rate of one large
product, plus one read or write of each row that an update needs, at the speed of a copy. The
products and the floor of a convolutional network are not measured: it multiplies in other ways.
"""

import argparse
import statistics
import time
from functools import partial

import quiet
import turns
from bench_step import NETS, problem, threads

READ, WRITTEN = 7, 4  # θ g M V ω Ω θ̃; θ M V ω
LARGE = 2048
PYSI = ("pysi", "pysi-numpy")


def products(sizes, batch, rng):
    """Return a function that computes a step's matrix products, and the number of operations."""
    import numpy as np

    calls, operations = [], 0
    for i, (n_in, n_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        x, W, dy = (
            rng.random(shape, np.float32)
            for shape in ((batch, n_in), (n_in, n_out), (batch, n_out))
        )
        pairs = [(x, W), (x.T, dy)] + ([(dy, W.T)] if i else [])
        calls += [(a, b, np.empty((len(a), b.shape[1]), np.float32)) for a, b in pairs]
        operations += 2 * batch * n_in * n_out * len(pairs)

    def run():
        for a, b, out in calls:
            np.matmul(a, b, out=out)

    return run, operations


def turn_of(parts, repeats):
    """Return a function that takes a turn: the median seconds of each part, one after the other."""

    def turn():
        seconds = {name: [] for name in parts}
        for _ in range(repeats):
            for name, part in parts.items():
                began = time.perf_counter()
                part()
                seconds[name].append(time.perf_counter() - began)
        return {name: statistics.median(times) for name, times in seconds.items()}

    return turn


def pysi_contestant(net, name):
    import pysi
    from pysi.backend import compiled
    from pysi.experiments import machine
    from pysi.threads import using
    from pysi.training import training_step, update

    if name == "pysi" and not compiled.in_use():
        raise ImportError("Numba is not in use; see pysi-numpy")
    sizes, batch, _, repeats = NETS[net]
    x, y, active, rng = problem(net)
    images = sizes == "cnn"
    task = pysi.Task("bench", x, y, x[:1], y[:1], active)
    network = pysi.CNN(60) if images else pysi.MLP(sizes)
    optimizer, rule, s = pysi.Adam(), pysi.SynapticIntelligence(1.0), network.synapses
    rule.start(s)
    optimizer.start(s)
    network.restart("bench")
    s.Omega[...] = rng.random(len(s))
    rule.refresh()
    last = {}

    def chosen():
        batch_of = rng.integers(0, len(x), batch)
        return x[batch_of], y[batch_of]

    def step():
        training_step(network, optimizer, rule, *chosen(), task)

    def forward():
        shown, last["y"] = chosen()
        last["logits"] = network.forward(shown, train=True)

    def loss():
        last["dlogits"] = task.loss(last["logits"], last["y"], task.active)[1]

    parts = {
        "step": step,
        "forward": forward,
        "loss": loss,
        "backward": lambda: network.backward(last["dlogits"]),
        "update": lambda: update(s, optimizer, rule),
    }
    about = {"numba": compiled.in_use(), "synapses": len(s)}
    if not images:
        parts["matrix products"], about["operations"] = products(sizes, batch, rng)
    measure = turn_of(parts, repeats)

    def turn():
        with using(threads(), images=images):
            return measure()

    with using(threads(), images=images):
        about["blas"] = machine.blas()
    return turn, about


def rates():
    """Be a contestant that times what the machine does at best."""
    import numpy as np

    rng = np.random.default_rng(0)
    a, b = (rng.random((LARGE, LARGE), np.float32) for _ in range(2))
    c, source, target = np.empty_like(a), np.ones(1 << 26, np.float32), np.zeros(1 << 26, "f4")
    parts = {
        "large product": lambda: np.matmul(a, b, out=c),
        "copy": lambda: np.copyto(target, source),
    }
    return turn_of(parts, repeats=3), {"copied_bytes": 2 * source.nbytes}


def floor_of(median, copied, about):
    """Return the machine's rates, and the least time of a step."""
    rate, bandwidth = 2 * LARGE**3 / median["large product"], copied / median["copy"]
    touched = (READ + WRITTEN) * 4 * about["synapses"]
    floor = {"update": 1e3 * touched / bandwidth}
    if "operations" in about:
        floor["matrix products"] = 1e3 * about["operations"] / rate
        floor["both"] = sum(floor.values())
    return {
        "large_product_gflop_per_s": rate / 1e9,
        "copy_gb_per_s": bandwidth / 1e9,
        "floor_ms": floor,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve")
    parser.add_argument("--net", choices=NETS, default="permuted")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out")
    quiet.options(parser)
    args = parser.parse_args()
    if args.serve:
        pysi = args.serve in PYSI
        turns.attend(lambda: pysi_contestant(args.net, args.serve) if pysi else rates())
        return
    state = quiet.check(parser, args)

    from pysi.experiments import machine

    cores, absent, seconds = machine.require("joblib").cpu_count(), {}, {}
    plan = {
        name: [
            partial(
                turns.Contestant, __file__, name, cores, "--net", args.net,
                variables={"PYSI_COMPILED": "0" if name == "pysi-numpy" else "1"},
            )
        ]
        for name in (*PYSI, "rates")
    }  # fmt: skip
    teams = {name: team[0] for name, team in turns.gather(plan, absent).items()}
    for number in range(args.rounds + 1):
        for name, contestant in teams.items():
            time.sleep(0.1)  # let the last one's threads fall asleep
            contestant.begin()
            for part, took in contestant.end().items():
                times = seconds.setdefault(f"{part}, {name}" if name in PYSI else part, [])
                if number:  # the first round warms up
                    times.append(took)
    for contestant in teams.values():
        contestant.close()
    median = {name: value["median"] for name, value in turns.spreads(seconds).items()}
    about = teams["pysi-numpy"].about
    sizes, batch, *_ = NETS[args.net]
    present = [name for name in PYSI if name in teams]
    shares = [
        (f"{part}, {name}", f"step, {name}")
        for name in present
        for part in ("forward", "loss", "backward", "update", "matrix products")
    ]
    result = {
        "benchmark": f"parts of a step with Synaptic Intelligence, {sizes}, batch {batch}, float32",
        "environment": machine.describe("numpy"),
        "machine": state.record(),
        "contestants": {name: contestant.about for name, contestant in teams.items()},
        "absent": absent,
        "rounds": args.rounds,
        "milliseconds": turns.spreads(seconds, 1e3),
        "update_ns_per_synapse": {
            name: 1e9 * median[f"update, {name}"] / about["synapses"] for name in present
        },
        "share_of_the_step": turns.quotients(seconds, shares),
        "with_numba_over_without": turns.quotients(
            seconds, [(f"{part}, pysi", f"{part}, pysi-numpy") for part in ("step", "update")]
        ),
    } | floor_of(median, teams["rates"].about["copied_bytes"], about)
    if "both" in result["floor_ms"]:
        floor = result["floor_ms"]["both"] / 1e3
        result["matrix_products_gflop_per_s"] = {
            name: about["operations"] / median[f"matrix products, {name}"] / 1e9 for name in present
        }
        result["step_over_floor"] = {name: median[f"step, {name}"] / floor for name in present}
    turns.report(result, args.out)


if __name__ == "__main__":
    main()
