"""The ledger of ω: its identity, its terms beside predictions, what it refuses, and its page."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from pysi.layers import Dense, Dropout
from pysi.network import Network
from pysi.rules.rule import Rule
from pysi.theory import batches
from pysi.theory.ledger import evaluate, keep, own_rate
from strategies import seeds

DOCS = Path(__file__).parent.parent / "docs"
OPTIMIZERS = {
    "sgd": lambda: pysi.SGD(0.1),
    "momentum": lambda: pysi.Momentum(0.05),
    "adagrad": lambda: pysi.Adagrad(0.05),
    "adam": lambda: pysi.Adam(0.02),
}


def problem(seed=0, replicas=0, n=24, dtype=np.float64):
    """Return a smooth network, or several, and a task of random examples."""
    rng = np.random.default_rng(seed)
    net = pysi.MLP((3, 4, 3), activation="tanh", seed=replicas, dtype=dtype)
    x, y = rng.standard_normal((n, 3)), rng.integers(0, 3, n)
    return net, pysi.Task("random", x, y, x, y, np.ones(3, bool))


def whole_gradient(net, task):
    loss, dlogits = task.loss(net.forward(task.x_train), task.y_train, task.active)
    net.backward(dlogits)
    return loss, net.synapses.grad.copy()


@given(seeds, st.sampled_from(sorted(OPTIMIZERS)), st.integers(1, 24), st.integers(1, 9))
def test_the_ledger_adds_up_at_every_step_and_synapse(seed, name, batch_size, steps):
    net, task = problem(seed)
    before, _ = whole_gradient(net, task)
    books = keep(
        net, OPTIMIZERS[name](), pysi.SynapticIntelligence(0.0), task,
        steps=steps, batch_size=batch_size,
    )  # fmt: skip
    for account in (books.steps, books.synapses):
        total = account.drop + account.discretisation + account.noise + account.memory
        assert np.allclose(account.omega, total, rtol=1e-12, atol=1e-14)
        assert np.allclose(account.own + account.carried, account.omega, rtol=0, atol=1e-14)
    # what the table has learned, and the losses at both ends, know nothing of the ledger
    assert np.allclose(net.synapses.omega, books.synapses.omega, rtol=1e-10, atol=1e-14)
    after, _ = whole_gradient(net, task)
    assert np.isclose(books.steps.drop.sum(), before - after, rtol=1e-11, atol=1e-14)
    assert books.steps.omega.shape == (steps,)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_term_is_what_a_loop_over_the_steps_finds(name):
    """An oracle: the same run by hand, with Δ_carried from the moments themselves."""
    net, task = problem(1)
    books = keep(net, OPTIMIZERS[name](), pysi.FineTuning(), task, steps=7, batch_size=5)
    net, task = problem(1)
    s, optimizer, rule = net.synapses, OPTIMIZERS[name](), pysi.FineTuning()
    run = pysi.training.Run(net, optimizer, rule, [task], epochs=2, batch_size=5)
    noise, memory, found = 0, 0, []
    moment = s.zeros()
    loss, G = whole_gradient(net, task)
    theta = s.theta.copy()
    for event in run.learn():
        if not isinstance(event, pysi.history.Step):
            continue
        delta, g = s.theta - theta, s.grad.copy()
        if name == "momentum":
            carried, moment = -0.05 * 0.9 * moment, optimizer.u.copy()
        elif name == "adam":
            t = optimizer.t
            v = optimizer.V * 0.001 / (1 - 0.999**t)
            carried = -0.02 * 0.1 / (1 - 0.9**t) * 0.9 * moment / (np.sqrt(v) + 1e-8)
            moment = optimizer.M.copy()
        else:
            carried = 0 * g
        noise = noise - (g - G) * (delta - carried)
        memory = memory - (g - G) * carried
        theta, (new_loss, new_G) = s.theta.copy(), whole_gradient(net, task)
        found.append((loss - new_loss, -G @ delta - (loss - new_loss), (new_G - G) @ delta / 2))
        loss, G = new_loss, new_G
        if len(found) == 7:
            break
    assert np.allclose(books.synapses.noise, noise, rtol=1e-9, atol=1e-14)
    assert np.allclose(books.synapses.memory, memory, rtol=1e-9, atol=1e-14)
    drop, discretisation, expected = np.transpose(found)
    assert np.allclose(books.steps.drop, drop, rtol=1e-9, atol=1e-14)
    assert np.allclose(books.steps.discretisation, discretisation, rtol=1e-9, atol=1e-14)
    assert np.allclose(books.steps.expected_discretisation, expected, rtol=1e-9, atol=1e-14)
    assert (memory != 0).any() == (name in ("momentum", "adam"))


def test_keeping_a_ledger_changes_no_bit_of_the_run():
    net, task = problem(2, dtype=np.float32)
    keep(net, pysi.Adam(), pysi.FineTuning(), task, steps=10, batch_size=5)  # two epochs of five
    plain, _ = problem(2, dtype=np.float32)
    pysi.train(plain, pysi.Adam(), pysi.FineTuning(), [task], epochs=2, batch_size=5)
    assert (net.synapses.theta == plain.synapses.theta).all()
    assert net.synapses.theta.dtype == np.float32


def test_without_minibatches_there_is_neither_noise_nor_memory():
    net, task = problem(3)
    books = keep(net, pysi.Adam(0.01), pysi.FineTuning(), task, steps=6, batch_size=24)
    steps = books.steps
    assert np.allclose(steps.bias, 0, atol=1e-14)
    assert np.allclose(steps.expected_noise, 0)
    assert np.allclose(steps.expected_memory, 0)
    assert (steps.carried[1:] != 0).all()


def test_the_variance_is_that_of_single_examples():
    net, task = problem(4)
    single = []
    for n in range(24):
        logits = net.forward(task.x_train[n : n + 1])
        _, dlogits = task.loss(logits, task.y_train[n : n + 1], task.active)
        net.backward(dlogits)
        single.append(net.synapses.grad.copy())
    loss, G, variance = evaluate(net, task)
    assert np.allclose(G, np.mean(single, axis=0), rtol=1e-10, atol=1e-15)
    assert np.allclose(variance, np.var(single, axis=0), rtol=1e-9, atol=1e-15)
    assert np.isclose(loss, whole_gradient(net, task)[0])


def z(measured, predicted):
    """Return by how many standard errors the means of independent runs differ."""
    difference = measured - predicted
    return difference.mean() / (difference.std(ddof=1) / np.sqrt(len(difference)))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_noise_and_memory_are_as_predicted(name):
    """Means over 300 networks within five standard errors, and far from nothing and from double."""
    small = {"sgd": pysi.SGD, "momentum": pysi.Momentum}.get(name)
    net, task = problem(5, replicas=range(300))
    optimizer = small(1e-3) if small else OPTIMIZERS[name]()
    if not small:  # begin with sums of squares to which the present g² adds little
        optimizer = {"adam": pysi.Adam, "adagrad": pysi.Adagrad}[name](1e-4)
        start = optimizer.start

        def warm(synapses):
            start(synapses)
            if name == "adam":
                optimizer.V[...], optimizer.t = 30.0, 3000
            else:
                optimizer.G[...] = 30.0

        optimizer.start = warm
    sums = keep(net, optimizer, pysi.FineTuning(), task, steps=12, batch_size=4).steps.totals()
    assert abs(z(sums["noise"], sums["expected_noise"])) < 5
    assert z(sums["noise"], 0.8 * sums["expected_noise"]) > 5
    assert z(sums["noise"], 1.2 * sums["expected_noise"]) < -5
    if name in ("momentum", "adam"):
        assert abs(z(sums["memory"], sums["expected_memory"])) < 5
        assert z(sums["memory"], 0) < -5
    else:
        assert (sums["expected_memory"] == 0).all()
        assert np.allclose(sums["memory"], 0, atol=1e-12)


def test_the_bias_is_seen_without_evaluation():
    """For G that hardly changes: from ω_own and ω_carried alone, apart from what memory adds."""
    net, task = problem(6, replicas=range(300), n=600)
    optimizer = pysi.Momentum(1e-4)
    steps = keep(net, optimizer, pysi.FineTuning(), task, steps=60, batch_size=4).steps
    after = slice(40, None)  # the moment is filled: 0.9^40 is 0.015
    estimate = steps.bias_without_evaluation(own_rate(optimizer)[1])[:, after].sum(axis=-1)
    bias = steps.bias[:, after].sum(axis=-1)
    assert abs(z(estimate, bias)) < 5
    assert z(estimate, 0.5 * bias) > 5


def test_networks_side_by_side_are_networks_on_their_own():
    net, task = problem(7, replicas=range(3))
    both = keep(net, pysi.Adam(0.01), pysi.FineTuning(), task, steps=5, batch_size=7)
    for r in range(3):
        net, _ = problem(7, replicas=r)
        alone = keep(net, pysi.Adam(0.01), pysi.FineTuning(), task, steps=5, batch_size=7)
        for part in ("steps", "synapses"):
            a, b = getattr(both, part), getattr(alone, part)
            for name in ("omega", "own", "drop", "expected_noise", "expected_memory"):
                assert np.allclose(getattr(a, name)[r], getattr(b, name), rtol=1e-8, atol=1e-13)


class Half(Rule):
    def modulate(self, delta, rows):
        return delta / 2


class Mixed(Rule):
    separate = False


class Lion(pysi.optim.Optimizer):
    pass


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": Lion(0.1)}, "^optimizer: expected .*Adam"),
        ({"rule": Half()}, "^rule: expected"),
        ({"rule": Mixed()}, "^rule: expected"),
        ({"net": Network([Dropout(0.5), Dense(3, 3)])}, "^layers: expected no Dropout"),
        ({"steps": 0}, "^steps"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_what_cannot_be_accounted_is_refused_before_any_work(change, message):
    net, task = problem()
    theta = net.synapses.theta.copy()
    arguments = {"net": net, "optimizer": pysi.SGD(0.1), "rule": pysi.FineTuning()}
    with pytest.raises(pysi.ConfigError, match=message):
        keep(**{**arguments, "task": task, "steps": 3, "batch_size": 5, **change})
    assert (net.synapses.theta == theta).all()


RESULT = json.loads((DOCS / "results" / "omega-fisher.json").read_text(encoding="utf-8"))


def ledger_lines():
    """Yield the lines of the page's first table: means over the seeds."""
    for cell in RESULT["ledgers"]:
        mean = {name: np.mean(values) for name, values in cell["totals"].items()}
        terms = " | ".join(
            f"{mean[name]:.3f} ({mean[f'expected_{name}']:.3f})"
            for name in ("discretisation", "noise", "memory")
        )
        if cell["optimizer"] == "SGD":
            terms = terms.rpartition(" | ")[0] + " | 0"
        yield (
            f"| {cell['task']}, {cell['optimizer']}, {cell['batch_size']} | {mean['omega']:.3f} "
            f"| {mean['drop']:.3f} | {terms} |"
        )


