"""Elastic weight consolidation: two rows that equal one penalty per task."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pysi
import strict_array
from pysi.backend import to_host
from pysi.rules.fisher import diagonal_fisher, empirical_fisher
from pysi.storage.tables import SAVED
from strategies import seeds, toy_cnn, toy_dataset, toy_image_tasks, toy_net, toy_run, toy_tasks

fishers = st.sampled_from(["exact", "empirical"])
TASKS = toy_tasks()


def after_tasks(make, seed, c=0.5, n=3, **options):
    """Run a rule over tasks; return net, rule, and (F, θ*) of each task by the definition."""
    net, rule, memories = toy_net(seed), make(c, **options), []
    optimizer = pysi.Adam(0.02)
    original = rule.end_task

    def remember(net, task):
        x, labels = task.part("train")
        if rule.fisher == "exact":
            F = diagonal_fisher(net, x, task.active)
        else:
            F = empirical_fisher(net, x, labels, task.active)
        memories.append((F, net.synapses.theta.copy()))
        original(net, task)

    rule.end_task = remember
    toy_run(rule, net=net, tasks=TASKS[:n], optimizer=optimizer, epochs=1)
    return net, rule, memories


@settings(max_examples=15)
@given(seeds, fishers)
def test_two_rows_equal_the_sum_over_tasks(seed, fisher):
    net, rule, memories = after_tasks(pysi.EWC, seed, fisher=fisher)
    s, rng = net.synapses, np.random.default_rng(seed)
    s.theta[...] += rng.standard_normal(len(s))
    s.grad[...] = rng.standard_normal(len(s))
    expected = sum(0.5 * (F * (s.theta - best) ** 2).sum() for F, best in memories)
    # float64 rounding of a few hundred terms
    assert np.isclose(rule.penalty(), expected, rtol=1e-10)
    pull = sum(2 * 0.5 * F * (s.theta - best) for F, best in memories)
    total = s.zeros()
    with s.update() as rows:
        rows.part(total)[...] = rule.total_gradient(rows)
    assert np.allclose(total - s.grad, pull, rtol=1e-9, atol=1e-12)
    assert np.allclose(s.Omega, sum(F for F, _ in memories))


@settings(max_examples=15)
@given(seeds, st.sampled_from([0.0, 0.6, 1.0]))
def test_the_online_variant_has_one_running_penalty(seed, gamma):
    net, rule, memories = after_tasks(pysi.OnlineEWC, seed, gamma=gamma)
    s = net.synapses
    Omega = 0
    for F, _ in memories:
        Omega = gamma * Omega + F
    assert np.allclose(s.Omega, Omega)
    assert np.array_equal(s.theta_ref, memories[-1][1])
    assert rule.penalty() == 0
    s.theta[...] += 0.1
    assert np.isclose(rule.penalty(), 0.5 * (Omega * 0.1**2).sum())


@pytest.mark.parametrize("make", [pysi.EWC, pysi.OnlineEWC])
def test_it_may_take_over_after_task_1_of_a_rule_that_watched(make):
    """EWC starts from the table that Synaptic Intelligence has at the end of task 1."""
    watched = toy_net(1)
    watcher = pysi.SynapticIntelligence(0.0)
    watcher.end_task = lambda net, task: None
    toy_run(watcher, net=watched, tasks=TASKS[:1])
    assert (watched.synapses.omega != 0).any()
    rule = make(0.5)
    rule.start(toy_net(1).synapses)
    assert np.array_equal(rule.synapses.theta_ref, watched.synapses.theta_ref)
    rule.synapses.table[...] = watched.synapses.table
    rule.end_task(watched, TASKS[0])
    own, _ = toy_run(make(0.5), 1, TASKS[:1])
    for row in SAVED:
        assert np.array_equal(getattr(rule.synapses, row), getattr(own.synapses, row)), row
    assert (own.synapses.omega == 0).all()


def test_both_variants_agree_on_two_tasks_only():
    """One task to remember: the same penalty. Two: the mean of two optima is not the last one."""
    theta = {}
    for make in (pysi.EWC, pysi.OnlineEWC):
        for n in (2, 3):
            theta[make, n] = after_tasks(make, 0, c=5.0, n=n)[0].synapses.theta
    assert np.allclose(theta[pysi.EWC, 2], theta[pysi.OnlineEWC, 2], rtol=1e-9)
    assert not np.allclose(theta[pysi.EWC, 3], theta[pysi.OnlineEWC, 3], rtol=1e-3)


@given(seeds)
def test_c_zero_is_bit_identical_to_no_rule(seed):
    a, b = (toy_run(rule, seed)[0] for rule in (pysi.EWC(0.0), pysi.FineTuning()))
    assert np.array_equal(a.synapses.theta, b.synapses.theta)


def test_a_table_of_networks_equals_separate_runs():
    many, history = toy_run(pysi.EWC([0.0, 5.0]), [3, 4])
    for r, (seed, c) in enumerate([(3, 0.0), (4, 5.0)]):
        one, alone = toy_run(pysi.EWC(c), seed)
        assert np.allclose(many.synapses.table[:, r], one.synapses.table, rtol=1e-7, atol=1e-10)
        assert np.allclose(history.test_accuracy[r], alone.test_accuracy)
        assert np.isclose(history.epochs[-1]["penalty"][r], alone.epochs[-1]["penalty"])


@pytest.mark.parametrize("make", [pysi.EWC, pysi.OnlineEWC])
def test_a_device_gives_numpy_s_numbers(make):
    tables = [
        toy_run(make(5.0), net=toy_net([1, 2], xp=xp))[0].synapses.table
        for xp in (np, strict_array)
    ]
    assert np.array_equal(tables[0], to_host(tables[1]))


@pytest.mark.slow
def test_it_keeps_what_fine_tuning_loses(mnist_5k):
    n = 4
    net = pysi.MLP((784, 64, 10), zero_readout=True, seed=[*range(n), *range(n)])
    rule = pysi.EWC([0.0] * n + [100.0] * n)
    tasks = pysi.split_tasks(mnist_5k)
    history = pysi.train(net, pysi.Adam(), rule, tasks, epochs=12, batch_size=16)
    forgot = pysi.forgetting(history.test_accuracy)
    assert forgot[:n].mean() > 3 * forgot[n:].mean()


@pytest.mark.parametrize(
    "make",
    [
        lambda: pysi.EWC(-1),
        lambda: pysi.EWC(1, fisher="guessed"),
        lambda: pysi.OnlineEWC(1, gamma=1.5),
        lambda: pysi.OnlineEWC(1, gamma="1"),
        lambda: pysi.OnlineEWC(1, gamma=float("nan")),
    ],
)
def test_bad_arguments_are_config_errors(make):
    with pytest.raises(pysi.ConfigError):
        make()


def test_it_asks_for_the_data_that_it_needs():
    rule = pysi.EWC(1.0)
    rule.start(toy_net().synapses)
    with pytest.raises(pysi.ConfigError, match="network and the task"):
        rule.end_task()


@given(seeds, st.integers(1, 5))
def test_permuted_tasks_show_the_same_pixels_in_another_order(seed, n):
    dataset = toy_dataset()
    tasks = pysi.permuted_tasks(dataset, n, seed=seed)
    again = pysi.permuted_tasks(dataset, n + 1, seed=seed)
    assert len(tasks) == n
    assert tasks[0].part("train")[0] is dataset.x_train
    for name in ("train", "test"):
        for i, task in enumerate(tasks):
            x, y = task.part(name)
            original = getattr(dataset, f"x_{name}")
            order = np.arange(12) if task.pixels is None else task.pixels
            assert np.array_equal(np.sort(order), np.arange(12))
            assert np.array_equal(x, original[:, order])
            assert np.array_equal(y, getattr(dataset, f"y_{name}"))
            assert np.array_equal(x, again[i].part(name)[0])  # earlier tasks stay the same
            assert x.flags.c_contiguous  # so that a minibatch is gathered row by row
    assert all(task.active.all() and task.chance == 1 / 6 for task in tasks)
    assert len({None if t.pixels is None else tuple(t.pixels) for t in again}) == n + 1


def test_permuted_tasks_are_learned_on_any_device():
    for xp in (np, strict_array):
        tasks = pysi.permuted_tasks(toy_dataset(), 2)
        _, history = toy_run(pysi.SynapticIntelligence(0.1), net=toy_net(xp=xp), tasks=tasks)
        assert history.test_accuracy[1, 1] > history.test_accuracy[0, 1] + 0.2
    with pytest.raises(pysi.ConfigError, match="tasks"):
        pysi.permuted_tasks(toy_dataset(), 0)


@pytest.mark.parametrize("make", [pysi.EWC, pysi.OnlineEWC])
def test_it_works_on_convolutions(make):
    tasks, moved, options = toy_image_tasks(2, n=20), [], {"epochs": 12}
    one, _ = toy_run(make(0.0), net=toy_cnn(1, hidden=20), tasks=tasks[:1], **options)
    s = one.synapses
    assert (s.Omega[s.group("conv1.W").columns] > 0).mean() > 0.9
    for c in (0.0, 1e4):
        net, history = toy_run(make(c), net=toy_cnn(1, hidden=20), tasks=tasks, **options)
        moved.append((s.Omega * (net.synapses.theta - s.theta) ** 2).sum())
        assert (np.diagonal(history.test_accuracy) > 0.8).all()
    assert moved[1] < 0.2 * moved[0]  # because some synapses matter for task 1
