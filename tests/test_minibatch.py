"""SIU, SIB and SOS against plain loops, their law, and known mistakes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
import strict_array
from pysi.backend import stream, to_host
from pysi.rules.minibatch import SIB, SIU, SOS
from pysi.scenarios import in_scenario
from pysi.storage.checkpoint import Checkpoint
from pysi.training import training_step
from strategies import (
    Stopped,
    every_task,
    seeds,
    stops_after,
    toy_cnn,
    toy_image_tasks,
    toy_net,
    toy_run,
    toy_tasks,
)
from test_checkpoint import same

TASKS = toy_tasks()
RULES = {"siu": lambda c=1.0: SIU(c), "sib": lambda c=1.0: SIB(c), "sos": lambda c=1.0: SOS(c)}


def gradient(net, task, which):
    """Return the gradient of a task's loss on some of its examples, by a network of its own."""
    other = net.copy()
    x, y = task.x_train[which], task.y_train[which]
    _, dlogits = task.loss(other.forward(x), y, task.active)
    other.backward(dlogits)
    return other.synapses.grad.copy()


def check_against_loop(kind, optimizer, seed, sign, dtype=np.float64):
    """Compare ω and Ω of two tasks with a plain loop over steps; `sign` gives the parts of ω.

    ω ← ω - (sign[0] g_B + sign[1] g_B′) Δθ, and the step is that of Synaptic Intelligence.
    """
    net, rule = toy_net(seed, dtype=dtype), kind(0.7)
    s = net.synapses
    rule.check(net, TASKS)
    rule.start(s)
    Omega, start, tolerance = 0, s.theta.copy(), 1e-3 if dtype == np.float32 else 1e-9
    rng = np.random.default_rng(seed)
    for i, task in enumerate(TASKS[:2]):
        optimizer.start(s)
        omega = np.zeros(len(s))
        rule.start_task(net, task)
        for step in range(5):
            rule.examples = rng.permutation(80)[:8]
            second = stream(seed, "second", 5 * i + step).integers(80, size=8)
            g = gradient(net, task, rule.examples), gradient(net, task, second)
            theta = s.theta.copy()
            x, y = task.x_train[rule.examples], task.y_train[rule.examples]
            training_step(net, optimizer, rule, x, y, task)
            assert np.allclose(s.grad, g[0], rtol=tolerance, atol=tolerance)
            if isinstance(optimizer, pysi.SGD):
                total = g[0] + 2 * 0.7 * s.Omega * (theta - s.theta_ref)
                assert np.allclose(s.theta, theta - 0.3 * total, rtol=tolerance, atol=tolerance)
            omega = omega - (sign[0] * g[0] + sign[1] * g[1]) * (s.theta - theta)
            assert np.allclose(s.omega, omega, rtol=tolerance, atol=tolerance * abs(omega).max())
        rule.end_task(net, task)
        Omega = np.maximum(0, Omega + omega / ((s.theta - start) ** 2 + 1e-3))
        assert np.allclose(s.Omega, Omega, rtol=tolerance, atol=tolerance * Omega.max())
        start = s.theta.copy()
        net.learned += 1


@given(st.sampled_from(["sgd", "adam"]), seeds, st.sampled_from([SIU, SIB]))
def test_omega_equals_a_plain_loop(name, seed, kind):
    optimizer = pysi.SGD(0.3) if name == "sgd" else pysi.Adam(0.05)
    check_against_loop(kind, optimizer, seed, {SIU: (0, 1), SIB: (1, -1)}[kind])


def test_omega_equals_a_plain_loop_in_float32():
    check_against_loop(SIU, pysi.Adam(0.05), 0, (0, 1), np.float32)


class SameBatch(SIU):
    """The second minibatch is the first."""

    def draw(self, net, n):
        self.steps += 1
        return self.examples


class SameSecond(SIU):
    """The second minibatch is the same in every step."""

    def draw(self, net, n):
        self.steps = 0
        return super().draw(net, n)


class AddedToTheStep(SIU):
    """The optimizer follows the second gradient too."""

    def before_step(self, net):
        super().before_step(net)
        return self.second