def run_lines():
    """Yield the lines of the second table: Pearson's correlation, means over the seeds."""
    chosen = {("SGD", 0.03): 0, ("Adam", 0.001): 1}  # with F itself, with its root
    for task in ("permuted", "split"):
        for (optimizer, lr), which in chosen.items():
            rows = ["omega", "own", "Omega"] if which else ["omega", "Omega"]
            for row in rows:
                values = [
                    np.mean(cell["likeness"]["all"][row]["empirical"], axis=0)[which]
                    for cell in RESULT["runs"]
                    if (cell["task"], cell["optimizer"], cell["lr"]) == (task, optimizer, lr)
                ]
                shown = " | ".join(f"{value:.2f}" for value in values)
                name = {"omega": "ω", "own": "ω_own", "Omega": "Ω"}[row]
                root = "√F" if which else "F"
                yield f"| {task}, {optimizer}, {name} with {root} | {shown} |"


def split_lines():
    """Yield the lines of the third table: √F with the terms of Adam's ledger."""
    for cell in RESULT["ledgers"]:
        if cell["optimizer"] == "Adam":
            like = cell["likeness"]
            values = [
                np.mean(like[name]["empirical"], axis=0)[1]
                for name in ("omega", "own", "carried", "full", "bias")
            ]
            shown = " | ".join(f"{value:.2f}" for value in values)
            yield f"| {cell['task']}, {cell['batch_size']} | {shown} |"


