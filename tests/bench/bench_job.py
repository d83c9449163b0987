"""Time of the whole job, from digits to accuracy matrices, against PyTorch and JAX, in turns.

    PYSI_DATA=DIR python tests/bench/bench_job.py --out docs/results/bench-job.json

Every contestant trains the full protocol of split MNIST for c = 0 and 1, and evaluates all tasks
on train and test after each. `pysi run` divides its ten seeds among processes, one per core. A
script in PyTorch or JAX runs one seed after the other with all threads, so two seeds are enough;
"in parallel" it runs one process per core, bound to this core, with one seed each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import quiet
import turns

OTHERS = {
    "torch-idiomatic": False,
    "torch-best": False,
    "torch-best, in parallel": True,
    "jax": False,
    "jax, in parallel": True,
}
"""The other libraries' contestants, and whether their seeds run in parallel."""
NAMES = ["pysi", "pysi-numpy", *OTHERS]
KEPT = {
    "JAX_COMPILATION_CACHE_DIR": str(Path(tempfile.gettempdir()) / "pysi-bench-jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
"""Lets JAX keep compiled code on disk for the next process, as Numba and PyTorch do."""


def pysi_job(name, seeds, epochs):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result"
        command = f"-m pysi run split-mnist --seeds {seeds} --epochs {epochs} --out {out}"
        variables = {"PYSI_COMPILED": "0"} if name == "pysi-numpy" else {}
        run([sys.executable, *command.split()], env=os.environ | variables)
        runs = json.loads((out / "result.json").read_text())["runs"]
    return {c: [sum(r["test_accuracy"][-1]) / 5 for r in runs if r["c"] == c] for c in (0, 1)}


def run(command, **options):
    """Return what a command prints; if it fails, it is `Absent`."""
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise turns.Absent((done.stderr.strip().splitlines() or ["it failed"])[-1])
    return done.stdout


def split_mnist():
    """Return the tasks as dicts of arrays."""
    import pysi

    names = ("x_train", "y_train", "x_test", "y_test", "active")
    tasks = pysi.split_tasks(pysi.load_dataset("mnist"))
    return [{name: getattr(task, name) for name in names} for task in tasks]


def torch_job(form, seeds, epochs):
    import torch
    import torch_si

    if "OMP_NUM_THREADS" in os.environ:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    tasks = [{name: torch.tensor(a) for name, a in task.items()} for task in split_mnist()]
    for task in tasks:
        for part in ("x_train", "x_test"):
            task[part] = task[part] / 255
    return {c: [torch_si.run(tasks, seed, c, form, epochs) for seed in seeds] for c in (0, 1)}


def jax_job(seeds, epochs):
    import jax_si

    tasks = split_mnist()
    return {c: [jax_si.run(tasks, seed, c, epochs) for seed in seeds] for c in (0, 1)}


def other_job(name, seeds, epochs, cores):
    """Return the accuracies of seeds that run in one process after each other, or in parallel."""
    program, parallel = name.removesuffix(", in parallel"), OTHERS[name]

    def maker(seeds, threads, core=None):
        words = ("--epochs", str(epochs), "--numbers", *map(str, seeds))
        return partial(
            turns.Contestant, __file__, program, threads, *words, core=core, variables=KEPT
        )

    makers = [maker(range(seeds), cores)]
    if parallel:
        makers = [maker([seed], 1, core=seed) for seed in range(seeds)]
    failed = {}
    team = turns.gather({name: makers}, failed).get(name)
    if not team:
        raise turns.Absent(failed[name])
    try:
        for member in team:
            member.begin()
        found = [member.end() for member in team]
    finally:
        for member in team:
            member.close()
    return {c: [value for part in found for value in part[str(c)]] for c in (0, 1)}


def serve(args):
    """Be a process of another library, whose time begins with Python's start."""
    if args.serve == "jax":
        import jax  # noqa: F401 - is it there?

        return lambda: jax_job(args.numbers, args.epochs), {}
    import torch  # noqa: F401

    form = args.serve.removeprefix("torch-")
    return lambda: torch_job(form, args.numbers, args.epochs), {}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve")
    parser.add_argument("--numbers", nargs="+", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--only", nargs="+", choices=NAMES, metavar="NAME", default=NAMES)
    parser.add_argument("--seeds", type=int, default=10, help="of pysi")
    parser.add_argument("--other-seeds", type=int, default=2, help="one after the other")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out")
    quiet.options(parser)
    args = parser.parse_args()
    if args.serve:
        turns.attend(lambda: serve(args))
        return
    state = quiet.check(parser, args)

    from pysi.backend import compiled
    from pysi.experiments import machine

    cores = machine.require("joblib").cpu_count()
    absent, seeds = {}, {}
    for name in args.only:
        seeds[name] = args.other_seeds if name in OTHERS else args.seeds
        seeds[name] = cores if OTHERS.get(name) else seeds[name]
    if "pysi" in seeds and not compiled.numba():
        absent["pysi"] = "Numba is not installed; see pysi-numpy"
        del seeds["pysi"]
    jobs, accuracy = {name: [] for name in seeds}, {}

    def result():
        """Return the result so far."""
        per_seed = {name: [s / seeds[name] for s in values] for name, values in jobs.items()}
        pairs = [("pysi", other) for other in NAMES] + [("pysi-numpy", other) for other in NAMES]
        return {
            "benchmark": f"split MNIST, c = 0 and 1, {args.epochs} epochs per task",
            "environment": machine.describe("numpy")
            | {"numba": getattr(compiled.numba(), "__version__", None)},
            "machine": state.record(),
            "absent": absent,
            "rounds": max(map(len, jobs.values()), default=0),
            "seeds": seeds,
            "seconds_of_the_job": turns.spreads(jobs),
            "seconds_per_seed": turns.spreads(per_seed),
            "ratios": turns.quotients(per_seed, pairs),
            "average_test_accuracy": accuracy,
        }

    for _ in range(args.rounds):
        for name in list(jobs):
            began = time.perf_counter()
            try:
                if name in OTHERS:
                    found = other_job(name, seeds[name], args.epochs, cores)
                else:
                    found = pysi_job(name, seeds[name], args.epochs)
            except turns.Absent as err:
                absent[name] = str(err)
                del jobs[name]
                continue
            jobs[name].append(time.perf_counter() - began)
            accuracy[name] = {c: sum(values) / len(values) for c, values in found.items()}
            print(f"{name:<24} {jobs[name][-1] / seeds[name]:6.1f} s per seed, "
                  f"{jobs[name][-1]:6.1f} s in all  {accuracy[name]}", flush=True)  # fmt: skip
        if args.out:
            turns.write(args.out, result(), quiet=True)
    turns.report(result(), args.out)


if __name__ == "__main__":
    main()