class LastStep(SIB):
    """The gradients are multiplied with Δθ of the step before."""

    def start(self, synapses):
        super().start(synapses)
        self.last = synapses.zeros()

    def after_step(self, rows, delta):
        last = rows.part(self.last)
        super().after_step(rows, last)
        last[...] = delta


class WrongSign(SIB):
    """ω takes g_B′ - g_B."""

    def after_step(self, rows, delta):
        super().after_step(rows, -delta)


class OfTheStepBefore(SIU):
    """The second gradient is that at the weights before the last step."""

    def before_step(self, net):
        held = self.second.copy()
        super().before_step(net)
        self.second[...], self.coming = getattr(self, "coming", held), self.second.copy()


MISTAKES = [(SameBatch, (0, 1)), (SameSecond, (0, 1)), (AddedToTheStep, (0, 1)),
            (OfTheStepBefore, (0, 1)), (LastStep, (1, -1)), (WrongSign, (1, -1))]  # fmt: skip


@pytest.mark.parametrize(("mistake", "sign"), MISTAKES)
def test_known_mistakes_fail_the_loop(mistake, sign):
    with pytest.raises(AssertionError):
        check_against_loop(mistake, pysi.SGD(0.3), 0, sign)


def omega_of_task_1(rule, **options):
    """Return ω when task 1 is learned, and θ."""
    net, found = options.pop("net", None) or toy_net(0), []
    copy = every_task(lambda task: found.append(net.synapses.omega.copy()))
    toy_run(rule, net=net, tasks=TASKS[:1], listeners=[copy], **options)
    return found[0], net.synapses.theta.copy()


@pytest.mark.parametrize("seed", [0, [0, 1]])
@pytest.mark.parametrize("optimizer", [pysi.SGD(0.1), pysi.Adam(0.01)])
def test_si_is_siu_and_sib_together(seed, optimizer):
    """In task 1 the three rules only watch, so they see the same steps."""
    rules = pysi.SynapticIntelligence(1.0), SIU(1.0), SIB(1.0)
    omegas, thetas = zip(
        *(omega_of_task_1(r, net=toy_net(seed), optimizer=optimizer) for r in rules), strict=True
    )
    assert np.array_equal(thetas[0], thetas[1]) and np.array_equal(thetas[0], thetas[2])
    assert np.allclose(omegas[0], omegas[1] + omegas[2], rtol=1e-9, atol=1e-15)
    share = abs(omegas[2]).sum() / abs(omegas[0]).sum()
    assert share > 0.01  # there is a bias to be found


def test_a_second_pass_shifts_the_numbers_of_dropout():
    thetas = [
        omega_of_task_1(rule, net=toy_net(dropout=0.5))[1]
        for rule in (pysi.SynapticIntelligence(1.0), SIU(1.0), SIB(1.0))
    ]
    assert np.array_equal(thetas[1], thetas[2])
    assert not np.array_equal(thetas[0], thetas[1])


def check_law(kind, steps=600):
    """At fixed weights, the mean of g_B′ is the gradient of the whole task, whatever B is.

    In each random direction the mean over `steps` minibatches has a known deviation, that of one
    example's gradient divided by √(steps B).
    """
    net, rule, task, B = toy_net(4), kind(1.0), TASKS[0], 10
    rule.start(net.synapses)
    rule.start_task(net, task)
    rule.examples = np.arange(B)  # always the same B, all of one class
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((len(net.synapses), 20))
    each = np.array([gradient(net, task, [i]) for i in range(80)]) @ directions
    found = []
    for _ in range(steps):
        assert rule.before_step(net) is None
        found.append(rule.second @ directions)
    z = (np.mean(found, axis=0) - each.mean(axis=0)) / (each.std(axis=0) / np.sqrt(steps * B))
    assert abs(z).max() < 4.5
    spread = np.std(found, axis=0) / (each.std(axis=0) / np.sqrt(B))
    assert np.allclose(spread, 1, atol=4.5 / np.sqrt(2 * steps))


def test_the_second_minibatch_is_unbiased_and_independent():
    check_law(SIU)


@pytest.mark.parametrize("mistake", [SameBatch, SameSecond])
def test_other_minibatches_are_not(mistake):
    with pytest.raises(AssertionError):
        check_law(mistake)


# SOS


