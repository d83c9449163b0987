"""Progressive networks: against the definition, by differences, and what old columns keep."""

import numpy as np
import pytest

import pysi
import strict_array
from pysi.backend import to_host
from pysi.columns import Columns
from pysi.layers import relu_slope
from pysi.progressive import ProgressiveNetwork
from pysi.rules.rule import FineTuning
from pysi.scenarios import in_scenario
from pysi.storage.checkpoint import Checkpoint
from pysi.training import training_step
from strategies import every_epoch, every_task, ready, toy_run, toy_tasks

ADAPTERS = pytest.mark.parametrize("adapters", [False, True])


def make(adapters=False, hidden=(9, 7), classes=(2, 2, 2), dtype=np.float64, learned=0,
         **options):  # fmt: skip
    net = ProgressiveNetwork(12, hidden, classes, adapters=adapters, dtype=dtype, **options)
    net.learned = learned
    return net


def inputs(n=5, lead=(), seed=0):
    return np.random.default_rng(seed).standard_normal((*lead, n, 12))


def definition(net, x, r=()):
    """Return the logits of one example, column by column and sum by sum."""
    (columns,), s, h, logits = net.layers, net.synapses, {}, []

    def weight(k, name):
        return s.group(f"progressive1.column{k}.{name}").theta[r]

    last = len(columns.hidden) + 1
    for k in range(1, len(columns.classes) + 1):
        if k > net.learned + 1:
            logits += [0] * columns.classes[k - 1]
            continue
        h[k, 0] = x
        for i in range(1, last + 1):
            z = weight(k, f"W{i}").T @ h[k, i - 1] + weight(k, f"b{i}")
            n = len(h[k, i - 1])
            if columns.adapters and 1 < i < last and k > 1:
                scaled = [weight(k, f"a{i}")[j - 1] * h[j, i - 1] for j in range(1, k)]
                p = weight(k, f"V{i}").T @ np.concatenate(scaled)
                z += weight(k, f"U{i}").T @ np.array([max(0, value) for value in p])
            elif i > 1:
                for j in range(1, k):
                    z += weight(k, f"U{i}")[(j - 1) * n : j * n].T @ h[j, i - 1]
            h[k, i] = z if i == last else np.array([max(0, value) for value in z])
        logits += h[k, last].tolist()
    return np.array(logits)


def agree(net, x):
    """Compare the logits with the definition."""
    lead, found = net.synapses.lead, net.logits(x)
    x = np.broadcast_to(x, (*lead, *x.shape[-2:]))
    for at in np.ndindex(*lead, x.shape[-2]):
        np.testing.assert_allclose(found[at], definition(net, x[at], at[:-1]), atol=1e-12)


@ADAPTERS
@pytest.mark.parametrize("hidden", [(9, 7), (8,), (4, 5, 6)])
@pytest.mark.parametrize("learned", range(4))
@pytest.mark.parametrize("seed", [0, [0, 1]])
def test_the_logits_are_those_of_the_definition(adapters, hidden, learned, seed):
    net = make(adapters, hidden, (2, 3, 1), learned=learned, seed=seed)
    net.synapses.theta[...] += 0.1  # biases too
    agree(net, inputs())
    agree(net, inputs(3, net.synapses.lead))
    assert np.array_equal(net.forward(inputs(), train=True), net.logits(inputs()))


def gradient_by_differences(net, x):
    """Compare each entry of the newest column's gradient with a central difference."""
    s, rng = net.synapses, np.random.default_rng(1)
    own = net.columns(net.layers[0].newest)
    dy = rng.standard_normal(net.forward(x, train=True).shape)
    s.grad[..., own] = np.nan
    net.backward(dy)
    theta, h = s.theta, 1e-6
    for i in range(own.start, own.stop):
        ends = []
        for step in (h, -2 * h):
            theta[..., i] += step
            ends.append((net.logits(x) * dy).sum(axis=(-2, -1)))
        theta[..., i] += h
        np.testing.assert_allclose(s.grad[..., i], (ends[0] - ends[1]) / (2 * h), atol=1e-7)
    others = np.delete(s.grad, np.arange(len(s))[own], axis=-1)
    np.testing.assert_array_equal(others, 0)


