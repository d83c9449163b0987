"""Less-forgetting learning: frozen boundaries, features that stay, an oracle, known mistakes."""

from copy import deepcopy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
import strict_array
from pysi.backend import to_host
from pysi.rules.functional import readout
from pysi.rules.lfl import LFL, REDUCTIONS
from pysi.rules.rule import FineTuning
from pysi.scenarios import in_scenario
from pysi.training import shuffled, training_step
from strategies import seeds, toy_cnn, toy_image_tasks, toy_net, toy_run, toy_tasks
from test_lwf import check_resumed

SPLIT = toy_tasks(n=12)
TASKS = in_scenario(SPLIT, "domain")
LR = 0.2


def small(seed=0, **options):
    return toy_net(seed, sizes=(12, 9, 7, 2), **options)


def run(rule, net=None, tasks=TASKS, **options):
    options = {"epochs": 2, "batch_size": 7} | options
    return toy_run(rule, net=net or small(), tasks=tasks, optimizer=pysi.SGD(LR), **options)


def oracle(net, c, reduction):
    """Return θ after each step, by PyTorch's autograd; `net` gives the initial weights."""
    torch = pytest.importorskip("torch")
    groups = [net.synapses.group(name) for name in net.synapses.shapes]
    layers = [torch.tensor(group.theta.copy(), requires_grad=True) for group in groups]

    def features(weights, x):
        for i in range(0, len(weights) - 2, 2):
            x = torch.relu(x @ weights[i] + weights[i + 1])
        return x

    trace = []
    for number, task in enumerate(TASKS):
        x, y = torch.tensor(task.x_train / 255), torch.tensor(task.y_train)
        old = [w.detach().clone() for w in layers]
        for epoch in (1, 2):
            order = torch.tensor(shuffled(net, len(y), number, epoch))
            for start in range(0, len(y), 7):
                rows = order[start : start + 7]
                f = features(layers, x[rows])
                loss = torch.nn.functional.cross_entropy(f @ layers[-2] + layers[-1], y[rows])
                if number:
                    f_old = features(old, x[rows])
                    if reduction == "mean":
                        loss = loss + c * torch.nn.functional.mse_loss(f, f_old)
                    else:
                        loss = loss + c * 0.5 * ((f - f_old) ** 2).sum()
                gradients = torch.autograd.grad(loss, layers)
                learning = layers[:-2] if number else layers
                with torch.no_grad():
                    for w, g in zip(learning, gradients, strict=False):
                        w -= LR * g
                trace.append(np.concatenate([w.detach().numpy().ravel() for w in layers]))
    return np.array(trace)


def check_against_torch(kind, c=0.7, reduction="sum"):
    trace = []

    def note(event):
        if type(event).__name__ == "Step":
            trace.append(event.run.net.synapses.theta.copy())

    expected = oracle(small(), c, reduction)
    run(kind(c, reduction=reduction), listeners=[note])
    # 1e-16 of rounding, which a hundred steps amplify
    assert np.allclose(trace, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_every_step_is_that_of_pytorch(reduction):
    check_against_torch(LFL, reduction=reduction)


class NotFrozen(LFL):
    """Lets the readout learn."""

    def modulate(self, delta, rows):
        return delta


class MeanOverExamples(LFL):
    """Divides the sum by the number of examples."""

    def output_gradient(self, net, x, logits):
        pull = super().output_gradient(net, x, logits)
        return pull and (None, pull[1] / len(x))


class FirstNetwork(LFL):
    """Compares with the network after the first task for ever."""

    first = None

    def start_task(self, net, task):
        super().start_task(net, task)
        self.first = self.old = self.first or self.old


class WithoutHalf(LFL):
    """Forgets that the sum is halved."""

    def output_gradient(self, net, x, logits):
        pull = super().output_gradient(net, x, logits)
        return pull and (None, 2 * pull[1])


class AtTheLogits(LFL):
    """Compares outputs, and not features."""

    def output_gradient(self, net, x, logits):
        if self.old is None:
            return None
        return self.c * (logits - self.old.forward(x)), None


MISTAKES = [NotFrozen, MeanOverExamples, FirstNetwork, WithoutHalf, AtTheLogits]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.__name__)
def test_known_mistakes_fail_the_oracle(mistake):
    with pytest.raises(AssertionError):
        check_against_torch(mistake)