def check_sos(kind, beta=0.9):
    """Compare Ω of two tasks with a plain loop over steps."""
    s, rule = pysi.Synapses({"a": (7,)}, dtype=np.float64), kind(0.5, beta=beta)
    rng, Omega, optimizer = np.random.default_rng(0), np.zeros(7), pysi.SGD(0.1)
    rule.start(s)
    optimizer.start(s)
    for steps in (3, 11):
        v = np.zeros(7)
        for _ in range(steps):
            s.grad[...] = rng.standard_normal(7)
            v = beta * v + (1 - beta) * s.grad**2
            theta, pull = s.theta.copy(), 2 * 0.5 * Omega * (s.theta - s.theta_ref)
            pysi.training.update(s, optimizer, rule)
            assert np.allclose(s.theta, theta - 0.1 * (s.grad + pull), rtol=1e-12)
        rule.end_task()
        Omega = Omega + np.sqrt(v / (1 - beta**steps))
        assert np.allclose(s.Omega, Omega, rtol=1e-12)
        assert (s.omega == 0).all() and np.array_equal(s.theta_ref, s.theta)


def test_sos_equals_a_plain_loop():
    check_sos(SOS)
    check_sos(SOS, 0.0)


class NotCorrected(SOS):
    """v begins at 0, and is not corrected for it."""

    def end_task(self, net=None, task=None):
        self.t = 10**9
        super().end_task(net, task)


class NoRoot(SOS):
    """Ω adds ⟨g²⟩, as an empirical Fisher of minibatches would."""

    def end_task(self, net=None, task=None):
        self.synapses.omega[...] **= 2
        super().end_task(net, task)


class Divided(SOS):
    """Ω is divided by Δ² + ξ, as in Synaptic Intelligence."""

    def end_task(self, net=None, task=None):
        s = self.synapses
        s.omega[...] /= ((s.theta - s.theta_ref) ** 2 + 1e-3) ** 2
        super().end_task(net, task)


class Replaced(SOS):
    """Ω is set, not added to."""

    def end_task(self, net=None, task=None):
        self.synapses.Omega[...] = 0
        super().end_task(net, task)


class TotalGradient(SOS):
    """v takes the gradient with the penalty."""

    def total_gradient(self, rows):
        self.total = super().total_gradient(rows)
        return self.total

    def after_step(self, rows, delta):
        self.t += 1
        rows.omega[...] = rows.omega * self.beta + self.total * self.total * (1 - self.beta)


@pytest.mark.parametrize("mistake", [NotCorrected, NoRoot, Divided, Replaced, TotalGradient])
def test_known_mistakes_fail_the_loop_of_sos(mistake):
    with pytest.raises(AssertionError):
        check_sos(mistake)


@given(st.floats(-5, 5), st.integers(1, 50), st.floats(0, 0.9999))
def test_a_constant_gradient_is_found_after_any_number_of_steps(g, steps, beta):
    s, rule = pysi.Synapses({"a": (1,)}, dtype=np.float64), SOS(1.0, beta=beta)
    rule.start(s)
    optimizer = pysi.SGD(0.1)
    for _ in range(steps):
        s.grad[...] = g
        pysi.training.update(s, optimizer, rule)
    rule.end_task()
    assert np.isclose(s.Omega[0], abs(g), rtol=1e-9, atol=1e-12)


def test_sos_is_what_adam_divides_by():
    optimizer = pysi.Adam(0.01)
    net, _ = toy_run(SOS(1.0), tasks=TASKS[:1], optimizer=optimizer)
    v = optimizer.V * (1 - 0.999) / (1 - 0.999**optimizer.t)
    assert np.allclose(net.synapses.Omega, np.sqrt(v), rtol=1e-9)


def test_sos_without_a_step_adds_nothing():
    s, rule = pysi.Synapses({"a": (2,)}), SOS(1.0)
    rule.start(s)
    rule.end_task()
    assert (s.Omega == 0).all()


# Runs


