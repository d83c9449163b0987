"""Memory of training on CIFAR-10 and CIFAR-100, after every epoch and task (on Linux).

PYSI_DATA=DIR python tests/bench/bench_memory.py --out docs/results/bench-memory-cnn.json

All data are loaded, and all six tasks are tested after each task. But an epoch has only the first
examples of a task, because the memory of a step does not depend on their number.
"""

import argparse
import os
from pathlib import Path

import quiet
import turns


def memory():
    """Return the resident memory of this process in MB: now, and at most so far."""
    from pysi.experiments import machine

    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return [round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1), machine.peak_memory_mb()]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=2560)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--out")
    quiet.options(parser)
    args = parser.parse_args()
    state = quiet.check(parser, args)

    import pysi
    from pysi.experiments import machine
    from pysi.experiments.protocols import SplitCIFAR
    from pysi.history import Epoch
    from pysi.threads import using

    config = SplitCIFAR(epochs=args.epochs, examples=args.examples)
    resident = {"imported": memory()}
    dataset = pysi.load_dataset("cifar10-100")
    resident["data read"] = memory()
    tasks = config.make_tasks(dataset)
    data = sum(getattr(dataset, f"{x}_{part}").nbytes for x in "xy" for part in ("train", "test"))
    net, rule = config.make_network(0), pysi.SynapticIntelligence(0.1, xi=config.xi)

    def remember(event):
        if isinstance(event, Epoch):
            resident[f"task {event.task}, epoch {event.epoch}"] = memory()

    threads = machine.require("joblib").cpu_count()
    with using(threads, images=True):
        pysi.train(
            net, config.make_optimizer(), rule, tasks,
            epochs=args.epochs, batch_size=config.batch_size, listeners=[remember],
        )  # fmt: skip
    resident["last task tested"] = memory()
    content = {
        "benchmark": "resident memory in MB, now and at most, of Synaptic Intelligence on the CNN",
        "environment": machine.describe("numpy") | {"image_threads": threads},
        "machine": state.record(),
        "examples_of_a_task": args.examples,
        "data_mb": round(data / 1e6, 1),
        "resident_mb_now_and_at_most": resident,
    }
    turns.report(content, args.out)


if __name__ == "__main__":
    main()
