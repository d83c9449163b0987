"""How the time of a training step is divided, and how close it is to the machine's best.

    python tests/bench/bench_parts.py --net permuted --out docs/results/bench-parts-permuted.json

The step, its matrix products alone and its update alone are timed in turns. The floor is a
time that no NumPy program can undercut by much: the products' operations at the rate of one large
product, plus one read or write of each row that an update needs, at the speed of a copy.
"""

import argparse
import time

import turns
from bench_step import NETS, problem

READ, WRITTEN = 7, 4  # θ g M V ω Ω θ̃; θ M V ω
LARGE = 4096


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=["split", "permuted"], default="permuted")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--out")
    args = parser.parse_args()

    import numpy as np

    import pysi
    from pysi.experiments import machine
    from pysi.training import training_step, update

    sizes, batch, *_ = NETS[args.net]
    x, y, active, rng = problem(args.net)
    task = pysi.Task("bench", x, y, x[:1], y[:1], active)
    net, optimizer, rule = pysi.MLP(sizes), pysi.Adam(), pysi.SynapticIntelligence(1.0)
    rule.start(net.synapses)
    optimizer.start(net.synapses)
    net.synapses.Omega[...] = rng.random(len(net.synapses))
    rule.refresh()
    multiply, operations = products(sizes, batch, rng)
    a, b = (rng.random((LARGE, LARGE), np.float32) for _ in range(2))
    c, source, target = (
        np.empty_like(a),
        np.ones(1 << 26, np.float32),
        np.zeros(1 << 26, np.float32),
    )

    def step():
        chosen = rng.integers(0, len(x), batch)
        training_step(net, optimizer, rule, x[chosen], y[chosen], task)

    parts = {
        "step": step,
        "matrix products": multiply,
        "update": lambda: update(net.synapses, optimizer, rule),
        "large product": lambda: np.matmul(a, b, out=c),
        "copy": lambda: np.copyto(target, source),
    }
    seconds = {name: [] for name in parts}
    for number in range(args.rounds + 1):
        for name, part in parts.items():
            began = time.perf_counter()
            part()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - began)
    median = {name: turns.spread(values)["median"] for name, values in seconds.items()}
    rate = 2 * LARGE**3 / median["large product"]
    bandwidth = 2 * source.nbytes / median["copy"]
    touched = (READ + WRITTEN) * net.synapses.theta.nbytes
    floor = operations / rate + touched / bandwidth
    result = {
        "benchmark": f"parts of a step with Synaptic Intelligence, {sizes}, batch {batch}, float32",
        "environment": machine.describe("numpy") | {"blas": machine.blas()},
        "rounds": args.rounds,
        "milliseconds": {
            name: turns.spread([1e3 * s for s in values]) for name, values in seconds.items()
        },
        "share_of_the_step": {
            "matrix products": turns.ratios(seconds, "matrix products", "step"),
            "update": turns.ratios(seconds, "update", "step"),
        },
        "matrix_products_gflop_per_s": operations / median["matrix products"] / 1e9,
        "large_product_gflop_per_s": rate / 1e9,
        "copy_gb_per_s": bandwidth / 1e9,
        "floor_ms": {
            "matrix products": 1e3 * operations / rate,
            "update": 1e3 * touched / bandwidth,
            "both": 1e3 * floor,
        },
        "step_over_floor": median["step"] / floor,
    }
    turns.report(result, args.out)


if __name__ == "__main__":
    main()