@pytest.mark.parametrize("rule", RULES)
def test_networks_side_by_side_end_where_each_ends_alone(rule):
    c = (0.5, 2.0)
    net, history = toy_run(RULES[rule](c), net=toy_net([2, 7], dropout=0.2))
    for r, seed in enumerate((2, 7)):
        alone, own = toy_run(RULES[rule](c[r]), net=toy_net(seed, dropout=0.2))
        assert np.allclose(net.synapses.theta[r], alone.synapses.theta, rtol=1e-8, atol=1e-11)
        assert np.allclose(net.synapses.Omega[r], alone.synapses.Omega, rtol=1e-6, atol=1e-9)
        assert np.array_equal(history.test_accuracy[r], own.test_accuracy)


@pytest.mark.parametrize(("seed", "dtype"), [(1, np.float32), ([1, 2], np.float64)])
@pytest.mark.parametrize("rule", RULES)
def test_task_by_task_equals_one_call(rule, seed, dtype):
    whole, _ = toy_run(RULES[rule](), net=toy_net(seed, dtype=dtype))
    net, one, optimizer = toy_net(seed, dtype=dtype), RULES[rule](), pysi.Adam(0.01)
    for task in TASKS:
        toy_run(one, net=net, tasks=[task], optimizer=optimizer)
    assert net.synapses.Omega.dtype == dtype
    assert np.array_equal(net.synapses.theta, whole.synapses.theta)
    assert np.array_equal(net.synapses.Omega, whole.synapses.Omega)


@pytest.mark.parametrize(("rule", "xp"), [("siu", np), ("sib", strict_array), ("sos", np)])
def test_a_run_that_was_stopped_ends_with_the_same_bits(rule, xp, tmp_path):
    def run(folder, stop=None):
        return toy_run(
            RULES[rule](), net=toy_net([1, 2], xp=xp, dropout=0.2), tasks=TASKS,
            listeners=[Checkpoint(tmp_path / folder / "run.npz", {}), stops_after(stop)],
        )  # fmt: skip

    whole = run("a")
    for stop in (3, 2):
        with pytest.raises(Stopped):
            run("b", stop)
    same(whole, run("b"))


@pytest.mark.parametrize("rule", RULES)
def test_a_device_computes_what_numpy_computes(rule):
    tables = [
        toy_run(RULES[rule](), net=toy_net([1, 2], xp=xp), optimizer=pysi.SGD(0.1))[0].synapses
        for xp in (np, strict_array)
    ]
    for row in ("theta", "Omega"):
        one, two = (to_host(getattr(s, row)) for s in tables)
        assert np.allclose(one, two, rtol=1e-7, atol=1e-9 * abs(one).max())


@pytest.mark.parametrize("rule", RULES)
def test_images_and_all_classes_are_learned_too(rule):
    net, _ = toy_run(RULES[rule](), net=toy_cnn(dropout=(0.2, 0.5)), tasks=toy_image_tasks(n=9))
    assert (net.synapses.Omega > 0).any()
    _, history = toy_run(RULES[rule](), tasks=in_scenario(TASKS, "class"))
    assert history.test_accuracy.shape == (3, 3)


@pytest.mark.parametrize("rule", RULES)
def test_the_penalty_holds_weights(rule):
    """Synapses that are important after task 1 move less, by the measure of their importance."""
    options = {"optimizer": pysi.SGD(0.1), "batch_size": 8}
    first = toy_run(RULES[rule](0.0), tasks=TASKS[:1], **options)[0].synapses

    def moved(c):
        change = toy_run(RULES[rule](c), tasks=TASKS[:2], **options)[0].synapses.theta - first.theta
        return (first.Omega * change**2).sum()

    assert moved(2 / first.Omega.max()) < 0.7 * moved(0.0)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SIU(-1.0),
        lambda: SIB(1.0, xi=-1),
        lambda: SIU(1.0, clamp="never"),
        lambda: SOS(float("nan")),
        lambda: SOS(1.0, beta=1.0),
        lambda: SOS(1.0, beta=-0.1),
        lambda: SOS(1.0, beta="most"),
    ],
)
def test_bad_arguments_are_config_errors(make):
    with pytest.raises(pysi.ConfigError, match="expected"):
        make()


def test_a_step_without_a_task_is_refused():
    net, rule = toy_net(), SIU(1.0)
    rule.start(net.synapses)
    with pytest.raises(pysi.ConfigError, match="before_step: siu needs a task"):
        training_step(net, pysi.SGD(0.1), rule, TASKS[0].x_train, TASKS[0].y_train, TASKS[0])
