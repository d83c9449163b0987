"""Verdicts: results whose answer is known, and results that lack what a claim is about."""

import numpy as np
import pytest

from pysi.errors import DataError
from pysi.experiments.methods import METHODS
from pysi.experiments.protocols import PROTOCOLS
from pysi.experiments.result import Result
from pysi.verdicts.verdict import Claim, Verdict, decide, measured
from test_experiments import PUBLISHED

FREE, SI = ("fine-tuning", 0.0), ("si", 1.0)
EWC, JOINT, DROPOUT, SCRATCH = ("ewc", 100.0), ("joint", 0.0), ("dropout", 0.0), ("scratch", 0.0)
TASKS = {"split-mnist": 5, "permuted-mnist": 5, "split-cifar": 6}
LAYERS = ("dense1.W", "dense2.W", "dense3.W")


def filled(n, spec, above, noise):
    """Return a matrix that is 0.99 where a task was learned, but for the entries of `spec`."""
    matrix = np.where(np.tri(n, dtype=bool), spec.get("all", 0.99), above)
    for place, value in spec.items():
        if place not in ("all", "train", *LAYERS):
            matrix[place] = value
    return matrix + noise.normal(0, 2e-4, (n, n))


def run(curve, seed, n, spec):
    method, c = curve
    noise = np.random.default_rng([seed, n, sorted(METHODS).index(method)])
    test, train = (filled(n, part, 0.5, noise) for part in (spec, spec | spec.get("train", {})))
    rows = METHODS[method].trains.count(n)
    correlations = {}
    for layer in LAYERS:
        matrix = filled(n, {"all": 0.02} | spec.get(layer, {}), 0.0, noise)
        correlations[layer] = np.tril(matrix, -1) + np.tril(matrix, -1).T + np.eye(n)
    return {
        "method": method, "c": c, "xi": 0.1, "seed": seed,
        "test_accuracy": test[-rows:].tolist(), "train_accuracy": train[-rows:].tolist(),
        "omega_correlation": correlations if METHODS[method].omega else None,
    }  # fmt: skip


def result(experiment, curves, seeds=(0, 1, 2), n=None):
    """Return a result: for each curve, what is not 0.99 (see `filled`); seeds may be by curve."""
    n = n or TASKS[experiment]
    by_curve = seeds if isinstance(seeds, dict) else dict.fromkeys(curves, seeds)
    return Result({
        "experiment": experiment,
        "chance": 0.5 if experiment == "split-mnist" else 0.1,
        "task_names": [f"name {i}" for i in range(n)],
        "runs": [
            run(curve, seed, n, spec) for curve, spec in curves.items() for seed in by_curve[curve]
        ],
    })  # fmt: skip


def claim(experiment, words):
    (found,) = [one for one in PROTOCOLS[experiment].claims if words in one.paper]
    return found


def last(values):
    """Return the accuracies on the tasks after the last one."""
    return {(-1, j): value for j, value in enumerate(values)}


def line(slope, first=0.8):
    """Return accuracies on six tasks after the last one, on a line but for the first task."""
    return last([first, *(0.6 + slope * np.arange(5))])


