"""What a result file must look like. Anything else is refused in one sentence when it is read."""

from collections.abc import Callable, Mapping
from math import inf
from typing import Any, TypeAlias

from pysi.experiments.methods import METHODS

Check: TypeAlias = Callable[[Any, str], None]
"""Called as check(value, where); raises `Unfit`."""

LARGEST = 10**9
"""No count in a result is larger; a larger number is a sign of damage."""


class Unfit(ValueError):
    """A part of a result is not what it should be: a sentence that names it."""


def kind(expected: str, fits: Callable[[Any], bool]) -> Check:
    """Return a check of a single value."""

    def check(value: Any, where: str) -> None:
        if not fits(value):
            text = repr(value)
            shown = text if len(text) < 60 else f"{text[:60]}…"
            raise Unfit(f"expected {expected} for {where}, found {shown}")

    return check


def many(each: Check) -> Check:
    """Return a check of a list."""

    def check(value: Any, where: str) -> None:
        a_list(value, where)
        for i, one in enumerate(value):
            each(one, f"{where}[{i}]")

    return check


def record(needed: Mapping[str, Check], possible: Mapping[str, Check] | None = None) -> Check:
    """Return a check of a dict: entries that it must have, or may have; others are not checked."""

    def check(value: Any, where: str) -> None:
        a_dict(value, where)
        if missing := needed.keys() - value.keys():
            raise Unfit(f"expected {', '.join(sorted(missing))} in {where}, found none")
        for name, each in {**needed, **(possible or {})}.items():
            if name in value:
                each(value[name], f"{where}.{name}")

    return check


def named(each: Check) -> Check:
    """Return a check of a dict of any names, whose values are all of one kind."""

    def check(value: Any, where: str) -> None:
        a_dict(value, where)
        for name, one in value.items():
            each(one, f"{where}.{name}")

    return check


def optional(each: Check) -> Check:
    """Return a check of a value that may be missing: null."""
    return lambda value, where: None if value is None else each(value, where)


def is_number(value: Any, low: float = -inf) -> bool:
    """Return whether a value is a number, and no smaller than `low`; NaN is not."""
    return type(value) in (int, float) and low <= value < inf and abs(value) < 1e300


def is_matrix(value: Any, fits: Callable[[Any], bool] = is_number) -> bool:
    """Return whether a value is a list of non-empty lists of numbers, all of one length."""
    return (
        isinstance(value, list)
        and all(isinstance(row, list) and row for row in value)
        and len({len(row) for row in value}) == 1
        and all(fits(x) for row in value for x in row)
    )


def is_correlation(value: Any) -> bool:
    """Return whether a value is a square matrix. NaN stands where ω overflowed."""
    square = is_matrix(value, lambda x: type(x) in (int, float) and not abs(x) > 1.01)
    return square and len(value) == len(value[0])


a_list = kind("a list", lambda value: isinstance(value, list))
a_dict = kind("named entries", lambda value: isinstance(value, dict))
text = kind("text", lambda value: isinstance(value, str))
flag = kind("true or false", lambda value: isinstance(value, bool))
number = kind("a finite number", is_number)
positive = kind("a finite number ≥ 0", lambda value: is_number(value, 0))
count = kind("a whole number from 0", lambda v: type(v) is int and 0 <= v <= LARGEST)
several = kind("a whole number from 1", lambda v: type(v) is int and 1 <= v <= LARGEST)
any_number = kind("a number", lambda value: type(value) is float or is_number(value))
matrix = kind("a matrix of finite numbers", is_matrix)
method = kind("a method in METHODS (add your own there)", lambda name: name in list(METHODS))
correlation = kind("a square matrix of numbers from -1 to 1", is_correlation)

CONTENT = record(
    {
        "experiment": text,
        "config": record(
            {"epochs": several, "tasks": several, "seeds": several},
            {"methods": many(text), "c": many(positive), "ewc_c": many(positive)},
        ),
        "dataset": record(
            {"name": text, "checksums": named(text), "n_train": count, "n_test": count}
        ),
        "environment": record(
            {"blas_threads": several}, {"image_threads": several, "vectorise": flag}
        ),
        "scenario": text,
        "chance": number,
        "task_names": many(text),
        "duration_s": positive,
        "runs": a_list,
    },
    {"started": text, "complete": flag, "xi": many(positive), "chosen": optional(a_dict)},
)
EPOCH = record({"task": several, "epoch": several, "loss": any_number, "penalty": any_number})
RUN = {"method": method, "c": positive, "xi": positive, "seed": count, "train_accuracy": matrix}
OUTCOME = {
    "omega_correlation": optional(named(correlation)),
    "epochs": many(EPOCH),
    "consolidation_s": many(positive),
}
"""What only the runs of a `Result` have."""
TIMES = {
    "duration_s": positive,
    "peak_memory_mb": optional(positive),
    "synapses": text,
    "blas": many(a_dict),
    "numba": optional(text),
    "replicas": several,
}


def check_content(content: dict[str, Any], accuracy: str) -> None:
    """Raise `Unfit` if the content of a result is not what it should be.

    Parameters
    ----------
    content : dict
    accuracy : {"test_accuracy", "validation_accuracy"}
        The entry by which its runs are measured.
    """
    CONTENT(content, "the result")
    n = len(content["task_names"])
    if n != content["config"]["tasks"]:
        raise Unfit(f"expected names of {content['config']['tasks']} tasks, found {n}")
    needed = RUN | (OUTCOME if accuracy == "test_accuracy" else {}) | {accuracy: matrix}
    check_run, keys, layers = record(needed, TIMES), set(), set()
    for i, run in enumerate(content["runs"]):
        where = f"runs[{i}]"
        check_run(run, where)
        keys.add((run["method"], run["c"], run["xi"], run["seed"]))
        trains = METHODS[run["method"]].trains
        expected = trains.count(n), 1 if trains.first_only else n
        for part in (accuracy, "train_accuracy"):
            if (found := (len(run[part]), len(run[part][0]))) != expected:
                raise Unfit(f"expected {where}.{part} of shape {expected}, found {found}")
        if watched := run.get("omega_correlation"):
            layers.add(tuple(watched))
            if {len(one) for one in watched.values()} != {expected[0]}:
                raise Unfit(f"expected correlations of {expected[0]} tasks in {where}")
        elif watched is not None:
            raise Unfit(f"expected correlations of some layers in {where}, found none")
    if len(layers) > 1:
        raise Unfit(f"expected correlations of the same layers in all runs, found {layers}")
    if len(keys) < len(content["runs"]):
        raise Unfit("expected every run once, found one of them twice")
