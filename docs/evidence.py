"""Numbers and tables of the pages, each read from a file that a program wrote.

A page says `{{ accuracy("split-mnist", "si", 1) }}` where a number stands, and `conf.py` has `fill`
put it there. `python docs/evidence.py` prints the table of README.md.
"""

from functools import cache
from pathlib import Path

import numpy as np

import benchmarks
from pysi.experiments.intervals import interval
from pysi.experiments.overview import Overview
from pysi.experiments.result import Result
from pysi.metrics import forgetting as forgets
from pysi.metrics import sem
from pysi.report import tables
from pysi.theory import claims

RESULTS = Path(__file__).parent / "results"


# Results: name, method and strength


@cache
def result(name):
    """A result, sweep or landscape."""
    kind = Overview if name.startswith("landscape") else Result
    return kind.load(RESULTS / f"{name}.json")


def there(name):
    """Whether a file has been measured."""
    return (RESULTS / f"{name}.json").exists()


def mean(values, digits=4):
    """Mean ± SEM over seeds; the mean alone of one seed."""
    text = f"{np.mean(values):.{digits}f}"
    return f"{text} ± {sem(values):.{digits}f}" if len(values) > 1 else text


def seeds(name, method, c=0.0):
    """How many seeds a curve has."""
    return len(result(name).runs_of(method, c))


def accuracy(name, method, c=0.0, part="test", digits=4):
    """Average accuracy over all tasks after the last one."""
    return mean(result(name).final(method, c, part).mean(axis=1), digits)


def on_task(name, method, c, task, after=None, digits=4, part="test"):
    """Accuracy on a task (from 1) after a task; by default, after the last one."""
    test = result(name).select(method, c, part)
    return mean(test[:, (after or test.shape[1]) - 1, task - 1], digits)


def forgetting(name, method, c=0.0):
    """Forgetting on test data."""
    return mean(forgets(result(name).select(method, c)))


def paired(name, curve, other, against=None, part="test"):
    """The interval of a curve's average accuracy minus that of another, by seed."""
    own, their = (
        {
            run["seed"]: matrix.mean()
            for run, matrix in zip(found.runs_of(*each), final, strict=True)
        }
        for each, found in ((curve, result(name)), (other, result(against or name)))
        for final in [found.final(*each, part)]
    )
    return interval([own[seed] - their[seed] for seed in own if seed in their])


def difference(name, curve, other, against=None, part="test"):
    """Average accuracy of a curve minus that of another, perhaps of another result, by seed."""
    return str(paired(name, curve, other, against, part))


def answer(found, low=-np.inf, high=np.inf):
    """The verdict on whether an interval lies between two bounds."""
    return {True: "**yes**", False: "**no**", None: "undecided"}[found.lies(low, high)]


def is_better(name, curve, other, against=None):
    """The verdict on whether a curve has the higher average accuracy."""
    return answer(paired(name, curve, other, against), 0.0)


def of_older(name):
    """Average accuracy of the single run of a file that `pysi` does not read any more."""
    (run,) = benchmarks.bench(name)["runs"]
    return f"{np.mean(run['test_accuracy'][-1]):.4f}"


def table(name, what, *arguments):
    """One of the tables of `pysi.report.tables`."""
    return getattr(tables, what)(result(name), *arguments).markdown()


SIGNS = {"yes": "**yes**", "no": "**no**"}


def verdicts(*names):
    """The paper's claims, and what some results of one experiment say of them."""
    lines = ["| the paper says | counts as yes if | here: mean [95 % interval] | verdict | n |",
             "|---|---|---|---|---|"]  # fmt: skip
    for claim in result(names[0]).protocol.claims:
        cells = []
        for name in names:
            for found in claim.verdicts(result(name)):
                if found.answer == "not run" and len(names) > 1:
                    continue
                about = f"{found.about}: " * bool(found.about)
                cells.append((about + found.here, SIGNS.get(found.answer, found.answer), found.n))
        for i, (here, answer, n) in enumerate(cells):
            paper, criterion = (claim.paper, claim.criterion) if i == 0 else ("", "")
            lines.append(f"| {paper} | {criterion} | {here} | {answer} | {n} |")
    return "\n".join(lines)


