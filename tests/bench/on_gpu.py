"""All measurements that need a GPU, the most valuable and shortest first, within a few minutes.

    python tests/bench/on_gpu.py --minutes 9 --data DATA --out DIR --scratch /dev/shm/pysi
    python tests/bench/on_gpu.py --plan

DATA holds MNIST and CIFAR, as `pysi data status` wants them. The package need not be installed.
Each piece runs in a process of its own, and writes into DIR as it ends: its log, and its report,
its benchmark, or its result and figures. `DIR/summary.json` says how all pieces stand.

**A second call with the same DIR and the same scratch folder** skips what is done and continues
runs from their checkpoints. What is large stays in the scratch folder: checkpoints, tables of
synapses and path integrals (best in memory). Without it, as on another machine,
the second call continues from the results in DIR, and repeats only runs that had not finished.

`--device numpy --tiny` rehearses all of it on a CPU in a minute or two.
"""

import argparse
import math
import os
import signal
import sys
from pathlib import Path

from pieces import Piece, Pieces

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "tests" / "bench"
BYTES, OPERATIONS = 3e12, 45e12
"""Per second, of a GPU of 2024."""
UPDATE = 11 * 4
"""Bytes that an update reads and writes per synapse."""
BEGIN, MORE = 10, 1.5
"""Seconds until the first step; how much longer a run takes for evaluation and checkpoints."""

STEPS = {"split": 5 * 10 * 188, "permuted": 10 * 20 * 235, "cnn": 60 * (196 + 5 * 20)}
"""Steps of a whole run of each benchmark."""
STEP = {
    "split": (1.33e-3, 269_322 * UPDATE / BYTES + 7.75e7 / OPERATIONS),
    "permuted": (1.45e-3, 5_592_010 * UPDATE / BYTES + 7.78e9 / OPERATIONS),
    "cnn": (4.1e-3, 4.1e-3),  # most of it is for the columns of im2col
}
"""Seconds of a step: of one network, and per network when the device has enough to do.

The first are measured on an H200. The 32 launches of a dense network take 0.26 ms at 8 µs each; the
rest is Python's.
"""

FIGURE3 = "--c 0 0.01 0.03 0.1 0.3 1 3 10 30"
TF32 = "--methods si --c 0.1 --seeds 3 --epochs 2"


def training(net, networks, share=1.0):
    """Return the estimated seconds of a run of several networks side by side."""
    one, each = STEP[net]
    return BEGIN + MORE * share * STEPS[net] * max(one, networks * each)


def at_hand(data):
    """Return the names of the data sets that are at hand."""
    from pysi.data.sources import status

    first = {}
    for place in status(data):
        if place.path:
            first.setdefault(place.dataset, place.state)
    return {name for name, state in first.items() if state.startswith("ok")}