@pytest.mark.parametrize("seed", [0, [0, 1]])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_from_the_second_task_on_the_readout_is_bit_identical(seed, dtype):
    net, rule, optimizer = small(seed, dtype=dtype), LFL(1e-3), pysi.Adam(0.01)
    s, first = net.synapses, readout(net.synapses)[0].columns.start
    assert [group.name for group in readout(s)] == ["dense3.W", "dense3.b"]
    before = s.theta.copy()
    toy_run(rule, net=net, tasks=TASKS[:1], optimizer=optimizer)
    assert (s.theta[..., first:] != before[..., first:]).any(axis=-1).all()
    before = s.theta.copy()
    toy_run(rule, net=net, tasks=TASKS[1:], optimizer=optimizer, reset_optimizer=False)
    assert np.array_equal(s.theta[..., first:], before[..., first:])
    assert (s.theta[..., :first] != before[..., :first]).any()
    assert s.table.dtype == dtype


@pytest.mark.smoke
def test_a_large_strength_keeps_features():
    moved, x = {}, TASKS[1].x_train
    for c in (0.0, 1.0):
        net, rule = small(), LFL(c)
        run(rule, net, TASKS[:1])
        net.forward(x)
        before = net.features.copy()
        toy_run(rule, net=net, tasks=TASKS[1:2], epochs=10)
        net.forward(x)
        moved[c] = abs(net.features - before).mean()
    assert moved[1.0] < 0.3 * moved[0.0]


@given(seeds, st.integers(1, 9), st.floats(0.1, 3))
def test_sum_and_mean_differ_by_half_the_examples_times_the_units(seed, batch, c):
    net, found = small(seed), []
    x = TASKS[1].x_train[:batch]
    for rule in (LFL(c), LFL(c * batch * 7 / 2, reduction="mean")):
        rule.start(net.synapses)
        rule.end_task(net, TASKS[0])
        rule.start_task(net, TASKS[1])
        rule.old.synapses.theta[...] *= 0.9
        _, dfeatures = rule.output_gradient(net, x, net.forward(x, train=True))
        found.append((dfeatures, rule.penalty()))
    assert np.allclose(found[0][0], found[1][0], rtol=1e-12)
    assert np.isclose(found[0][1], found[1][1], rtol=1e-12)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("seed", [0, [0, 1]])
def test_the_gradient_is_that_of_the_penalty(seed, reduction):
    """Central differences of the rule's own value, over θ."""
    net, rule = small(seed), LFL(0.8, reduction=reduction)
    run(rule, net, TASKS[:1])
    s, x = net.synapses, TASKS[1].x_train[:6]
    rule.start_task(net, TASKS[1])
    rng = np.random.default_rng(0)
    s.theta[...] += 0.1 * rng.standard_normal(s.theta.shape)
    v, h, theta, values = rng.standard_normal(s.theta.shape), 1e-6, s.theta.copy(), []
    for step in (h, -h):
        s.theta[...] = theta + step * v
        rule.output_gradient(net, x, net.forward(x, train=True))
        values.append(rule.penalty())
    s.theta[...] = theta
    logits = net.forward(x, train=True)
    net.backward(0 * logits, rule.output_gradient(net, x, logits)[1])
    slope = (values[0] - values[1]) / (2 * h)
    assert slope.shape == s.lead
    assert np.allclose(slope, (s.grad * v).sum(axis=-1), rtol=1e-6)


def test_c_zero_is_fine_tuning_with_a_frozen_readout():
    class Frozen(FineTuning):
        ended = 0

        def start(self, synapses):
            super().start(synapses)
            self.mask = synapses.zeros() + 1
            self.mask[..., readout(synapses)[0].columns.start :] = 0

        def modulate(self, delta, rows):
            return delta * rows.part(self.mask) if self.ended else delta

        def end_task(self, net=None, task=None):
            self.ended += 1

    assert np.array_equal(run(LFL(0.0))[0].synapses.theta, run(Frozen())[0].synapses.theta)


def test_the_first_task_is_learned_as_without_it():
    with_rule, without = (run(rule, tasks=TASKS[:1])[0] for rule in (LFL(5.0), FineTuning()))
    assert np.array_equal(with_rule.synapses.theta, without.synapses.theta)


def test_c_per_network_and_several_networks_equal_separate_runs():
    cs = (0.0, 0.1, 0.5)
    side_by_side, _ = run(LFL(cs), small([0, 1, 2]))
    own = [run(LFL(c), small(seed))[0].synapses.theta for seed, c in enumerate(cs)]
    assert np.allclose(side_by_side.synapses.theta, own, rtol=1e-10, atol=1e-12)