def listed(name, **curves):
    """Curves of a result in one line: accuracy, and how many seeds it has."""
    cells = []
    for method, strengths in curves.items():
        method = method.replace("_", "-")
        for c in strengths if isinstance(strengths, tuple) else (strengths,):
            label, n = tables.title((method, c)), seeds(name, method, c)
            cells.append(f"{label}: {accuracy(name, method, c)} (n = {n})")
    return "; ".join(cells)


RESETS = {
    "full": "split-mnist",
    "moments": "split-mnist-adam-moments",
    "none": "split-mnist-adam-kept",
}


def resets():
    """Figure 3 in the three modes of Adam's reset."""
    rows = []
    for c, method in ((0.0, "fine-tuning"), (1.0, "si")):
        for mode, name in RESETS.items():
            cells = [on_task(name, method, c, 1, 2, digits=3)]
            cells += [on_task(name, method, c, task, digits=3) for task in (1, 2)]
            cells.append(accuracy(name, method, c))
            rows.append([f"{c:g}", f"`{mode}`", str(seeds(name, method, c)), *cells])
    head = ["c", "mode", "seeds", "task 1 after task 2", "task 1 after task 5",
            "task 2 after task 5", "all tasks after task 5"]  # fmt: skip
    return tables.Table(head, rows).markdown()


def said(found, low=-np.inf, high=np.inf):
    """A verdict and the interval that it rests on."""
    return f"{answer(found, low, high)}: {found}"


def reset_loss(mode):
    """Whether task 1 loses more than 0.1 while task 2 is learned, without consolidation."""
    test = result(RESETS[mode]).select("fine-tuning")
    return said(interval(test[:, 0, 0] - test[:, 1, 0]), low=0.1)


def reset_chance(mode, task):
    """Whether a task is at chance after the last one, without consolidation."""
    return said(interval(result(RESETS[mode]).select("fine-tuning")[:, -1, task - 1]), high=0.6)


# The landscape: every method in every scenario

SCENARIOS = ("task", "domain", "class")
INPUTS = {
    "pixels": "pixels from 0 to 1, as here",
    "scaled": "these divided by 0.31",
    "shifted": "these minus 0.13, so that the background is not 0",
    "standardised": "both: mean 0, standard deviation 1",
    "padded": "both, with a border of two pixels, as theirs",
}
WEIGHTS = {
    "glorot": "weights as here: Glorot's, readout from zero",
    "pytorch": "weights as theirs: PyTorch's, with biases",
}

ELSEWHERE = {  # Hsu et al. (2018): 2 x 400 units, four epochs, batches of 128, ten runs
    "fine-tuning": (".9346 ± .020", "", ""),
    "sgd": (".9798", "", ""),
    "l2": (".9818", "", ""),
    "ewc": (".9770", ".589", ".198"),
    "online-ewc": (".9804", "", ""),
    "si": (".9856 ± .005", ".648", ".197"),
    "mas": (".9922 ± .002", ".686", ".195"),
    "lwf": (".9960 ± .0003", ".710", ".242"),
    "lwf-van-de-ven": (".9960 ± .0003", ".710", ".242"),
    "joint": (".9952", ".986", ".975"),
}


def landscape(name):
    """Every method in every scenario, or that it has not been measured."""
    if not there(name):
        return "This has not been measured yet."
    return tables.landscape(result(name)).markdown()


def not_measured(name):
    """The scenarios in which a landscape has not been measured yet, in a sentence."""
    scenarios = SCENARIOS if name == "landscape-split" else ("domain",)
    missing = [s for s in scenarios if not there(name) or s not in result(name).scenarios]
    return f"Not measured yet: {' and '.join(f'`{s}`' for s in missing)}." if missing else ""