ONE = {"all": 0.98}
SPLIT, PERMUTED, CIFAR = TASKS
CASES = [
    (SPLIT, "accuracy on a new task", {FREE: {}}, "yes"),
    (SPLIT, "accuracy on a new task", {SI: {(2, 2): 0.9}}, "no"),
    (SPLIT, "substantial loss", {FREE: {(1, 0): 0.7}}, "yes"),
    (SPLIT, "substantial loss", {FREE: {}}, "no"),
    (SPLIT, "impaired only a little", {SI: {}}, "yes"),
    (SPLIT, "impaired only a little", {SI: {(1, 0): 0.9}}, "no"),
    (SPLIT, "impaired only a little", {SI: {(0, 0): 0.97, (1, 0): 0.965, (1, 1): 0.97}}, "partly"),
    (SPLIT, "back at chance", {FREE: {(4, 0): 0.5, (4, 1): 0.45}}, "yes"),
    (SPLIT, "back at chance", {FREE: {(4, 0): 0.74, (4, 1): 0.45}}, "partly"),
    (SPLIT, "back at chance", {FREE: {}}, "no"),
    (SPLIT, "degrade only a little", {SI: {}}, "yes"),
    (SPLIT, "degrade only a little", {SI: {(4, 0): 0.9}}, "partly"),
    (SPLIT, "degrade only a little", {SI: {(4, 0): 0.9, (4, 1): 0.9}}, "no"),
    (SPLIT, "average accuracy higher", {FREE: {(4, 0): 0.5}, SI: {}}, "yes"),
    (SPLIT, "average accuracy higher", {FREE: {}, SI: {(4, 0): 0.5}}, "no"),
    (PERMUTED, "solves the newest task", {FREE: {(4, 0): 0.2}}, "yes"),
    (PERMUTED, "solves the newest task", {FREE: {}}, "partly"),
    (PERMUTED, "solves the newest task", {FREE: {(4, 4): 0.9}}, "no"),
    (PERMUTED, "retains high accuracy", {SI: {}}, "yes"),
    (PERMUTED, "retains high accuracy", {SI: {(4, 2): 0.9}}, "partly"),
    (PERMUTED, "retains high accuracy", {SI: {(4, 0): 0.9, (4, 2): 0.9}}, "no"),
    (PERMUTED, "only slightly worse", {SI: ONE, JOINT: {}}, "yes"),
    (PERMUTED, "only slightly worse", {SI: {"all": 0.9}, JOINT: {}}, "no"),
    (PERMUTED, "far worse", {SI: {}, FREE: {"all": 0.6}, DROPOUT: {"all": 0.6}}, "yes"),
    (PERMUTED, "far worse", {SI: {}, FREE: {"all": 0.6}, DROPOUT: {}}, "partly"),
    (PERMUTED, "far worse", {SI: {}, FREE: {}, DROPOUT: {}}, "no"),
    (PERMUTED, "comparable to those of EWC", {SI: {}, EWC: {"all": 0.993}}, "yes"),
    (PERMUTED, "comparable to those of EWC", {SI: {}, EWC: {"all": 0.95}}, "no"),
    (PERMUTED, "training accuracy shows", {SI: {}, FREE: {"all": 0.6}}, "yes"),
    (PERMUTED, "training accuracy shows", {SI: {}, FREE: {"all": 0.6, "train": {"all": 1}}}, "no"),
    (PERMUTED, "training accuracy shows", {SI: ONE, JOINT: {}}, "yes"),
    (PERMUTED, "training accuracy shows", {SI: {}, JOINT: ONE}, "no"),
    (PERMUTED, "first-layer weights", {FREE: {}}, "yes"),
    (PERMUTED, "first-layer weights", {FREE: {"dense1.W": {"all": 0.3}}}, "no"),
    (PERMUTED, "become more correlated", {FREE: {"dense2.W": {(4, 3): 0.6}}}, "yes"),
    (PERMUTED, "become more correlated", {FREE: {"dense2.W": {(1, 0): 0.6}}}, "no"),
    (PERMUTED, "prevents strong correlations", {SI: {}}, "yes"),
    (PERMUTED, "prevents strong correlations", {SI: {"dense2.W": {(1, 0): 0.8}}}, "partly"),
    (PERMUTED, "prevents strong correlations", {SI: {"dense2.W": {"all": 0.6}}}, "no"),
    (CIFAR, "declines with age", {FREE: line(0.05)}, "yes"),
    (CIFAR, "declines with age", {FREE: line(-0.05)}, "no"),
    (CIFAR, "similar for all tasks", {FREE: line(0.05), SI: line(0.01)}, "yes"),
    (CIFAR, "similar for all tasks", {FREE: line(0.05), SI: line(-0.05)}, "no"),
    (CIFAR, "better than none", {FREE: line(0.05), SI: line(0.05, 0.9) | last([0.9] * 5)}, "yes"),
    (CIFAR, "better than none", {FREE: line(0.05), SI: line(0.04, 0.9) | {(-1, 1): 0.5}}, "partly"),
    (CIFAR, "better than none", {FREE: {}, SI: ONE}, "no"),
    (CIFAR, "from scratch on each task alone", {SI: {(5, 0): 0.5}, SCRATCH: {}}, "yes"),
    (CIFAR, "from scratch on each task alone", {SI: {(5, 1): 0.5}, SCRATCH: {}}, "partly"),
    (CIFAR, "from scratch on each task alone", {SI: {"all": 0.5}, SCRATCH: {}}, "no"),
    (CIFAR, "the exception is CIFAR-10", {SI: {(5, 0): 0.5}, SCRATCH: {}}, "yes"),
    (CIFAR, "the exception is CIFAR-10", {SI: {}, SCRATCH: ONE}, "no"),
    (CIFAR, "the order is reversed", {SI: {"train": ONE}, SCRATCH: {}}, "yes"),
    (CIFAR, "the order is reversed", {SI: {"train": ONE | {(5, 2): 1.0}}, SCRATCH: {}}, "partly"),
    (CIFAR, "the order is reversed", {SI: {}, SCRATCH: {"train": ONE}}, "no"),
]


