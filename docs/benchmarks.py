"""Tables of benchmarks: times, ratios, memory, each read from the file that a program wrote."""

import json
from functools import cache
from pathlib import Path

from pysi.experiments.result import Result
from pysi.report.table import Table

RESULTS = Path(__file__).parent / "results"


@cache
def bench(name):
    """The content of a benchmark's file."""
    return json.loads((RESULTS / f"{name}.json").read_text())


def at(name, *path, digits=3):
    """A number in a file, to so many digits that count."""
    found = bench(name)
    for key in path:
        found = found[key]
    return f"{found:.{digits}g}"


def ratio(name, pair, digits=2):
    """A ratio: median and quartiles."""
    found = bench(name)["ratios"][pair]
    low, high = found["quartiles"]
    return f"{found['median']:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def median(name, pair, digits=2):
    """The median of a ratio."""
    return f"{bench(name)['ratios'][pair]['median']:.{digits}f}"


NETS = {
    "bench-step": "784-256-256-10, batch 64",
    "bench-step-permuted": "784-2000-2000-10, batch 256",
    "bench-step-cnn": "CIFAR's network, batch 256",
    "bench-step-cnn-64": "the same, batch 64",
}
CONTESTANTS = {
    "pysi": "pysi, with Numba",
    "pysi-numpy": "pysi, NumPy alone",
    "torch-idiomatic": "PyTorch, idiomatic",
    "torch-best": "PyTorch, fastest eager",
    "torch-compile": "PyTorch, network compiled",
    "torch-compile-all": "PyTorch, all compiled",
    "jax": "JAX, one jitted step",
}
PAIRS = {
    "pysi / JAX": ("pysi", "jax"),
    "pysi / PyTorch all compiled": ("pysi", "torch-compile-all"),
    "with Numba / without": ("pysi", "pysi-numpy"),
}


def steps(form):
    """Milliseconds per step, of all contestants in all networks."""
    rows = [
        [label, *(at(net, "milliseconds_per_step_and_seed", f"{name}, {form}", "median")
                  for net in NETS)]
        for name, label in CONTESTANTS.items()
    ]  # fmt: skip
    return markdown(rows)


def ratios(form):
    """Ratios to one run of idiomatic PyTorch."""
    one = "torch-idiomatic, one run"
    rows = [
        [label, *("1" if f"{name}, {form}" == one else ratio(net, f"{name}, {form} / {one}")
                  for net in NETS)]
        for name, label in CONTESTANTS.items()
    ]  # fmt: skip
    return markdown(rows)


def pairs():
    """Other ratios."""
    rows = [
        [f"{label}, {form}", *(ratio(net, f"{a}, {form} / {b}, {form}") for net in NETS)]
        for label, (a, b) in PAIRS.items()
        for form in ("one run", "seeds in parallel")
    ]
    return markdown(rows)


def overhead():
    """A step with Synaptic Intelligence over a step of plain Adam."""
    forms = ("one run", "one thread")
    rows = [[f"with SI / plain Adam, {form}",
             *(ratio(net, f"pysi, {form} / pysi-adam, {form}") for net in NETS)]
            for form in forms]  # fmt: skip
    return markdown(rows)


def parts():
    """How the time of a step is divided."""
    nets, rows = ("bench-parts", "bench-parts-permuted"), []
    for part in ("forward", "loss", "backward", "update", "matrix products"):
        row = [f"{part}, share of the step"]
        for net in nets:
            share = bench(net)["share_of_the_step"][f"{part}, pysi / step, pysi"]
            row.append(f"{share['median'] if isinstance(share, dict) else share:.2f}")
        rows.append(row)
    for name in ("pysi", "pysi-numpy"):
        label = CONTESTANTS[name].removeprefix("pysi, ")
        for what, key in (("update, ns per synapse", "update_ns_per_synapse"),
                          ("step / floor", "step_over_floor")):  # fmt: skip
            rows.append([f"{what}, {label}", *(at(net, key, name) for net in nets)])
    head = ["784-256-256-10, batch 64", "784-2000-2000-10, batch 256"]
    return markdown(rows, ["one run, with Numba", *head])


GPU = {"bench-gpu-split": "784-256-256-10, batch 64",
       "bench-gpu-permuted": "784-2000-2000-10, batch 256",
       "bench-gpu-cnn": "CIFAR's network, batch 256"}  # fmt: skip


def gpu():
    """Milliseconds per step and network on a GPU."""
    labels = {
        "pysi": "pysi, one network", "pysi-im2col": "the same with im2col",
        "pysi-replicas": "pysi, several networks side by side",
        "torch-idiomatic": "PyTorch, idiomatic", "torch-best": "PyTorch, fastest eager",
        "torch-compile": "PyTorch, compiled",
    }  # fmt: skip
    rows = []
    for name, label in labels.items():
        row = [label]
        for net in GPU:
            found = bench(net)["milliseconds_per_step_and_network"].get(name)
            low, high = found["quartiles"] if found else (0, 0)
            row.append(f"{found['median']:.3g} [{low:.3g}, {high:.3g}]" if found else "–")
        rows.append(row)
    floors = [bench(net)["floor"] for net in GPU]
    rows.append(["floor", *(f"{f['operations_ms'] + f['update_ms']:.3g}" for f in floors)])
    return markdown(rows, ["", *GPU.values()])


def seconds(name):
    """How long a result took."""
    return f"{Result.load(RESULTS / f'{name}.json').content['duration_s']:.3g}"


def importance():
    """Seconds per task that the importance takes, and the share of the training."""
    found = bench("bench-importance")
    rows = [[name, f"{s:.1f}", f"{100 * found['share_of_training'][name]:.1f} %"]
            for name, s in found["seconds_a_task"].items()]  # fmt: skip
    return markdown(rows, ["", "seconds per task", "share of the training"])


def imports():
    """Seconds that imports take."""
    found = bench("bench-footprint")["import_seconds_with_interpreter"]
    rows = [[f"`{name}`", f"{s:.2f}"] for name, s in found.items()]
    return markdown(rows, ["import", "seconds"])


def markdown(rows, head=None):
    """A table with a column per network, or with another head."""
    return Table(head or ["", *NETS.values()], rows).markdown()


def costs():
    """What each method costs, relative to plain training."""
    found, rows = bench("bench-methods"), []
    for method, about in found["methods"].items():
        cost = found["relative"].get(f"{method} / joint")
        low, high = cost["quartiles"] if cost else (1, 1)
        text = f"{cost['median']:.2f} [{low:.2f}, {high:.2f}]" if cost else "1"
        rows.append([f"`{method}`", text, f"{about['megabytes']:.1f}", f"{about['parameters']:,}"])
    return markdown(rows, ["method", "step / plain step", "memory, MB", "parameters"])