@ADAPTERS
@pytest.mark.parametrize("learned", range(3))
@pytest.mark.parametrize("seed", [0, [0, 1]])
def test_the_gradient_of_the_newest_column_is_right(adapters, learned, seed):
    net = make(adapters, learned=learned, seed=seed)
    net.synapses.theta[...] += 0.02
    gradient_by_differences(net, inputs())


class NonlinearReadout(Columns):
    """Rectifies what the readout reads of older columns."""

    def forward(self, x, memory):
        y, kept = super().forward(x, memory)
        w = self.weights(memory.weights, self.newest)
        own, z = self.own(self.newest, self.readout), kept[1][self.readout] @ w[f"U{self.readout}"]
        y[..., own] += np.maximum(z, 0) - z
        return y, kept


class FirstLateral(Columns):
    """Lets the first layer read the older columns' weighted input."""

    def forward(self, x, memory):
        older = self.weights(memory.weights, 1)
        for k in range(2, self.newest + 1):
            self.weights(memory.weights, k)["W1"][...] += older["W1"]
        y, kept = super().forward(x, memory)
        for k in range(2, self.newest + 1):
            self.weights(memory.weights, k)["W1"][...] -= older["W1"]
        return y, kept


class NoAlpha(Columns):
    """Reads the older columns without their factors."""

    def lateral(self, k, i, before, w, memory):
        ones = {name: np.ones_like(array) for name, array in w.items() if name[0] == "a"}
        return super().lateral(k, i, before, w | ones, memory)


class AllColumns(Columns):
    """Lets an adapter read its own column too, in the place of the last older one."""

    def older(self, k, i):
        own = super().older(k, i)
        return slice(own.start + self.hidden[i - 1], own.stop + self.hidden[i - 1])


class IntoOld(Columns):
    """Lets the gradient flow on into the column before."""

    def backward(self, dy, kept, memory):
        super().backward(dy, kept, memory)
        i, k, (h, _) = self.readout, self.newest, kept
        U = self.weights(memory.weights, k)[f"U{i}"]
        dz = (dy[..., self.own(k, i)] @ U.swapaxes(-1, -2))[..., self.own(k - 1, i - 1)]
        dz = relu_slope(dz, h[i - 1][..., self.own(k - 1, i - 1)])
        before = h[i - 2][..., self.own(k - 1, i - 2)]
        d = self.weights(memory.gradients, k - 1)
        d[f"W{i - 1}"][...] = before.swapaxes(-1, -2) @ dz


class NoGradientOfAlpha(Columns):
    def backward(self, dy, kept, memory):
        super().backward(dy, kept, memory)
        for name, gradient in self.weights(memory.gradients, self.newest).items():
            gradient[...] *= name[0] != "a"


def mutate(net, kind):
    net.layers[0].__class__ = kind
    return net


@pytest.mark.parametrize(
    ("compare", "kind", "adapters"),
    [
        (agree, NonlinearReadout, False), (agree, NonlinearReadout, True),
        (agree, FirstLateral, False), (agree, NoAlpha, True), (agree, AllColumns, True),
        (agree, AllColumns, False), (gradient_by_differences, IntoOld, False),
        (gradient_by_differences, IntoOld, True),
        (gradient_by_differences, NoGradientOfAlpha, True),
    ],
)  # fmt: skip
def test_known_mistakes_are_found(compare, kind, adapters):
    net = mutate(make(adapters, learned=2), kind)
    with pytest.raises(AssertionError):
        compare(net, inputs())


OPTIMIZERS = [pysi.Adam(0.01), pysi.Momentum(0.1)]