class Plan:
    """The pieces, for given options."""

    def __init__(self, args):
        self.args, self.out = args, Path(args.out or ".")
        self.scratch = Path(args.scratch or self.out / "scratch")
        self.data = at_hand(args.data)

    def tests(self):
        words = ["-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "--rootdir", ROOT]
        words += ["--continue-on-collection-errors", "--junitxml", self.out / "tests.xml"]
        where = ROOT / "tests" / ("test_device.py" if self.args.tiny else "")
        file = self.out / "tests.xml"
        return self.piece("tests", *words, where, seconds=80, least=40, limit=180, file=file)

    def steps(self, net, rounds, seconds, names=(), tf32=False):
        """Return a benchmark of the step of a network."""
        file = self.out / f"bench-gpu-{net}{'-tf32' * tf32}.json"
        # the load average still has the piece before in it, so the machine counts as busy
        words = [BENCH / "bench_device.py", "--busy", "--net", net, "--device", self.args.device]
        if self.args.tiny:
            names = ["pysi", "torch-best", "jax"] if net == "split" else ["pysi"]
            rounds, words = 1, [*words, "--replicas", 2]
        words += ["--rounds", rounds, "--limit", 60, "--out", file]
        words += ["--tf32"] * tf32 + (["--only", *names] if names else [])
        name = f"steps-{net}{'-tf32' * tf32}"
        return self.piece(name, *words, seconds=seconds, least=40, limit=2 * seconds, file=file)

    def figure(self, name, experiment, options, tiny, seconds, limit=math.inf):
        """Return a run of the command line, which can be continued."""
        folder = self.scratch / name
        dataset = "CIFAR" if experiment == "split-cifar" else "MNIST"
        needs = {"CIFAR": {"cifar10", "cifar100"}, "MNIST": {"mnist"}}[dataset]
        if self.args.tiny and dataset == "MNIST":
            needs, tiny = {"mnist-5k"}, f"--dataset mnist-5k --hidden 16 {tiny}"
        where = self.args.data or os.environ.get("PYSI_DATA") or "the cache: give --data"
        run = ["-m", "pysi", "run", experiment, "--jobs", 1]
        chosen = f"{options} {tiny if self.args.tiny else ''}".split()
        begin = ["--device", self.args.device, "--vectorise", "--out", folder]
        return self.piece(
            name, *run, *chosen, *begin, seconds=seconds, least=20, limit=limit, folder=folder,
            again=tuple(map(str, [*run, "--resume", folder])),
            lacks="" if needs <= self.data else f"no {dataset} under {where}",
        )  # fmt: skip

    def piece(self, name, *words, seconds, least, **more):
        if self.args.tiny:
            seconds, least, more["limit"] = 8, 1, 120
        return Piece(name, tuple(map(str, words)), seconds, least, **more)

    def pieces(self):
        """Return all pieces, in order.

        What is long comes last, because it goes on in another call.
        """
        few = "--seeds 2 --epochs 1"
        tf32 = "--tf32" if self.args.device == "cupy" else ""  # NumPy has none
        compared = ["pysi", "pysi-replicas", "torch-best", "torch-compile", "jax"]
        return [
            self.tests(),
            self.steps("split", 12, 70),
            self.steps("permuted", 12, 70),
            self.steps("cnn", 6, 80),
            self.figure(
                "figure3", "split-mnist", f"--seeds 20 {FIGURE3}", f"{few} --c 0 1",
                training("split", 180), limit=150,
            ),
            self.steps("permuted", 6, 45, compared, tf32=True),
            self.steps("cnn", 4, 55, compared, tf32=True),
            *(
                self.figure(
                    name, "permuted-mnist", f"{TF32} {option}", f"{few} --tasks 2",
                    training("permuted", 3, 2 / 20), limit=90,
                )
                for name, option in (("accuracy-float32", ""), ("accuracy-tf32", tf32))
            ),
            self.figure(
                "figure4", "permuted-mnist", "--seeds 5", f"{few} --tasks 2",
                training("permuted", 10) + 3.1 * training("permuted", 5),
            ),
            self.figure(
                "figure6", "split-cifar", "--seeds 5",
                "--methods si --c 0.1 --seeds 1 --epochs 1 --tasks 1 --examples 64 --hidden 16",
                training("cnn", 20),
            ),
        ]  # fmt: skip


def environment(args, scratch):
    """Return the variables of the environment that the pieces share."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {
        "PYTHONPATH": path,
        "MPLBACKEND": "agg",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TORCHINDUCTOR_CACHE_DIR": str(scratch / "inductor"),
    } | ({"PYSI_DATA": args.data} if args.data else {})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", metavar="DIR", help="folder of what is written")
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--data", metavar="DIR", help="folder of data sets (default: $PYSI_DATA)")
    parser.add_argument("--scratch", metavar="DIR", help="folder of large files (default: in DIR)")
    parser.add_argument("--device", choices=["cupy", "numpy"], default="cupy")
    parser.add_argument("--pieces", nargs="+", metavar="NAME", help="only these, in this order")
    parser.add_argument("--tiny", action="store_true", help="a rehearsal")
    parser.add_argument("--plan", action="store_true", help="print the pieces, and run none")
    args = parser.parse_args()
    if not (args.out or args.plan):
        parser.error("--out: expected a folder, found none")
    sys.path.insert(0, str(ROOT))
    plan = Plan(args)
    found = {piece.name: piece for piece in plan.pieces()}
    if unknown := set(args.pieces or []) - found.keys():
        parser.error(f"--pieces: expected some of {' '.join(found)}, found {' '.join(unknown)}")
    chosen = [found[name] for name in args.pieces or found]
    if args.plan:
        print(f"{'piece':<20} {'estimate':>8} {'least':>6} {'limit':>6}  (seconds)")
        for piece in chosen:
            numbers = f"{piece.seconds:>8.0f} {piece.least:>6.0f} {piece.limit:>6.0f}"
            print(f"{piece.name:<20} {numbers}  {piece.lacks}")
        print(f"{'together':<20} {sum(piece.seconds for piece in chosen):>8.0f}")
        return 0
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    settings = {"device": args.device, "tiny": args.tiny}
    try:
        work = Pieces(chosen, args.out, settings, environment(args, plan.scratch))
    except ValueError as err:
        parser.error(str(err))
    return 0 if work.run(60 * args.minutes) else 1


if __name__ == "__main__":
    sys.exit(main())
