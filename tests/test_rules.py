"""The hooks of a rule: what each may change, and what no hook can change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pysi
from pysi.losses import softmax_cross_entropy
from pysi.rules.distillation import distillation
from pysi.rules.quadratic import QuadraticPenalty
from pysi.rules.rule import Rule
from pysi.training import training_step
from strategies import leads, seeds, toy_cnn, toy_image_tasks, toy_net, toy_run, toy_tasks

TASKS = toy_tasks()


def gradient(net, x, dlogits, dfeatures=None):
    """Return the gradient for θ, computed by a network of its own."""
    other = toy_net(dtype=net.synapses.dtype)
    other.synapses.theta[...] = net.synapses.theta
    other.forward(x, train=True)
    other.backward(dlogits, dfeatures)
    return other.synapses.grad.copy()


class Pulling(pysi.SynapticIntelligence):
    """SI that also pulls at the logits and at the features, by fixed amounts."""

    def output_gradient(self, net, x, logits):
        rng = np.random.default_rng(0)
        dlogits = rng.standard_normal(logits.shape).astype(logits.dtype)
        dfeatures = rng.standard_normal(net.features.shape).astype(logits.dtype)
        self.pulls = dlogits if self.where != "features" else None, (
            dfeatures if self.where != "logits" else None)  # fmt: skip
        return self.pulls


@pytest.mark.parametrize("where", ["logits", "features", "both"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_output_gradient_enters_the_step_but_never_grad_or_omega(where, dtype):
    net, rule, optimizer = toy_net(dtype=dtype), Pulling(0.7), pysi.SGD(0.1)
    s, task, rule.where = net.synapses, TASKS[0], where
    rule.start(s)
    optimizer.start(s)
    rng = np.random.default_rng(1)
    s.Omega[...], s.theta_ref[...] = rng.uniform(0, 1, (2, len(s)))
    rule.refresh()
    x, y = task.x_train[::5], task.y_train[::5]
    for _ in range(3):
        theta, omega = s.theta.copy(), s.omega.copy()
        loss, dlogits = task.loss(net.logits(x), y, task.active)
        g = gradient(net, x, dlogits)
        assert np.array_equal(training_step(net, optimizer, rule, x, y, task), loss)
        dextra, dfeatures = rule.pulls
        extra = gradient(net_at(theta, dtype), x, 0 * dlogits if dextra is None else dextra,
                         dfeatures)  # fmt: skip
        total = g + 2 * 0.7 * s.Omega * (theta - s.theta_ref) + extra
        assert np.array_equal(s.grad, g)  # the gradient of the task's loss alone
        tolerance = 1e-4 if dtype == np.float32 else 1e-12
        step = s.theta - theta
        assert np.allclose(step, -0.1 * total, rtol=tolerance, atol=tolerance)
        assert np.allclose(s.omega, omega - g * step, rtol=tolerance, atol=tolerance)
        assert abs(extra).max() > 0.1  # a difference would show


def net_at(theta, dtype):
    net = toy_net(dtype=dtype)
    net.synapses.theta[...] = theta
    return net


def test_without_a_pull_a_step_is_as_without_the_hook():
    class Silent(pysi.SynapticIntelligence):
        def output_gradient(self, net, x, logits):
            return np.zeros_like(logits), np.zeros_like(net.features)

    plain, _ = toy_run(pysi.SynapticIntelligence(1.0))
    silent, _ = toy_run(Silent(1.0))
    assert np.array_equal(plain.synapses.table, silent.synapses.table)


def test_it_works_on_the_features_of_a_cnn_with_dropout():
    class Shrinking(pysi.SynapticIntelligence):
        """The penalty ½ |features|², which makes features small."""

        def output_gradient(self, net, x, logits):
            self.sizes.append((net.features**2).mean())
            return None, self.strength * net.features / len(x)

    sizes = {}
    for strength in (0.0, 1.0):
        rule = Shrinking(0.1)
        rule.sizes, rule.strength = [], strength
        net = toy_cnn(dropout=(0.2, 0.5))
        toy_run(rule, net=net, tasks=toy_image_tasks(n=9), epochs=5)
        sizes[strength] = np.mean(rule.sizes[-5:])
    assert sizes[1.0] < 0.5 * sizes[0.0]


class Frozen(pysi.SynapticIntelligence):
    """Holds some groups still: Δθ = 0 there."""

    def start(self, synapses):
        super().start(synapses)
        self.mask = synapses.zeros() + 1
        for name in self.names:
            self.mask[..., synapses.group(name).columns] = 0

    def modulate(self, delta, rows):
        return delta * rows.part(self.mask)


@pytest.mark.parametrize("make", [lambda: pysi.Adam(0.01), lambda: pysi.Momentum(0.05)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", [0, [0, 1]])
def test_frozen_groups_stay_bit_identical(make, dtype, seed):
    rule, net = Frozen(1.0), toy_net(seed, dtype=dtype)
    rule.names = ["dense1.W", "dense2.b"]
    before = net.synapses.theta.copy()
    toy_run(rule, net=net, optimizer=make())
    for name, shape in net.synapses.shapes.items():
        columns = net.synapses.group(name).columns
        same = net.synapses.theta[..., columns] == before[..., columns]
        importance = net.synapses.Omega[..., columns]
        if name in rule.names:
            assert same.all()
            assert (importance == 0).all()  # g Δθ = 0: a frozen synapse adds nothing
        else:
            assert same.mean() < 0.5, (name, shape)
            assert (importance > 0).any()


def test_omega_is_of_the_step_that_was_made():
    class Doubled(pysi.SynapticIntelligence):
        def modulate(self, delta, rows):
            return 2 * delta

    net, rule, optimizer = toy_net(), Doubled(1.0), pysi.SGD(0.1)
    s, task = net.synapses, TASKS[0]
    rule.start(s)
    optimizer.start(s)
    theta = s.theta.copy()
    training_step(net, optimizer, rule, task.x_train, task.y_train, task)
    assert np.allclose(s.theta - theta, -0.2 * s.grad, rtol=1e-9, atol=1e-15)
    assert np.allclose(s.omega, 0.2 * s.grad**2, rtol=1e-9, atol=1e-18)
    # doubling the steps of SGD is the same as doubling the learning rate
    one, _ = toy_run(Doubled(1.0), optimizer=pysi.SGD(0.05))
    two, _ = toy_run(pysi.SynapticIntelligence(1.0), optimizer=pysi.SGD(0.1))
    assert np.allclose(one.synapses.table, two.synapses.table, rtol=1e-9, atol=1e-12)


class Counting(Rule):
    """Records the order in which hooks are called."""

    def __init__(self):
        self.calls = []


for _name in ("check", "start", "start_task", "output_gradient", "total_gradient", "modulate",
              "after_step", "end_task", "penalty"):  # fmt: skip

    def _hook(self, *args, name=_name, **options):
        self.calls.append(name)
        return getattr(Rule, name)(self, *args, **options)

    setattr(Counting, _name, _hook)


def test_hooks_are_called_in_the_order_that_is_written_down():
    rule = Counting()
    toy_run(rule, tasks=TASKS[:2], epochs=1, batch_size=40)
    step = ["output_gradient", "total_gradient", "modulate", "after_step"]
    task = ["start_task", *step, *step, "penalty", "end_task"]
    assert rule.calls == ["check", "start", *task, *task]


def test_check_is_called_before_any_work():
    class Refusing(Counting):
        def check(self, net, tasks):
            raise pysi.ConfigError("no")

    rule, net = Refusing(), toy_net()
    before = net.synapses.table.copy()
    with pytest.raises(pysi.ConfigError, match="no"):
        toy_run(rule, net=net)
    assert rule.calls == []
    assert rule.synapses is None
    assert np.array_equal(net.synapses.table, before)


class Constant(QuadraticPenalty):
    """Ω is 3 for every synapse. This class does not mention `refresh`."""

    def end_task(self, net=None, task=None):
        self.synapses.Omega[...] = 3
        self.synapses.theta_ref[...] = self.synapses.theta


class Inherits(Constant):
    """Overrides `end_task` again, and changes Ω after its parent has refreshed."""

    def end_task(self, net=None, task=None):
        super().end_task(net, task)
        self.synapses.Omega[...] = 5


class Silent(Inherits):
    """Inherits `end_task` as it is."""


@pytest.mark.parametrize(("kind", "worth"), [(Constant, 3), (Inherits, 5), (Silent, 5)])
@pytest.mark.parametrize("by", ["hand", "train"])
def test_what_end_task_sets_is_in_force(kind, worth, by):
    net, rule = toy_net(), kind(0.25)
    s = net.synapses
    if by == "train":
        toy_run(rule, net=net, tasks=TASKS[:1])
    else:
        rule.start(s)
        rule.end_task()
        rule.refresh()  # `train` does this
    s.theta[...] += 0.5
    assert np.isclose(rule.penalty(), 0.25 * worth * 0.25 * len(s))
    total, s.grad[...] = s.zeros(), 0
    with s.update() as rows:
        rows.part(total)[...] = rule.total_gradient(rows)
    assert np.allclose(total, 2 * 0.25 * worth * 0.5)


def test_a_new_end_task_of_one_object_is_in_force_too():
    """`train` refreshes after `end_task`, also if the object and not its class defines it."""
    net, rule = toy_net(), pysi.SynapticIntelligence(0.25)

    def end_task(net, task):
        rule.synapses.Omega[...] = 3

    rule.end_task = end_task
    toy_run(rule, net=net, tasks=TASKS[:1])
    rule.synapses.theta[...] = rule.synapses.theta_ref + 1
    assert np.isclose(rule.penalty(), 0.25 * 3 * len(net.synapses))


@pytest.mark.parametrize("value", [1e-3, 0.3, 2.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_of_numpy_give_the_bits_of_python_s(value, dtype):
    """A float64 scalar must not lift float32 arrays, in no argument of a rule or an optimizer."""
    pairs = [
        (lambda f: (pysi.SynapticIntelligence(f(value), xi=f(1e-3)), pysi.Adam(0.01))),
        (lambda f: (pysi.SynapticIntelligence(1.0, xi=f(value)), pysi.Adam(0.01))),
        (lambda f: (pysi.EWC(f(value)), pysi.Momentum(f(0.01), f(0.8)))),
        (lambda f: (pysi.OnlineEWC(f(value), gamma=f(0.3)), pysi.SGD(f(0.01)))),
        (lambda f: (pysi.FineTuning(), pysi.Adam(f(1e-3), (f(0.9), f(0.99)), f(1e-7)))),
        (lambda f: (pysi.FineTuning(), pysi.SGD(f(1e-1)))),
        (lambda f: (pysi.FineTuning(), pysi.Momentum(f(1e-1)))),
    ]
    for make in pairs:
        tables = []
        for f in (float, np.float64, np.array):
            rule, optimizer = make(f)
            net, _ = toy_run(rule, net=toy_net(dtype=dtype), tasks=TASKS[:2], optimizer=optimizer)
            assert net.synapses.table.dtype == dtype
            tables.append(net.synapses.table)
        assert np.array_equal(tables[0], tables[1])
        assert np.array_equal(tables[0], tables[2])


# Distillation


@given(seeds, leads, st.floats(0.3, 20), st.integers(1, 6), st.integers(1, 5))
def test_the_gradient_of_distillation_is_its_derivative(seed, lead, T, batch, classes):
    rng = np.random.default_rng(seed)
    z, old, v = 2 * rng.standard_normal((3, *lead, batch, classes))
    loss, dz = distillation(z, old, T)
    assert loss.shape == lead and dz.shape == z.shape
    h = 1e-5
    slope = (distillation(z + h * v, old, T)[0] - distillation(z - h * v, old, T)[0]) / (2 * h)
    assert np.allclose(slope, (dz * v).sum(axis=(-2, -1)), rtol=1e-5, atol=1e-8)
    assert np.allclose(dz.sum(axis=-1), 0, atol=1e-12)


@given(seeds, st.floats(0.5, 5))
def test_distillation_is_least_where_the_logits_are_the_old_ones(seed, T):
    rng = np.random.default_rng(seed)
    old, z = 2 * rng.standard_normal((2, 4, 3))
    loss, dz = distillation(old + 7, old, T)  # a shift does not change a softmax
    assert np.allclose(dz, 0, atol=1e-15)
    p = np.exp(old / T) / np.exp(old / T).sum(axis=-1, keepdims=True)
    assert np.isclose(loss, -(p * np.log(p)).sum() / 4, rtol=1e-12)  # the entropy
    assert distillation(z, old, T)[0] >= loss - 1e-12


@given(seeds, st.integers(2, 6), st.integers(1, 7))
def test_for_a_large_temperature_it_compares_logits(seed, K, N):
    r"""σ(z/T)_k = 1/K + (z_k - z̄) / (K T) + O(1/T²), so the gradient tends to
    ((z_k - z̄) - (v_k - v̄)) / (K T² N), with the means over the K classes.

    The second order of σ is at most (max |z - z̄|)² / (K T²) times a small number.
    """
    rng = np.random.default_rng(seed)
    z, v = rng.standard_normal((2, N, K))
    T = 1e4
    _, dz = distillation(z, v, T)
    centred = [a - a.mean(axis=-1, keepdims=True) for a in (z, v)]
    expected = (centred[0] - centred[1]) / (K * T**2 * N)
    assert np.allclose(dz, expected, rtol=0, atol=4 * max(abs(c).max() for c in centred) ** 2
                       / (K * T**3 * N) + 1e-15 / T)  # fmt: skip
    assert abs(dz).max() > 0


def test_distillation_of_huge_logits_is_finite():
    for dtype in (np.float32, np.float64):
        z = np.array([[1e4, 0, -1e4]], dtype)
        loss, dz = distillation(z, z[:, ::-1].copy(), 1.0)
        assert np.isfinite(loss) and np.isfinite(dz).all()
        assert loss.dtype == dz.dtype == dtype


@pytest.mark.parametrize("T", [0, -1.0, np.nan])
def test_a_temperature_is_positive(T):
    with pytest.raises(pysi.ConfigError, match="T: expected a positive temperature"):
        distillation(np.zeros((1, 2)), np.zeros((1, 2)), T)


class Distilling(pysi.SynapticIntelligence):
    """Learning without forgetting: the outputs of the last task's network pull at the logits."""

    old = None

    def start_task(self, net, task):
        if net.learned:
            self.old = toy_net(dtype=net.synapses.dtype)
            self.old.synapses.theta[...] = net.synapses.theta

    def output_gradient(self, net, x, logits):
        if self.old is None:
            return None
        return 3 * distillation(logits, self.old.logits(x), 2.0)[1], None


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distillation_keeps_the_old_outputs(dtype):
    x, moved = TASKS[0].x_test, {}
    for rule in (pysi.SynapticIntelligence(0.0), Distilling(0.0)):
        net = toy_net(dtype=dtype)
        toy_run(rule, net=net, tasks=TASKS[:1])
        before = net.logits(x)
        toy_run(rule, net=net, tasks=TASKS[1:2], epochs=6)
        moved[type(rule)] = abs(net.logits(x) - before).mean()
        g = net.synapses.grad
        _, dlogits = softmax_cross_entropy(net.logits(x), TASKS[0].y_test, TASKS[0].active)
        assert g.dtype == dlogits.dtype == dtype
    assert moved[Distilling] < 0.7 * moved[pysi.SynapticIntelligence]