def old_columns_keep_their_bits(net, optimizer):
    """Train on all tasks, and compare θ and logits of old columns after each task."""
    tasks, seen = toy_tasks(n=20), []

    def keep(task):
        old = slice(0, net.columns(task).stop)
        units = np.cumsum([0, 2, 2, 2])[task]
        x = tasks[0].x_test
        seen.append((task, old, net.synapses.theta[..., old].copy(), units,
                     net.logits(x)[..., :units], net.logits(x[:1])[..., :units]))  # fmt: skip
        for _, old, theta, units, *logits in seen:
            assert np.array_equal(net.synapses.theta[..., old], theta)
            for n, before in zip((len(x), 1), logits, strict=True):
                assert np.array_equal(net.logits(x[:n])[..., :units], before)

    history = toy_run(FineTuning(), net=net, tasks=tasks, optimizer=optimizer, epochs=5,
                      listeners=[every_task(keep)], reset_optimizer=False)[1]  # fmt: skip
    assert len(seen) == 3
    return history


@ADAPTERS
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize(("seed", "dtype"), [(0, np.float32), ([0, 1], np.float64)])
def test_old_columns_keep_their_bits_though_the_optimizer_remembers(
    adapters, optimizer, seed, dtype
):
    net = make(adapters, hidden=(33, 17), seed=seed, dtype=dtype)
    first = net.synapses.theta[..., net.columns(1)].copy()
    history = old_columns_keep_their_bits(net, optimizer)
    assert (net.synapses.theta[..., net.columns(1)] != first).any()
    for task in range(3):
        of_task = history.test_accuracy[..., task:, task]
        assert np.array_equal(of_task, 0 * of_task + of_task[..., :1])


class UpdatesAll(ProgressiveNetwork):
    """Leaves old columns to the optimizer, which remembers their gradients."""

    def restart(self, *key):
        super().restart(*key)
        self.synapses.train_only()


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_an_optimizer_that_remembers_would_move_them(optimizer):
    with pytest.raises(AssertionError):
        old_columns_keep_their_bits(UpdatesAll(12, (9, 7), (2, 2, 2)), optimizer)


@ADAPTERS
def test_each_task_is_learned(adapters):
    rule = pysi.SynapticIntelligence(0.1)
    history = toy_run(rule, net=make(adapters, hidden=(30, 30)), epochs=20)[1]
    assert (np.diagonal(history.test_accuracy) > 0.9).all()
    assert np.array_equal(history.test_accuracy[-1], np.diagonal(history.test_accuracy))


@ADAPTERS
def test_networks_side_by_side_learn_what_each_learns(adapters):
    both, _ = toy_run(FineTuning(), net=make(adapters, seed=[3, 4]))
    for r, seed in enumerate((3, 4)):
        one, _ = toy_run(FineTuning(), net=make(adapters, seed=seed))
        assert np.allclose(one.synapses.theta, both.synapses.theta[r], rtol=1e-6, atol=1e-9)


@ADAPTERS
@pytest.mark.parametrize("seed", [0, [0, 1]])
def test_a_device_gives_the_same(adapters, seed):
    found = []
    for xp in (np, strict_array):
        net, history = toy_run(pysi.SynapticIntelligence(0.1), net=make(adapters, seed=seed, xp=xp))
        found.append((to_host(net.synapses.table), history.test_accuracy))
    assert np.allclose(found[0][0], found[1][0], rtol=1e-7, atol=1e-9)
    assert np.allclose(found[0][1], found[1][1])


@ADAPTERS
def test_learning_task_by_task_is_learning_all(adapters):
    tasks = toy_tasks()
    at_once, _ = toy_run(pysi.SynapticIntelligence(0.1), net=make(adapters), tasks=tasks)
    net, rule, optimizer = make(adapters), pysi.SynapticIntelligence(0.1), pysi.Adam(0.01)
    for task in tasks:
        toy_run(rule, net=net, tasks=[task], optimizer=optimizer, tested=tasks)
    assert np.array_equal(net.synapses.theta, at_once.synapses.theta)
    assert net.learned == at_once.learned == 3


@ADAPTERS
@pytest.mark.parametrize("where", [(2, 1), (2, 3)])
def test_a_run_goes_on_from_a_checkpoint_in_the_second_task(adapters, where, tmp_path):
    def run(name, stop=None):
        def interrupt(task, epoch):
            if (task, epoch) == stop:
                raise KeyboardInterrupt

        listeners = [Checkpoint(tmp_path / name, {}), every_epoch(interrupt)]
        return toy_run(pysi.SynapticIntelligence(0.1), net=make(adapters, seed=[1, 2]), epochs=3,
                       listeners=listeners, reset_optimizer=False)[0]  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        run("a.npz", stop=where)
    resumed, whole = run("a.npz"), run("b.npz")
    for row in ("theta", "omega", "Omega", "theta_ref"):
        assert np.array_equal(getattr(resumed.synapses, row), getattr(whole.synapses, row))


