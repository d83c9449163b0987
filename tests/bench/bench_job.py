"""Time of the whole job, from digits to accuracy matrices, against PyTorch, in turns.

    PYSI_DATA=DIR python tests/bench/bench_job.py --out docs/results/bench-job.json

Every contestant trains the full protocol of split MNIST for c = 0 and 1, and evaluates all tasks
on train and test after each. `pysi run` divides its ten seeds among processes, one per core.
PyTorch runs one seed after the other with all threads, as eager scripts do, so two are enough.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import turns


def pysi_job(seeds, epochs):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result"
        command = f"-m pysi run split-mnist --seeds {seeds} --epochs {epochs} --out {out}"
        subprocess.run([sys.executable, *command.split()], check=True, capture_output=True)
        runs = json.loads((out / "result.json").read_text())["runs"]
    final = {c: [sum(r["test_accuracy"][-1]) / 5 for r in runs if r["c"] == c] for c in (0, 1)}
    return {c: sum(values) / len(values) for c, values in final.items()}


def torch_job(form, seeds, epochs):
    import torch
    import torch_si

    import pysi

    names = ("x_train", "y_train", "x_test", "y_test", "active")
    tasks = []
    for task in pysi.split_tasks(pysi.load_dataset("mnist")):
        tensors = {name: torch.tensor(getattr(task, name)) for name in names}
        for part in ("x_train", "x_test"):
            tensors[part] = tensors[part] / 255
        tasks.append(tensors)
    final = {
        c: [torch_si.run(tasks, seed, c, form, epochs) for seed in range(seeds)] for c in (0, 1)
    }
    return {c: sum(values) / len(values) for c, values in final.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--serve", choices=["idiomatic", "best"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--torch-seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out")
    args = parser.parse_args()
    if args.serve:
        print(json.dumps(torch_job(args.serve, args.torch_seeds, args.epochs)))
        return

    from pysi.experiments import machine

    def torch_process(form):
        options = f"--serve {form} --torch-seeds {args.torch_seeds} --epochs {args.epochs}"
        command = [sys.executable, __file__, *options.split()]
        done = subprocess.run(command, check=True, capture_output=True)
        return json.loads(done.stdout)

    jobs = {
        "pysi": lambda: pysi_job(args.seeds, args.epochs),
        "torch-idiomatic": lambda: torch_process("idiomatic"),
        "torch-best": lambda: torch_process("best"),
    }
    seeds = {name: args.seeds if name == "pysi" else args.torch_seeds for name in jobs}
    seconds, accuracy = {name: [] for name in jobs}, {}
    for _ in range(args.rounds):
        for name, job in jobs.items():
            began = time.perf_counter()
            accuracy[name] = job()
            seconds[name].append((time.perf_counter() - began) / seeds[name])
            print(f"{name:<16} {seconds[name][-1]:.1f} s per seed  {accuracy[name]}", flush=True)
    result = {
        "benchmark": f"split MNIST, c = 0 and 1, {args.epochs} epochs per task",
        "seeds": seeds,
        "environment": machine.describe("numpy") | {"blas": machine.blas()},
        "seconds_per_seed": {name: turns.spread(values) for name, values in seconds.items()},
        "ratios": {
            f"pysi / {name}": turns.ratios(seconds, "pysi", name) for name in jobs if name != "pysi"
        },
        "average_test_accuracy": accuracy,
    }
    print(json.dumps(result["ratios"], indent=1))
    if args.out:
        turns.write(args.out, result)


if __name__ == "__main__":
    main()