def beside_elsewhere(name):
    """The methods for which Hsu et al. recorded numbers with the same protocol."""
    if not there(name):
        return ""
    found, rows = result(name), []
    scenarios = [s for s in SCENARIOS if s in found.scenarios]
    for method, recorded in ELSEWHERE.items():
        cells = [f"`{method}`"]
        for scenario in scenarios:
            own = method in found.rows(scenario)
            number = recorded[SCENARIOS.index(scenario)]
            cells += [mean(found.accuracy(scenario, method)) if own else "–", number or "–"]
        rows.append(cells)
    head = [text for scenario in scenarios for text in (scenario, "Hsu et al.")]
    return tables.Table(["method", *head], rows).markdown()


def inputs_and_weights():
    """Hsu's protocol: what a network sees, against the weights from which it starts."""
    rows = []
    for inputs, words in INPUTS.items():
        names = [f"split-mnist-hsu-{inputs}-{weights}" for weights in WEIGHTS]
        rows.append([words, *(accuracy(n, "si", 3000.0) if there(n) else "–" for n in names)])
    return tables.Table(["the network sees", *WEIGHTS.values()], rows).markdown()


def ahead(name, scenario, method, other):
    """A method's average accuracy minus another's in a scenario, paired by seed."""
    return str(interval(result(name).difference(scenario, method, other)))


# Equations: what `pysi theory` prints


@cache
def equations():
    """All rows of `pysi theory`."""
    return claims.run(0)


def rows_of(*numbers):
    """The rows of these equations."""
    return [check for check in equations() if set(numbers) & set(check.equation.split(", "))]


def theory(*numbers):
    """How many rows of these equations agree."""
    agree = [check.passed for check in rows_of(*numbers)]
    return f"{sum(agree)} of {len(agree)} rows agree"


def agreed(*numbers):
    """The verdict on these equations."""
    return "**yes**" if all(check.passed for check in rows_of(*numbers)) else "**no**"


def fill(text):
    """A page with its numbers: what stands between braces is computed."""
    if "{{" not in text:
        return text
    import jinja2

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    names = vars(benchmarks) | globals()
    environment.globals = {name: f for name, f in names.items() if callable(f)}
    return environment.from_string(text).render()