def said(case, **how):
    """Return the answers to a case that are about what it names."""
    experiment, words, curves, _ = case
    return claim(experiment, words).verdicts(result(experiment, curves, **how))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[1]}: {case[3]}")
def test_an_answer_that_is_known(case):
    found = said(case)
    assert [(one.answer, one.n) for one in found] == [(case[3], 3)]


def test_each_claim_of_the_paper_has_a_case_of_yes_and_of_no():
    for experiment, protocol in PROTOCOLS.items():
        for one in protocol.claims:
            answers = {answer for e, words, _, answer in CASES
                       if e == experiment and words in one.paper}  # fmt: skip
            assert answers >= {"yes", "no"}, one.paper


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[1]}: {case[3]}")
def test_a_single_seed_decides_nothing(case):
    (found,) = said(case, seeds=(0,))
    assert (found.answer, found.n) == ("undecided", 1)
    assert "(one seed)" in found.here


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[1]}: {case[3]}")
def test_the_order_of_runs_does_not_matter(case):
    experiment, words, curves, _ = case
    shown = result(experiment, curves)
    first = claim(experiment, words).verdicts(shown)
    rng = np.random.default_rng(0)
    for _ in range(3):
        shown.content["runs"] = [shown.runs[i] for i in rng.permutation(len(shown.runs))]
        assert claim(experiment, words).verdicts(shown) == first


def test_wide_intervals_are_undecided():
    shown = result(SPLIT, {FREE: {}, SI: {}})
    for run, lost in zip(shown.runs_of(*FREE), (0.01, 0.1, 0.3), strict=True):
        run["test_accuracy"][1][0] -= lost
    (found,) = claim(SPLIT, "substantial loss").verdicts(shown)
    assert found.answer == "undecided"


def test_partly_needs_a_part_that_is_and_a_part_that_is_not_as_claimed():
    sure, other, unsure = ([0.9, 0.9, 0.9], [0.1, 0.1, 0.1], [0.1, 0.5, 0.9])
    for values, answer in (
        ((sure, sure), "yes"), ((other, other), "no"), ((sure, other), "partly"),
        ((sure, unsure), "undecided"), ((other, unsure), "undecided"), ((sure, [0.9]), "undecided"),
    ):  # fmt: skip
        found = decide(*(measured("it", np.array(each), 0.45) for each in values))
        assert found.answer == answer


def test_differences_are_over_shared_seeds_and_need_some():
    curves = {FREE: {(4, 0): 0.5}, SI: {}}
    shown = result(SPLIT, curves, seeds={SI: (0, 1, 2), FREE: (4, 2, 1)})
    (found,) = claim(SPLIT, "average accuracy higher").verdicts(shown)
    assert (found.answer, found.n) == ("yes", 2)
    apart = result(SPLIT, curves, seeds={SI: (0, 1), FREE: (2, 3)})
    (found,) = claim(SPLIT, "average accuracy higher").verdicts(apart)
    assert (found.answer, found.n) == ("not run", 0)


def test_the_slopes_of_cifar_are_paired_by_seed_too():
    curves = {FREE: line(0.05), SI: line(0.01)}
    shown = result(CIFAR, curves, seeds={SI: (0, 1, 2), FREE: (3, 2, 1)})
    for run in shown.runs:  # what a seed does to both curves cancels
        tilt = 0.02 * run["seed"] * (0.5 if run["method"] == "si" else 1)
        run["test_accuracy"][-1] = (
            np.array(run["test_accuracy"][-1]) + tilt * np.arange(6)
        ).tolist()
    (found,) = claim(CIFAR, "similar for all tasks").verdicts(shown)
    assert (found.answer, found.n) == ("yes", 2)