def test_the_page_has_the_numbers_of_the_file():
    page = (DOCS / "derivations" / "ledger.md").read_text(encoding="utf-8").splitlines()
    expected = [*ledger_lines(), *run_lines(), *split_lines()]
    assert [line for line in page if re.match(r"\| (permuted|split), ", line)] == expected


def test_a_small_plan_gives_every_cell_and_a_line_for_it(mnist_5k):
    plan = batches.Plan(
        hidden=(4,), seeds=2, examples=64, steps=3, batch_sizes=(16, 64),
        rates=(("SGD", 0.1), ("Adam", 1e-3)), ledger_steps=2, ledger_batch_sizes=(16,),
    )  # fmt: skip
    found = list(batches.cells(plan, batches.first_tasks(mnist_5k, plan.examples)))
    assert [part for part, _ in found] == ["runs"] * 8 + ["ledgers"] * 6
    for part, cell in found:
        assert str(cell["batch_size"]) in batches.line(part, cell)
    runs = [cell for part, cell in found if part == "runs"]
    for cell in runs:
        assert set(cell["likeness"]) == {"all", "dense1", "dense2"}
        if cell["optimizer"] == "SGD":  # all of ω is the step's own: η Σ g²
            assert np.allclose(cell["own_share"], 1, atol=1e-3)
            path = np.array(cell["likeness"]["all"]["omega"]["path"])
            assert np.allclose(path[:, [0, 2]], 1, atol=1e-3)
    json.dumps(found)


def test_the_program_writes_its_file(tmp_path, monkeypatch, capsys):
    plan = batches.Plan(
        hidden=(3,), seeds=1, examples=32, steps=1, batch_sizes=(16,), rates=(("SGD", 0.1),),
        ledger_steps=1, ledger_batch_sizes=(16,), ledger_rates=(("SGD", 0.1),),
    )  # fmt: skip
    monkeypatch.setattr(batches, "Plan", lambda: plan)
    monkeypatch.setattr(batches, "load_dataset", lambda *args: pysi.load_dataset("mnist-5k"))
    batches.main(["--out", str(tmp_path / "found.json")])
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["dataset"] == "mnist-5k"
    assert (len(found["runs"]), len(found["ledgers"])) == (2, 2)
    assert capsys.readouterr().out.count("permuted") == 2
    with pytest.raises(pysi.DataError, match="expected a writable place"):
        batches.main(["--out", str(tmp_path / "no" / "folder.json")])