@ADAPTERS
def test_the_number_of_parameters_grows_with_the_square_of_the_columns(adapters):
    n_in, n, classes = 12, 9, 2

    def formula(K):
        own = K * (n_in * n + n + n * n + n + n * classes + classes)
        pairs = K * (K - 1) // 2  # of a column and an older one
        if adapters:
            return own + pairs * (1 + n * n + n * classes) + (K - 1) * n * n
        return own + pairs * (n * n + n * classes)

    net = make(adapters, (n, n), (classes,) * 6)
    counts = [net.parameters_of(K) for K in range(7)]
    assert counts[1:] == [formula(K) for K in range(1, 7)]
    assert counts[6] == len(net.synapses)
    assert len(set(np.diff(counts[2:], n=2))) == 1  # a parabola
    for K in range(1, 7):
        own = net.columns(K)
        names = [name for name in net.synapses.shapes if f".column{K}." in name]
        groups = [net.synapses.group(name).columns for name in names]
        assert (groups[0].start, groups[-1].stop) == (own.start, own.stop)


def test_columns_begin_alike_whatever_their_number():
    few, many = make(True, classes=(2, 2)), make(True, classes=(2, 2, 3))
    assert np.array_equal(few.synapses.theta, many.synapses.theta[: len(few.synapses)])
    alpha = many.synapses.group("progressive1.column3.a2").theta
    assert len(set(alpha)) == 2
    assert ((alpha > 0) & (alpha <= 0.1)).all()


@ADAPTERS
def test_it_is_saved_and_copied(adapters, tmp_path):
    tasks = toy_tasks()
    net, _ = toy_run(FineTuning(), net=make(adapters), tasks=tasks[:2])
    x = tasks[0].x_test
    net.save(tmp_path / "net.npz")
    loaded = ProgressiveNetwork.load(tmp_path / "net.npz")
    plain = pysi.Network.load(tmp_path / "net.npz")
    copied, before = net.copy(), net.logits(x)
    for other in (loaded, copied, plain):
        assert other.learned == 2
        assert np.array_equal(other.logits(x), before)
    for other in (loaded, copied):
        toy_run(FineTuning(), net=other, tasks=tasks[2:])
    assert np.array_equal(net.logits(x), before)
    toy_run(FineTuning(), net=net, tasks=tasks[2:])
    for other in (loaded, copied):
        assert np.array_equal(other.synapses.theta, net.synapses.theta)
    net.initialise()
    assert net.learned == 0
    assert np.array_equal(net.synapses.table, make(adapters).synapses.table)
    pysi.MLP([12, 9, 6]).save(tmp_path / "mlp.npz")
    with pytest.raises(pysi.DataError, match="expected progressive columns"):
        ProgressiveNetwork.load(tmp_path / "mlp.npz")


def test_its_repr_counts_the_parameters_of_each_column():
    lines = repr(make(True)).splitlines()
    assert "Columns(12, (9, 7), (2, 2, 2), adapters=True)" in lines[-4]
    assert lines[-3:] == [
        "    column1  (2,)  203",
        "    column2  (2,)  330",
        "    column3  (2,)  408",
    ]


def test_a_step_by_hand_trains_the_newest_column():
    net, task = make(), toy_tasks()[1]
    rule, optimizer = ready(net)
    net.synapses.Omega[...] = 0
    for learned in (0, 1):
        net.learned, before = learned, net.synapses.theta.copy()
        training_step(net, optimizer, rule, task.x_train[:8], task.y_train[:8], task)
        moved = np.flatnonzero(net.synapses.theta != before)
        own = net.columns(learned + 1)
        assert moved.size == 0 or (moved.min() >= own.start and moved.max() < own.stop)
    assert moved.size
    net.synapses = net.synapses.copy()  # a table of the same groups
    before = net.synapses.theta.copy()
    optimizer.start(net.synapses)
    rule.start(net.synapses)
    training_step(net, optimizer, rule, task.x_train[:8], task.y_train[:8], task)
    assert (net.synapses.theta != before)[net.columns(2)].any()
    assert not np.delete(net.synapses.theta != before, np.arange(len(before))[net.columns(2)]).any()