def test_one_strength_is_one_verdict_and_says_which_it_is_about():
    curves = {("si", 0.1): {(4, 0): 0.9, (4, 1): 0.9}, ("si", 1.0): {}}
    found = claim(SPLIT, "degrade only a little").verdicts(result(SPLIT, curves))
    assert [(one.answer, one.about) for one in found] == [
        ("no", "SI, c = 0.1"),
        ("yes", "SI, c = 1"),
    ]


@pytest.mark.parametrize("experiment", TASKS)
@pytest.mark.parametrize("curve", [None, FREE, SI, EWC, JOINT, DROPOUT, SCRATCH, ("single", 0.0)])
def test_what_a_result_lacks_is_not_run(experiment, curve):
    shown = result(experiment, {curve: {}} if curve else {})
    if curve == ("single", 0.0):
        for run in shown.runs:
            run["test_accuracy"] = run["train_accuracy"] = [run["test_accuracy"][0][:1]]
            run["omega_correlation"] = {"dense1.W": [[1.0]], "dense2.W": [[1.0]]}
    for one in PROTOCOLS[experiment].claims:
        for found in one.verdicts(shown):
            assert isinstance(found, Verdict)
            if curve not in (FREE, SI):
                assert (found.answer, found.n) == ("not run", 0)


@pytest.mark.parametrize("experiment", TASKS)
def test_a_single_task_has_no_verdict_and_two_tasks_have_some(experiment):
    curves = {FREE: {}, SI: {}, EWC: {}, SCRATCH: {}, JOINT: {}, DROPOUT: {}}
    for n in (1, 2):
        shown = result(experiment, curves, n=n)
        answers = {one.paper: {v.answer for v in one.verdicts(shown)}
                   for one in PROTOCOLS[experiment].claims}  # fmt: skip
        if n == 1:
            assert set().union(*answers.values()) == {"not run"}
    unknown = [paper for paper, found in answers.items() if found == {"not run"}]
    lines = {  # through the tasks after the first; and, the last pair minus the first
        "split-mnist": [], "permuted-mnist": ["without consolidation, the importances"],
        "split-cifar": ["without consolidation accuracy declines", "with consolidation, accuracy"],
    }[experiment]  # fmt: skip
    assert len(unknown) == len(lines)
    assert all(paper.startswith(start) for paper, start in zip(unknown, lines, strict=True))


@pytest.mark.parametrize("words", ["first-layer", "become more", "prevents strong"])
@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_a_correlation_that_is_not_a_number_is_undecided(words, seeds):
    shown = result(PERMUTED, {FREE: {}, SI: {}}, seeds=seeds)
    for run in shown.runs:
        if run["seed"] == 0:
            for layer in LAYERS:
                run["omega_correlation"][layer][-1, :] = np.nan
                run["omega_correlation"][layer][:, -1] = np.nan
    found = claim(PERMUTED, words).verdicts(shown)
    assert {one.answer for one in found} == {"undecided"}
    for one in found:
        assert "not a number" in one.here and "nan" not in one.here and "inf" not in one.here


def test_runs_without_correlations_have_no_verdict_about_them():
    shown = result(PERMUTED, {FREE: {}, SI: {}})
    shown.runs[0]["omega_correlation"] = None  # as from a cluster's worker
    found = claim(PERMUTED, "first-layer").verdicts(shown)
    assert [one.n for one in found] == [2, 3]
    for run in shown.runs:
        run["omega_correlation"] = None
    (found,) = claim(PERMUTED, "first-layer").verdicts(shown)
    assert found.answer == "not run"


def test_a_claim_of_ones_own():
    own = Claim("it is good", "above 0.9", lambda shown: [
        decide(measured("mean", shown.select(*SI).mean(axis=(1, 2)), 0.9))
    ])  # fmt: skip
    (found,) = own.verdicts(result(SPLIT, {SI: {}}))
    assert found.answer == "no" and found.here.startswith("mean 0.79")


def test_all_published_results_can_be_judged():
    judged = 0
    for path in sorted(PUBLISHED.glob("*.json")):
        try:
            shown = Result.load(path)
        except DataError:  # a benchmark, or the oldest format
            continue
        if type(shown) is Result:
            for one in shown.protocol.claims:
                for found in one.verdicts(shown):
                    judged += found.answer in ("yes", "partly", "no", "undecided")
                    assert found.answer in ("undecided", "not run") or found.n > 1
    assert judged > 50