def test_it_works_on_images_with_dropout():
    net = toy_cnn(dropout=(0.2, 0.5))
    tasks = [task for task in toy_image_tasks(n=5, n_tasks=1) for _ in range(2)]
    toy_run(LFL(0.1), net=net, tasks=tasks)
    assert np.isfinite(net.synapses.theta).all()


def test_task_by_task_equals_one_call_and_copies_go_on():
    whole, _ = run(LFL(0.5))
    net, rule, optimizer = small(), LFL(0.5), pysi.SGD(LR)
    for task in TASKS:
        net, rule, optimizer = deepcopy((net, rule, optimizer))
        toy_run(rule, net=net, tasks=[task], optimizer=optimizer, batch_size=7)
    assert np.array_equal(net.synapses.theta, whole.synapses.theta)


@pytest.mark.parametrize("seed", [1, [1, 2]])
@pytest.mark.parametrize("xp", [np, strict_array], ids=["host", "device"])
def test_a_run_goes_on_in_the_middle_of_a_task(seed, xp, tmp_path):
    check_resumed(lambda: LFL(0.5), tmp_path, seed=seed, xp=xp, net=small, tasks=TASKS)


def test_comparing_with_the_network_that_it_finds_fails_when_a_run_goes_on(tmp_path):
    class Present(LFL):
        def start_task(self, net, task):
            super().start_task(net, task)
            if self.old:
                self.old.synapses.theta[...] = net.synapses.theta

    with pytest.raises(AssertionError):
        check_resumed(lambda: Present(0.5), tmp_path, net=small, tasks=TASKS)


@pytest.mark.parametrize("seed", [2, [2, 5]])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_device_gives_the_same_numbers_and_does_not_wait_in_a_step(seed, reduction):
    thetas = []
    for xp in (np, strict_array):
        net, rule = small(seed, xp=xp), LFL(0.5, reduction=reduction)
        run(rule, net)
        thetas.append(to_host(net.synapses.theta))
    assert np.allclose(*thetas, rtol=1e-10, atol=1e-12)
    task, optimizer = TASKS[0].to(strict_array), pysi.SGD(LR)
    x, y = (
        strict_array.broadcast_to(a[:5], (*net.synapses.lead, *a[:5].shape))
        for a in (task.x_train, task.y_train)
    )
    optimizer.start(net.synapses)
    rule.start_task(net, task)
    training_step(net, optimizer, rule, x, y, task)
    before = strict_array.syncs, strict_array.transfers
    training_step(net, optimizer, rule, x, y, task)
    assert (strict_array.syncs, strict_array.transfers) == before


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LFL(-1.0), "c: expected a finite strength"),
        (lambda: LFL(np.nan), "c: expected a finite strength"),
        (lambda: LFL(1.0, reduction="none"), "reduction: expected one of"),
    ],
)
def test_bad_arguments_are_config_errors(make, message):
    with pytest.raises(pysi.ConfigError, match=message):
        make()


def test_what_does_not_fit_is_refused_before_any_work():
    net, wide = small(), toy_net()
    before = net.synapses.table.copy(), wide.synapses.table.copy()
    with pytest.raises(pysi.ConfigError, match="'2 or 3': lfl .* share one readout.*other classes"):
        run(LFL(1.0), wide, SPLIT)
    with pytest.raises(pysi.ConfigError, match="lfl expected .* one whose classes accumulate"):
        run(LFL(1.0), wide, in_scenario(SPLIT, "class")[:1])
    with pytest.raises(pysi.ConfigError, match="c: expected one value, or one per network"):
        run(LFL((1.0, 2.0)), net)
    assert np.array_equal(net.synapses.table, before[0])
    assert np.array_equal(wide.synapses.table, before[1])
    with pytest.raises(pysi.ConfigError, match="layers: lfl expected layers with weights before"):
        run(LFL(1.0), toy_net(sizes=(12, 2)))


def test_a_later_task_with_other_classes_is_refused_too():
    net, rule = toy_net(), LFL(1.0)
    run(rule, net, SPLIT[:1])
    with pytest.raises(pysi.ConfigError, match="'2 or 3': lfl .*other classes than before"):
        run(rule, net, SPLIT[1:2])
    net.initialise()  # a new beginning
    run(rule, net, SPLIT[1:2])


def test_end_task_says_what_it_needs():
    net, rule = small(), LFL(1.0)
    rule.start(net.synapses)
    with pytest.raises(pysi.ConfigError, match="end_task: lfl needs the task, found none"):
        rule.end_task()