def test_memory_of_older_batches_is_not_read():
    """Batches of other sizes, and evaluations, change no bit."""
    net, fresh = make(True, learned=2), make(True, learned=2)
    dy = np.random.default_rng(0).standard_normal((5, 6))
    for n in (9, 2, 5):
        net.forward(inputs(n, seed=n), train=True)
        net.backward(np.ones((n, 6)))
    for one in (net, fresh):
        one.forward(inputs(), train=True)
        one.logits(inputs(7, seed=2))
        one.forward(inputs(8, seed=3))
        one.backward(dy)
    assert np.array_equal(net.synapses.grad, fresh.synapses.grad)


CASES = {
    "domain": (lambda t: in_scenario(t, "domain"), r"task '2 or 3': .* 2 to 3, those of column 2, "
               r"found \[0, 1\]; a progressive network must be told the task"),
    "class": (lambda t: in_scenario(t, "class"), r"task '0 or 1': .* must be told the task"),
    "too many": (lambda t: [*t, t[0]], r"tasks: expected at most 3, .* found 4"),
    "another order": (lambda t: t[::-1], r"task '4 or 5': expected the active classes 0 to 1, "
                      r"those of column 1, found \[4, 5\]"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_tasks_that_do_not_fit_are_refused_before_any_work(case):
    change, message = CASES[case]
    net, tasks = make(), change(toy_tasks())
    before = net.synapses.table.copy()
    with pytest.raises(pysi.ConfigError, match=message):
        toy_run(FineTuning(), net=net, tasks=tasks)
    assert np.array_equal(net.synapses.table, before)


def test_tasks_are_counted_from_where_it_stands():
    net, tasks = make(), toy_tasks()
    toy_run(FineTuning(), net=net, tasks=tasks[:2])
    with pytest.raises(pysi.ConfigError, match="active classes 4 to 5, those of column 3, found"):
        toy_run(FineTuning(), net=net, tasks=tasks[:1])
    with pytest.raises(pysi.ConfigError, match="expected at most 1, .* found 2"):
        toy_run(FineTuning(), net=net, tasks=tasks[2:] * 2)
    toy_run(FineTuning(), net=net, tasks=tasks[2:])
    with pytest.raises(pysi.ConfigError, match="expected at most 0"):
        toy_run(FineTuning(), net=net, tasks=tasks[2:])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, (9,), (2,)), {}, "n_in"), ((12, (), (2,)), {}, "hidden"),
        ((12, (0,), (2,)), {}, "hidden"), ((12, 9, (2,)), {}, "hidden"),
        ((12, (9,), ()), {}, "classes"), ((12, (9,), (2, 0)), {}, "classes"),
        ((12, (9,), (2,)), {"adapters": "yes"}, "adapters"),
        ((12, (9,), (2,)), {"seed": -1}, "seed"), ((12, (9,), (2,)), {"dtype": int}, "dtype"),
    ],
)  # fmt: skip
def test_bad_arguments_are_refused(arguments, options, message):
    with pytest.raises(pysi.ConfigError, match=message):
        ProgressiveNetwork(*arguments, **options)


def test_a_column_that_is_not_there_is_refused():
    with pytest.raises(pysi.ConfigError, match="newest: expected at most 2"):
        Columns(12, (9,), (2, 2), newest=3)


def test_elastic_weight_consolidation_does_not_fit():
    with pytest.raises(pysi.ConfigError, match="add_examples"):
        toy_run(pysi.EWC(1.0), net=make())


def test_a_network_that_keeps_old_tasks_is_not_reset():
    with pytest.raises(pysi.ConfigError, match="reset_network: expected False"):
        pysi.train(
            make(), pysi.Adam(), FineTuning(), toy_tasks(), epochs=1, batch_size=16,
            reset_network=True,
        )  # fmt: skip