README = """
| | |
|---|---|
| split MNIST, average test accuracy after five tasks, n = {{ seeds("split-mnist", "si", 1.0) }} | c = 1: **{{ accuracy("split-mnist", "si", 1.0) }}**; c = 0: {{ accuracy("split-mnist", "fine-tuning") }} (chance 0.5) |
| the difference, paired by seed, and its 95 % interval | {{ difference("split-mnist", ("si", 1.0), ("fine-tuning", 0.0)) }} |
| forgetting (test) | c = 1: {{ forgetting("split-mnist", "si", 1.0) }}; c = 0: {{ forgetting("split-mnist", "fine-tuning") }} |
| permuted MNIST, average test accuracy after ten tasks, mean of n seeds | {{ listed("permuted-mnist", si=0.1, ewc=100.0, joint=0.0, dropout=0.0, fine_tuning=0.0) }} (chance 0.1) |
| CIFAR-10, then CIFAR-100, mean test accuracy over six tasks after the last one | {{ listed("split-cifar", si=(0.01, 0.1), fine_tuning=0.0, scratch=0.0) }} (chance 0.1) |
| training step with Synaptic Intelligence and Numba, one run, idle machine | **{{ median("bench-step", "pysi, one run / torch-idiomatic, one run") }}** × idiomatic eager PyTorch, {{ median("bench-step", "pysi, one run / torch-best, one run") }} × the fastest eager form, {{ median("bench-step", "pysi, one run / jax, one run") }} × JAX |
| the same per seed, seeds in parallel processes | **{{ median("bench-step", "pysi, seeds in parallel / torch-idiomatic, one run") }}** × one run of idiomatic PyTorch; {{ median("bench-step", "pysi, seeds in parallel / torch-best, seeds in parallel") }} × the fastest eager form and {{ median("bench-step", "pysi, seeds in parallel / jax, seeds in parallel") }} × JAX, in parallel too |
| step of the large network (784-2000-2000-10), one run | **{{ median("bench-step-permuted", "pysi, one run / torch-idiomatic, one run") }}** × idiomatic, {{ median("bench-step-permuted", "pysi, one run / torch-best, one run") }} × the fastest, {{ median("bench-step-permuted", "pysi, one run / jax, one run") }} × JAX; {{ at("bench-parts-permuted", "step_over_floor", "pysi") }} × the floor of this machine |
| step of the convolutional network (CIFAR, batch 256), one run | **{{ median("bench-step-cnn", "pysi, one run / torch-idiomatic, one run") }}** × idiomatic, {{ median("bench-step-cnn", "pysi, one run / torch-best, one run") }} × the fastest (`channels_last`), {{ median("bench-step-cnn", "pysi, one run / jax, one run") }} × JAX |
| the first three of these ratios, without Numba | {{ median("bench-step", "pysi-numpy, one run / torch-idiomatic, one run") }}, {{ median("bench-step", "pysi-numpy, seeds in parallel / torch-idiomatic, one run") }} and {{ median("bench-step-permuted", "pysi-numpy, one run / torch-idiomatic, one run") }} × idiomatic |
| a step with Synaptic Intelligence / a step of plain Adam, one thread | {{ median("bench-step", "pysi, one thread / pysi-adam, one thread") }} |
| on one NVIDIA H200: split MNIST, all twenty networks side by side | **{{ seconds("split-mnist-gpu") }} s**; c = 1: {{ accuracy("split-mnist-gpu", "si", 1.0) }}; c = 0: {{ accuracy("split-mnist-gpu", "fine-tuning") }} |
| permuted MNIST with Synaptic Intelligence on the H200, three seeds side by side | **{{ seconds("permuted-mnist-gpu") }} s**; {{ accuracy("permuted-mnist-gpu", "si", 0.1) }} |
| a step of split MNIST's network on the H200, against PyTorch | **{{ median("bench-gpu-split", "pysi / torch-idiomatic") }}** × idiomatic eager, {{ median("bench-gpu-split", "pysi / torch-best") }} × the fastest eager, {{ median("bench-gpu-split", "pysi / torch-compile") }} × compiled |
| the same per network, ten of them side by side | **{{ median("bench-gpu-split", "pysi-replicas / torch-idiomatic", 3) }}** × idiomatic eager, {{ median("bench-gpu-split", "pysi-replicas / torch-best", 3) }} × the fastest eager, {{ median("bench-gpu-split", "pysi-replicas / torch-compile", 3) }} × compiled |
| a step of the convolutional network on the H200, with Winograd's algorithm | {{ median("bench-gpu-cnn", "pysi / torch-idiomatic") }} × idiomatic eager, {{ median("bench-gpu-cnn", "pysi / torch-best") }} × the fastest eager: slower |
| import, interpreter included | `pysi` {{ at("bench-footprint", "import_seconds_with_interpreter", "pysi", digits=2) }} s, `numpy` {{ at("bench-footprint", "import_seconds_with_interpreter", "numpy", digits=2) }} s, `torch` {{ at("bench-footprint", "import_seconds_with_interpreter", "torch") }} s |
| peak memory of a training process | {{ at("bench-footprint", "peak_memory_mb", "NumPy alone", "worker") }} MB, with Numba {{ at("bench-footprint", "peak_memory_mb", "with Numba", "worker") }} MB (PyTorch: {{ at("bench-footprint", "peak_memory_mb", "torch, one process") }} MB) |
"""  # noqa: E501
"""The table of README.md, whose numbers a test compares with the files."""

if __name__ == "__main__":
    print(fill(README).strip())
