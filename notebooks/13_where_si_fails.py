# %% [markdown]
# # 13. Where Synaptic Intelligence fails
#
# **What you will do.** Learn the same digits in three scenarios, in one of which Synaptic
# Intelligence (SI) does nothing at all; turn a valley until a diagonal $\Omega$ cannot see it; take
# $c$ too small and too large; write a replay buffer that works where SI does not; and look at the
# old task after every single step.
#
# **What you will learn.** What SI cannot do, and why: which failures lie in the problem, which in
# the diagonal quadratic, and which in how we measure.
#
# **What you need.** [Notebook 2](02_what_a_synapse_knows.ipynb) for the rule,
# [notebook 4](04_the_surrogate_loss.ipynb) for the surrogate loss, and
# [notebook 7](07_split_mnist.ipynb) for split MNIST.
#
# **Time.** About 55 minutes, of which 20 are for the four exercises.

# %%
import matplotlib.pyplot as plt
import numpy as np

import pysi
from pysi.figures.style import colour, use
from pysi.history import Step
from pysi.scenarios import joint_task
from pysi.theory.normalization import Omega_per_parameter
from pysi.theory.quadratic import Quadratic
from pysi.theory.surrogate import DiagonalQuadratic, joint_minima
from pysi.training import score

use()
FREE, SI, REPLAY, JOINT = (colour(role) for role in ("fine-tuning", "si", "replay", "joint"))

# %% [markdown]
# ## Three scenarios
#
# Split MNIST has five tasks: 0 or 1, 2 or 3, and so on to 8 or 9. The same digits make three
# different problems. They differ in what the network is told when it is tested
# (van de Ven & Tolias, 2019):
#
# | scenario | the network is told | it chooses among |
# |---|---|---|
# | *task* | the pair that a digit comes from | the two digits of this pair |
# | *domain* | nothing | "first of its pair" and "second of its pair" |
# | *class* | nothing | all digits learned so far |
#
# The paper's split MNIST is the first of them. In code, a scenario is a mask of the units of the
# readout that take part in the softmax: the array `task.active`.
#
# **Exercise 1.** The array `own` says which of the ten digits belong to each of the five tasks.
# Write the masks of the three scenarios. In the scenario *domain* the readout has two units, which
# all tasks share; in the other two it has ten.

# %%
split = pysi.split_tasks(pysi.load_dataset("mnist-5k"))
own = np.stack([task.active for task in split])  # (5 tasks, 10 digits), True or False


# %% tags=["exercise", "hide-input"]
def active_units(own, scenario):
    """Return which units of the readout take part in each task, (tasks, units)."""
    # your code: the masks of the scenarios task, domain and class
    if scenario == "task":
        return own
    if scenario == "domain":
        return np.ones((len(own), 2), dtype=bool)
    return np.cumsum(own, axis=0) > 0


# %% tags=["check"]
hints = {
    "task": "The network is told the pair, so only the two units of this pair take part.",
    "domain": "All tasks share one readout: it has two units, and both always take part.",
    "class": "The network chooses among all digits learned so far: those of this task and of the "
    "tasks before, and not those that are still to come.",
}
for scenario, hint in hints.items():
    expected = np.stack([task.active for task in pysi.in_scenario(split, scenario)])
    found = active_units(own, scenario)
    same = np.shape(found) == expected.shape and np.array_equal(found, expected)
    assert same, f"Scenario {scenario!r}: {hint}"

# %% [markdown] tags=["instructor", "remove-cell"]
# All ten units take part from the first task on. Then the network may answer with digits that it
# has never seen.
#
# ```python
# return own if scenario == "task" else np.ones((5, 2 if scenario == "domain" else 10), dtype=bool)
# ```
#
# The scenario *class* has the masks of the scenario *task*. Then the mask tells the network the
# pair.
#
# ```python
# return np.ones((5, 2), dtype=bool) if scenario == "domain" else own
# ```
#
# The scenario *domain* has the first two columns of `own`. Then no unit is active after task 1.
#
# ```python
# if scenario == "domain":
#     return own[:, :2]
# return own if scenario == "task" else np.cumsum(own, axis=0) > 0
# ```

# %% [markdown]
# Now we train small networks in each scenario: four with $c = 0$, which is fine-tuning, four with
# SI at $c = 1$, and four that learn all tasks at once. The last are trained *jointly*: this is the
# accuracy that a network could have if nothing were ever forgotten. Networks with the same seed
# start from the same weights, so we compare them in pairs. Every interval is a 95 % interval of the
# mean difference over the four seeds.

# %%
seeds = [0, 1, 2, 3]


def network(tasks, seeds=seeds):
    return pysi.MLP([784, 64, 64, len(tasks[0].active)], zero_readout=True, seed=seeds)


def learn(net, rule, tasks, **options):
    return pysi.train(net, pysi.Adam(3e-3), rule, tasks, epochs=4, batch_size=64, **options)


nets, matrices, final = {}, {}, {}
for scenario in ("task", "domain", "class"):
    tasks = pysi.in_scenario(split, scenario)
    nets[scenario] = network(tasks, seeds * 2)
    rule = pysi.SynapticIntelligence(c=[0.0] * 4 + [1.0] * 4)
    accuracy = learn(nets[scenario], rule, tasks).test_accuracy  # (networks, after task, on task)
    joint = learn(network(tasks), pysi.FineTuning(), [joint_task(tasks)], tested=tasks)
    matrices[scenario] = {"fine-tuning": accuracy[:4], "si": accuracy[4:]}
    final[scenario] = {
        "fine-tuning": accuracy[:4, -1].mean(axis=-1),
        "si": accuracy[4:, -1].mean(axis=-1),
        "joint": joint.test_accuracy[:, -1].mean(axis=-1),
    }

gain = {name: pysi.interval(ends["si"] - ends["fine-tuning"]) for name, ends in final.items()}
lack = {name: pysi.interval(ends["joint"] - ends["si"]) for name, ends in final.items()}
print("scenario   SI minus fine-tuning           joint minus SI")
for name in final:
    print(f"{name:10} {gain[name]!s:30} {lack[name]}")
in_domain = matrices["domain"]["fine-tuning"][:, -1].mean(axis=0)
print("fine-tuning in the scenario domain, accuracy on tasks 1 to 5:", in_domain.round(2))

# %% tags=["hide-input"]
images = np.concatenate([task.x_test for task in split])
labels = np.concatenate([task.y_test for task in split])
answers = nets["class"].predict(images)[4:]  # the four networks with SI
confusion = np.zeros((10, 10))
np.add.at(confusion, (np.tile(labels, 4), answers.ravel()), 1)
confusion /= confusion.sum(axis=1, keepdims=True)

fig, (left, right) = plt.subplots(1, 2, figsize=(8.6, 3.6), width_ratios=[1.15, 1])
for x, ends in enumerate(final.values()):
    looks = (("fine-tuning", FREE, "^"), ("si", SI, "o"), ("joint", JOINT, "*"))
    for shift, (name, c, marker) in zip((-0.2, 0, 0.2), looks, strict=True):
        label = {"si": "SI, $c = 1$"}.get(name, name) if x == 0 else None
        left.plot([x + shift] * 4, ends[name], marker, color=c, ms=7, alpha=0.6, label=label)
        left.plot(x + shift + np.array([-0.08, 0.08]), [ends[name].mean()] * 2, color=c, lw=2)
left.set(xticks=range(3), xticklabels=final, ylim=(0, 1.03), xlabel="scenario")
left.set(ylabel="accuracy after the last task,\nmean over all tasks")
left.legend(loc="lower left")
left.spines[["top", "right"]].set_visible(False)
shown = right.imshow(confusion, cmap="Greys", vmin=0, vmax=1)
right.set(xticks=range(10), yticks=range(10), xlabel="what the network says", ylabel="digit")
right.set_title("scenario class, SI")
fig.colorbar(shown, ax=right, label="share of the digits")
plt.show()

# %% [markdown]
# On the left, every marker is a network and every short line a mean over four of them. On the right
# are the answers of the networks that SI has trained in the scenario *class*.
#
# * *Task*: SI wins back most of what fine-tuning loses and comes close to joint training.
# * *Domain*: SI helps, but remains far below joint training.
# * *Class*: SI does nothing that can be seen. All digits are called 8 or 9.
#
# Larger networks on all of MNIST say the same: Hsu et al. (2018) report .986, .648 and .197 for SI
# in the three scenarios, and .995, .986 and .975 for joint training.
#
# **Question.** While the networks learn 8 or 9 in the scenario *class*, all ten units take part in
# the softmax. What is the gradient at the logit of the digit 0, and in which direction does descent
# move this logit?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# The derivative of the loss with respect to a logit is $p_k - [k = y]$. No example of the task is a
# 0, so for $k = 0$ it is $p_0 > 0$ for every example. Each step pushes the logit down, until $p_0$
# is almost zero. Nothing pushes it up again, since no 0 is shown.
#
# </details>

# %% [markdown]
# This is why SI fails in the scenario *class*: no minibatch contains digits of two tasks, so the
# loss never asks to tell a 0 from an 8. SI protects what was learned; but this was *never learned*.
# And the shortest way to a small loss on the new digits is open: the synapses of the units 8 and 9
# have $\Omega = 0$, so raising these two logits for all images costs nothing, whatever $c$ is. In
# the scenario *task* the question does not arise, because the softmax is masked: it never compares
# digits of different tasks, neither in training nor in the test.
#
# **Question.** In the scenario *domain*, the accuracy of fine-tuning on the third task, 4 or 5, is
# far below the 0.5 of guessing. How can that be? Look at rows 4 and 5 of the confusion matrix.

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# The network has just learned to tell 8 from 9. To it, a 4 looks like a 9, and a 5 like an 8. But 4
# is the *first* of its pair and 9 the *second* of its own. So the network answers consistently, and
# wrongly. An accuracy far below chance is not noise; it is knowledge that belongs to another task.
#
# </details>

# %% [markdown]
# **Exercise 2.** How accurate would a network be in the scenario *class* if it knew only the last
# pair? Suppose that after task $i$ it gives every digit one of the two labels of task $i$, and that
# it is right on a share $a_i$ of the digits of this pair. Return its accuracy matrix (row: after
# which task; column: on which task), and its mean accuracy on the tasks learned so far, after each
# task.


# %% tags=["exercise", "hide-input"]
def forgetful(a):
    """Return the accuracy matrix, (tasks, tasks), and the average on tasks so far, (tasks,)."""
    # your code: both arrays, for an array `a` with one accuracy per task
    return np.diag(a), a / np.arange(1, len(a) + 1)


# %% tags=["check"]
both = forgetful(np.array([1.0, 0.9, 0.6]))
assert isinstance(both, tuple) and len(both) == 2, "Return two arrays: the matrix and the average."
assert np.shape(both[0]) == (3, 3), "With three tasks, the matrix has three rows and columns."
assert np.allclose(np.diagonal(both[0]), [1, 0.9, 0.6]), (
    "The accuracy on the pair that was just learned stands on the diagonal."
)
assert np.allclose(both[0], np.diag([1, 0.9, 0.6])), (
    "Off the diagonal: a digit of another pair gets a label of the last pair. That is always "
    "wrong, not right in one half of all cases."
)
assert np.shape(both[1]) == (3,) and np.allclose(both[1], [1, 0.45, 0.2]), (
    "After task i the average is over i tasks, of which the network knows one."
)

# %% [markdown] tags=["instructor", "remove-cell"]
# Other pairs are guessed, and half of the guesses are right. But a guess among 8 and 9 is never
# right for a 0.
#
# ```python
# matrix = np.full((len(a), len(a)), 0.5)
# np.fill_diagonal(matrix, a)
# return matrix, matrix.mean(axis=1)
# ```
#
# The average is always taken over all tasks, also over those that have not been learned yet.
#
# ```python
# return np.diag(a), a / len(a)
# ```

# %%
expected, averages = [], []
for matrix in matrices["class"]["si"]:
    rows, average = forgetful(np.diagonal(matrix))
    expected.append(rows)
    averages.append(average)
print("average accuracy after tasks 1 to 5, mean over four networks with SI, scenario class")
print("  measured:            ", pysi.average_accuracy(matrices["class"]["si"]).mean(0).round(3))
print("  knows only the last: ", np.mean(averages, axis=0).round(3))

# %% [markdown]
# The two lines agree. When you read 0.19 or 0.2 for split MNIST in this scenario, this is probably
# what it is: one fifth of the tasks, and not a little memory of all of them. It is more than the
# 0.1 of guessing among ten digits, so a comparison with chance would not show it.
#
# **Try.** Take the networks that SI has trained in the scenario *task*, and tell them nothing: let
# them choose among all ten units. You will see their accuracy fall from 0.96 to about a third. They
# find the right pair for a third of the digits only, but within the right pair they hardly ever
# err. So the pairs are remembered; what is missing is the comparison between them. Still, this is
# more than the 0.18 of the networks that were *trained* in the scenario *class*.

# %%
told_nothing = nets["task"].predict(images)[4:]
right = (told_nothing == labels).mean(axis=1)
right_pair = (told_nothing // 2 == labels // 2).mean(axis=1)
print(f"right digit {right.mean():.3f}, right pair {right_pair.mean():.3f}, "
      f"right digit if the pair is right {np.mean(right / right_pair):.3f}")  # fmt: skip
assert pysi.interval(right).below(0.5) and pysi.interval(right - final["class"]["si"]).above(0.05)
assert pysi.interval(right / right_pair).above(0.95)

# %% [markdown]
# ## Correlated curvature
#
# The second limit is in the method: $\Omega$ has one number per synapse. It can say how hard each
# synapse is to move. It cannot say that two synapses may be moved *together*.
#
# Take two synapses and two quadratic losses, as in [notebook 4](04_the_surrogate_loss.ipynb). Each
# loss is a valley: flat along its floor, steep across it. Task 2's valley crosses that of task 1 at
# 60°. We turn both. SI learns task 1 from a start to its minimum, and then minimises Eq. 4, the
# loss of task 2 plus the surrogate $c \sum_k \Omega_k (\theta_k - \tilde\theta_k)^2$. The function
# `joint_minima` returns where that ends, and the minimum of the sum of both true losses.


# %%
def valley(angle, minimum):
    floor = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))])
    along = np.outer(floor, floor)
    return Quadratic(0.1 * along + 2.0 * (np.eye(2) - along), np.array(minimum))


def two_tasks(angle, minimum_1=(-0.8, -0.6), minimum_2=(1.2, 0.8)):
    return valley(angle, minimum_1), valley(angle + 60, minimum_2)


def both_losses(angle, theta):
    old, new = two_tasks(angle)
    return old.value(theta) + new.value(theta)


angles, start = (0, 15, 30, 45), np.array([-1.9, 1.6])
sums, importances = {}, {}
print("angle   joint   no rule   SI, c = 1    Ω of both synapses    half the true curvature")
for angle in angles:
    old, new = two_tasks(angle)
    joint, consolidated = joint_minima(old, new, start)
    sums[angle] = [both_losses(angle, at) for at in (joint, new.minimum, consolidated)]
    importances[angle] = Omega_per_parameter(old.H, start - old.minimum)
    joint_sum, free_sum, si_sum = sums[angle]
    a, b = importances[angle]
    print(f"{angle:4}° {joint_sum:8.2f} {free_sum:8.2f} {si_sum:10.2f}         {a:.2f} and {b:.2f}"
          f"          {old.H[0, 0] / 2:.3f} and {old.H[1, 1] / 2:.3f}")  # fmt: skip

# %% tags=["hide-input"]
fig, axes = plt.subplots(2, 2, figsize=(7.6, 7.2), sharex=True, sharey=True)
plane = np.stack(np.meshgrid(np.linspace(-2.4, 2.4, 150), np.linspace(-2.1, 2.2, 150)), axis=-1)
sheet = plane.transpose(2, 0, 1)
for ax, angle in zip(axes.flat, angles, strict=True):
    old, new = two_tasks(angle)
    joint, consolidated = joint_minima(old, new, start)
    all_c = [joint_minima(old, new, start, c=c)[1] for c in np.logspace(-4, 4, 200)]
    stand_in = DiagonalQuadratic(old.minimum, importances[angle])
    levels = np.linspace(0.3, 5.9, 15)
    ax.contourf(*sheet, np.sqrt(both_losses(angle, plane)), levels, cmap="Greys", vmax=9)
    ax.contour(*sheet, old.value(plane), [0.3], colors=[colour("exact")], linewidths=1.5)
    ax.contour(*sheet, stand_in.value(plane), [0.3], colors=[colour("surrogate")],
               linewidths=2, linestyles="--")  # fmt: skip
    ax.plot(*np.transpose(all_c), color=SI, lw=1.5)
    ax.plot(*joint, "*", color="white", mec="black", ms=17, label="training on both")
    ax.plot(*consolidated, "o", color=SI, mec="black", ms=8, label="SI, $c = 1$ (line: every $c$)")
    ax.plot(*new.minimum, "^", color=FREE, mec="black", ms=9, label="no rule: task 2 alone")
    ax.set(title=f"both valleys turned by {angle}°", aspect="equal")
for k in (0, 1):
    axes[1, k].set_xlabel(r"$\theta_1$")
    axes[k, 0].set_ylabel(r"$\theta_2$")
axes[0, 0].plot([], [], color=colour("exact"), label="task 1's loss is 0.3")
axes[0, 0].plot([], [], color=colour("surrogate"), ls="--", lw=2, label="the surrogate is 0.3")
fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
plt.show()

# %% [markdown]
# Dark is a large sum of both losses; the star is its minimum. Look at the two ellipses: on the
# black one the loss of task 1 is 0.3, on the dashed green one the surrogate is.
#
# At 0° the valley lies along an axis. Both ellipses are the same, and SI at $c = 1$ ends in the
# star. At 45° the black ellipse is long and lies across the axes: $\theta_1$ and $\theta_2$ may
# move far, but only together. An ellipse of the surrogate has its axes along those of the synapses,
# whatever $\Omega$ is. So the surrogate calls all directions stiff, the one along the floor too,
# and holds the dot back, far from the star. The sum of both losses is 2.23 there. With no rule at
# all it is 0.47, and the best possible is 0.33.
#
# Two things come together. Half the true curvature is 0.525 for both synapses. But $\omega$ also
# contains what the synapses earned from their interaction, and on this path $\Omega_1$ comes out
# four times as large. This example was chosen to be bad. How bad is it on average?

# %%
rng = np.random.default_rng(0)
problems = rng.standard_normal((400, 3, 2))  # two minima and a start
worse, excesses, lines = {}, {}, []
for angle in angles:
    excess = []
    for minimum_1, minimum_2, begin in problems:
        old, new = two_tasks(angle, minimum_1, minimum_2)
        joint, consolidated = joint_minima(old, new, begin)
        best, with_si, without = (
            old.value(at) + new.value(at) for at in (joint, consolidated, new.minimum)
        )
        excess.append([with_si - best, without - best])
    with_si, without = np.transpose(excess)
    worse[angle], excesses[angle] = np.mean(with_si > without), with_si.mean() / without.mean()
    lines.append(f"{angle:3}°: SI leaves {abs(excesses[angle]):.2f} of the excess without a rule, "
                 f"and is worse than no rule in {worse[angle]:.0%}")  # fmt: skip
print(*lines, sep="\n")

# %% [markdown]
# The excess, which [notebook 4](04_the_surrogate_loss.ipynb) calls the gap, is the amount by which
# the sum of both losses exceeds its value at the star. On average over 400 random problems SI
# removes two thirds of it even at 45°. But in a quarter of these problems it does harm.
#
# **Question.** A full matrix instead of a diagonal would be exact for quadratics. Why does nobody
# store it? Count its entries for the networks of the first section, which have 55,050 synapses.

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# A symmetric matrix for $P$ synapses has $P(P + 1)/2$ entries: for $P = 55{,}050$ about $1.5$
# billion, or 6 GB in single precision, for a network that itself needs 0.2 MB. Methods between the
# two keep blocks of the matrix, for example one per layer.
#
# </details>

# %% [markdown]
# **Try.** Is $c = 1$ simply wrong at 45°? The green line shows where SI ends for every $c$, and it
# passes near the star. You will see that at each angle there is a $c$ that comes close to the best
# possible, but it is a different one each time (1, 0.08, 0.017, 0.058). To find it one needs the
# loss of task 1, which SI is made to do without.

# %%
grid, best_c, lines = np.logspace(-3, 1, 201), {}, []
for angle in angles:
    old, new = two_tasks(angle)
    ends = [both_losses(angle, joint_minima(old, new, start, c=c)[1]) for c in grid]
    best_c[angle] = grid[np.argmin(ends)]
    joint = sums[angle][0]
    lines.append(f"{angle:3}°: best c {best_c[angle]:.3f}, sum {min(ends):.3f}, joint {joint:.3f}")
    assert min(ends) < 1.08 * joint
print(*lines, sep="\n")
assert np.isclose(best_c[0], 1) and max(best_c[angle] for angle in (15, 30, 45)) < 0.1

# %% [markdown]
# ## Too small and too large a c
#
# In a network, $c$ is found by trying. Here are 28 networks, trained side by side in the scenario
# *domain*: seven values of $c$, over six decades, times four seeds.

# %%
strengths = np.logspace(-3, 3, 7)
tasks = pysi.in_scenario(split, "domain")
rule = pysi.SynapticIntelligence(c=np.repeat(strengths, 4).tolist())
swept = learn(network(tasks, seeds * 7), rule, tasks).test_accuracy.reshape(7, 4, 5, 5)
last = swept[:, :, -1]  # (strengths, seeds, tasks): after the last task
old_tasks, new_task, all_tasks = last[..., :4].mean(-1), last[..., 4], last.mean(-1)

# %% tags=["hide-input"]
fig, ax = plt.subplots(figsize=(6.4, 3.6))
looks = ((old_tasks, "o-", "tasks 1 to 4"), (new_task, "o--", "task 5, the newest"))
for values, look, name in looks:
    fill = SI if look == "o-" else "white"
    ax.plot(strengths, values, look[0], color=SI, mfc=fill, ms=4, alpha=0.4)
    ax.plot(strengths, values.mean(axis=1), look, color=SI, mfc=fill, ms=7, lw=2, label=name)
ax.axhline(0.5, color=colour("chance"), ls="--", lw=1)
ax.text(1e-3, 0.49, "chance", color=colour("chance"), va="top")
ax.set(xscale="log", xlabel="strength $c$", ylabel="accuracy after the last task")
ax.set(ylim=(0.3, 1.03))
ax.legend(loc="lower left")
ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# Small markers are networks, lines their means. With a small $c$ the new task is learned and the
# old ones are lost. With a large $c$ the old ones are kept and the new one is *not learned*: from
# $c = 100$ on it is no better than chance. Between them, from 1 to 10, is a window in which the
# mean over all tasks is larger than at both ends. But no $c$ has both: where the old tasks are
# best, at $c = 10$, the new one is almost at chance.
#
# **Question.** Beyond $c = 10$ the accuracy on the *old* tasks falls again, although they are
# protected ever more. Why?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# Tasks 2 to 4 were new once, too. With a very large $c$ the network cannot move after task 1, so it
# never learns them. What it keeps is task 1 alone.
#
# </details>

# %% [markdown]
# **Try.** Is there a window in the scenario *class*? We have seen $c = 0$ and $c = 1$ and now take
# 10 and 1000. You will see that there is none. The mean accuracy stays below 0.2, what a perfect
# network that knows only the last pair would have. A larger $c$ only makes the last pair worse.

# %%
tasks = pysi.in_scenario(split, "class")
rule = pysi.SynapticIntelligence(c=[10.0] * 4 + [1000.0] * 4)
accuracy = learn(network(tasks, seeds * 2), rule, tasks).test_accuracy[:, -1]
in_class = {1: matrices["class"]["si"][:, -1], 10: accuracy[:4], 1000: accuracy[4:]}
for c, values in in_class.items():
    print(f"c = {c:<4}: accuracy on tasks 1 to 5", values.mean(axis=0).round(3))
    assert pysi.interval(values.mean(axis=-1)).below(0.2)
assert pysi.interval(in_class[1][:, -1] - in_class[1000][:, -1]).above(0)

# %% [markdown]
# ## What works: a few old examples
#
# In the scenario *class* the softmax must see digits of different tasks side by side. The plainest
# way is to keep some (Robins, 1995): after each task we keep $n$ random examples of each class, and
# in every later step the loss on the kept examples is added to that on the minibatch.
#
# In this package a rule may run a pass of its own before each step: the hook `before_step` returns
# a row of the table, which is added to the gradient of the minibatch. The following class has the
# constructor and two short hooks. (It is written for several networks side by side.)
#
# **Exercise 3.** Write the other two hooks.
#
# * `end_task`: for each label of the task, draw $n$ of its training examples for each network, with
#   `self.rng`. Append the examples, (networks, $n$, 784), to `self.x`, and their labels,
#   (networks, $n$), to `self.y`.
# * `before_step`: return the gradient of the mean loss on all kept examples, or `None` if there are
#   none. `net.forward` and `net.backward` are used as in
#   [notebook 2](02_what_a_synapse_knows.ipynb), and `self.task.loss` takes the place of
#   `softmax_cross_entropy`. Which mask must the loss have? And note that the minibatch will
#   overwrite `net.synapses.grad`.


# %% tags=["exercise", "hide-input"]
class Buffer(pysi.FineTuning):
    """Keep n examples of each class, and learn all of them again in every later step."""

    name = "buffer"

    def __init__(self, n):
        self.n = n

    def start(self, synapses):
        super().start(synapses)
        self.x, self.y, self.rng = [], [], np.random.default_rng(0)

    def start_task(self, net, task):
        self.task = task

    # your code: the hooks `end_task(self, net, task)` and `before_step(self, net)`
    def end_task(self, net, task):
        for label in np.unique(task.y_train):
            own = np.flatnonzero(task.y_train == label)
            kept = np.stack([self.rng.choice(own, self.n, replace=False) for _ in net.seeds])
            self.x.append(task.x_train[kept])
            self.y.append(task.y_train[kept])

    def before_step(self, net):
        if not self.x:
            return None
        x, y = np.concatenate(self.x, axis=1), np.concatenate(self.y, axis=1)
        logits = net.forward(x, train=True)
        _, dlogits = self.task.loss(logits, y, self.task.active)
        net.backward(dlogits)
        return net.synapses.grad.copy()


# %% tags=["check"]
tasks = pysi.in_scenario(split, "class")
net, rule = pysi.MLP([784, 8, 10], seed=[0, 1]), Buffer(3)
rule.start(net.synapses)
for task in tasks[:2]:
    rule.start_task(net, task)
    if task is tasks[0]:
        nothing = rule.before_step(net)
        assert nothing is None, "In the first task there are no old examples: return None."
    rule.end_task(net, task)
assert len(rule.x) == len(rule.y) == 4, (
    "After two tasks of two classes, self.x and self.y have four entries each: append to them."
)
assert all(np.shape(x) == (2, 3, 784) for x in rule.x), (
    "Each entry of self.x holds n examples for each network: its shape is (networks, n, 784)."
)
assert all(np.shape(y) == (2, 3) for y in rule.y), "Each entry of self.y is (networks, n)."
for label, (x, y) in enumerate(zip(rule.x, rule.y, strict=True)):
    task = tasks[label // 2]
    known = {image.tobytes() for image in task.x_train[task.y_train == label]}
    assert {image.tobytes() for image in np.reshape(x, (6, 784))} <= known, (
        f"Entry {label} of self.x holds training examples of the digit {label}."
    )
    assert (np.asarray(y) == label).all(), f"Entry {label} of self.y holds the label {label} alone."
rule.start_task(net, tasks[2])
extra = rule.before_step(net)
assert np.shape(extra) == net.synapses.theta.shape, "Return a row: one number per synapse."
assert not np.shares_memory(extra, net.synapses.grad), (
    "The minibatch overwrites net.synapses.grad, and with it what you return: return a copy."
)
x, y = np.concatenate(rule.x, axis=1), np.concatenate(rule.y, axis=1)
net.backward(tasks[2].loss(net.forward(x, train=True), y, tasks[2].active)[1])
assert np.allclose(extra, net.synapses.grad, rtol=1e-4, atol=1e-7), (
    "Which mask? The old digits must be compared with all digits so far: use self.task.active."
)

# %% [markdown] tags=["instructor", "remove-cell"]
# `before_step` returns the row of the table itself. The minibatch overwrites it, so its own
# gradient counts twice and the old examples not at all. Nothing fails visibly: the network forgets.
#
# ```python
# def end_task(self, net, task):
#     for label in np.unique(task.y_train):
#         own = np.flatnonzero(task.y_train == label)
#         kept = np.stack([self.rng.choice(own, self.n, replace=False) for _ in net.seeds])
#         self.x.append(task.x_train[kept])
#         self.y.append(task.y_train[kept])
#
# def before_step(self, net):
#     if not self.x:
#         return None
#     x, y = np.concatenate(self.x, axis=1), np.concatenate(self.y, axis=1)
#     _, dlogits = self.task.loss(net.forward(x, train=True), y, self.task.active)
#     net.backward(dlogits)
#     return net.synapses.grad
# ```
#
# The kept digits are compared only with each other. Then the softmax still never compares an old
# digit with a new one.
#
# ```python
# def end_task(self, net, task):
#     for label in np.unique(task.y_train):
#         own = np.flatnonzero(task.y_train == label)
#         kept = np.stack([self.rng.choice(own, self.n, replace=False) for _ in net.seeds])
#         self.x.append(task.x_train[kept])
#         self.y.append(task.y_train[kept])
#
# def before_step(self, net):
#     if not self.x:
#         return None
#     x, y = np.concatenate(self.x, axis=1), np.concatenate(self.y, axis=1)
#     active = np.isin(np.arange(10), y)
#     _, dlogits = self.task.loss(net.forward(x, train=True), y, active)
#     net.backward(dlogits)
#     return net.synapses.grad.copy()
# ```
#
# Only the last task is kept: the lists are replaced and not extended.
#
# ```python
# def end_task(self, net, task):
#     own = [np.flatnonzero(task.y_train == label) for label in np.unique(task.y_train)]
#     kept = [np.stack([self.rng.choice(at, self.n) for _ in net.seeds]) for at in own]
#     self.x = [task.x_train[at] for at in kept]
#     self.y = [task.y_train[at] for at in kept]
#
# def before_step(self, net):
#     if not self.x:
#         return None
#     x, y = np.concatenate(self.x, axis=1), np.concatenate(self.y, axis=1)
#     _, dlogits = self.task.loss(net.forward(x, train=True), y, self.task.active)
#     net.backward(dlogits)
#     return net.synapses.grad.copy()
# ```

# %% [markdown]
# With $n = 20$ it keeps 200 of the 4,000 training digits. We compare it with SI, seed by seed, and
# with the package's own `pysi.Replay(20)`. `pysi.Replay` does not learn all kept examples in every
# step, but draws as many of them as the minibatch has.

# %%
by_task = {"si": matrices["class"]["si"][:, -1]}
for name, rule in (("buffer", Buffer(20)), ("replay", pysi.Replay(20))):
    by_task[name] = learn(network(tasks), rule, tasks).test_accuracy[:, -1]
    final["class"][name] = by_task[name].mean(axis=-1)

ends = final["class"]
better = pysi.interval(ends["buffer"] - ends["si"])
alike = pysi.interval(ends["buffer"] - ends["replay"])
left_open = pysi.interval(ends["joint"] - ends["buffer"])
print("scenario class, mean over all tasks after the last one")
for name, label in (("si", "SI"), ("buffer", "your buffer"), ("replay", "pysi.Replay")):
    print(f"  {label:12}", by_task[name].mean(axis=0).round(3), f"mean {ends[name].mean():.3f}")
print("your buffer minus SI:         ", better)
print("your buffer minus pysi.Replay:", alike)
print("joint minus your buffer:      ", left_open)

# %% [markdown]
# Twenty digits of each class turn 0.18 into more than 0.7. Four seeds cannot tell your buffer from
# the package's own replay. Joint training is still 0.2 better.
#
# The price is what the penalties avoid. Old data are stored, which may not be allowed, and each
# step has a second pass.

# %% [markdown]
# ## The stability gap
#
# So far we have looked at the networks when a task had ended. De Lange et al. (2023) looked after
# *every step*, and found that the accuracy on old tasks drops right after the switch to a new task,
# and then recovers. They call this the stability gap. They saw it with replay, with distillation
# and with penalties on weights. A matrix with one row per task never shows it.
#
# A listener is called after every step. This one tests task 1 after each step of task 2, and keeps
# the weights after the first of them. We take eight seeds.


# %%
first, second = pysi.in_scenario(split, "class")[:2]


def watched(rule):
    """Return the accuracy on task 1 at the switch and after each later step, and the weights."""
    net, curve, weights = network([first], list(range(8))), [], []

    def look(event):
        if isinstance(event, Step) and event.task == 2:
            curve.append(score(net, first, "test", second))
            if len(curve) == 1:
                weights.append(net.synapses.theta.copy())

    history = learn(net, rule, [first, second], listeners=[look])
    return history.test_accuracy[:, 0, 0], np.array(curve), weights[0]


runs = {
    "fine-tuning": watched(pysi.FineTuning()),
    "si": watched(pysi.SynapticIntelligence(c=1.0)),
    "buffer": watched(Buffer(20)),
}
epoch = len(runs["si"][1]) // 4  # steps in one of the four epochs
assert np.array_equal(runs["si"][2], runs["fine-tuning"][2])  # after the first step

# %% [markdown]
# The assertion says that after the first step of task 2 the networks with SI and without any rule
# are the same, to the last bit.
#
# **Question.** Why?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# In task 1 there is no penalty yet, since $\Omega = 0$. In task 2 its gradient is
# $2c\,\Omega_k(\theta_k - \tilde\theta_k)$, which is zero at the first step, because
# $\theta = \tilde\theta$ there, whatever $c$ and $\Omega$ are. A penalty on weights resists only
# after something has moved.
#
# </details>

# %% [markdown]
# **Exercise 4.** Measure the gap. You get the accuracy at the switch, `before`, one number per
# network, and `curve`, (steps, networks), the accuracy after each step of the first epoch. Return
# the *depth* of the dip, which is how far the lowest accuracy lies below `before`, and what is
# *regained*, which is how far the last accuracy lies above the lowest. Both have one number per
# network.


# %% tags=["exercise", "hide-input"]
def gap(before, curve):
    """Return the depth of the dip, and how much of it is regained, each (networks,)."""
    # your code: depth and regained
    lowest = curve.min(axis=0)
    return before - lowest, curve[-1] - lowest


# %% tags=["check"]
both = gap(np.array([1.0, 0.9]), np.array([[0.5, 0.9], [0.75, 0.95], [0.9, 0.4], [0.8, 0.7]]))
assert isinstance(both, tuple) and len(both) == 2, "Return two arrays: depth and regained."
assert all(np.shape(found) == (2,) for found in both), (
    "Return one number per network: the lowest accuracy is that over steps, the first axis."
)
assert np.allclose(both[0], [0.5, 0.5]), (
    "The depth is the accuracy at the switch minus the lowest one, for each network by itself."
)
assert np.allclose(both[1], [0.3, 0.3]), (
    "What is regained is the accuracy after the *last* step minus the lowest one."
)

# %% [markdown] tags=["instructor", "remove-cell"]
# The lowest accuracy of the mean curve. The dips of several networks are at different steps, so
# their mean is less deep than each of them.
#
# ```python
# lowest = curve.mean(axis=1).min()
# return before - lowest, curve[-1] - lowest
# ```
#
# What is lost at the end. This is what the matrix of accuracies shows, and not the dip.
#
# ```python
# return before - curve[-1], curve[-1] - curve.min(axis=0)
# ```
#
# The largest minus the smallest accuracy, although the largest may come before the dip.
#
# ```python
# lowest = curve.min(axis=0)
# return before - lowest, curve.max(axis=0) - lowest
# ```

# %%
dips = {name: gap(before, curve[:epoch]) for name, (before, curve, _) in runs.items()}
for name, (depth, regained) in dips.items():
    print(f"{name:12} depth {pysi.interval(depth)}   regained {pysi.interval(regained)}")

# %% [markdown]
# **Try.** Is the dip there because 20 digits are too few? Keep *all* 400 training digits of each
# class. You will see that at the end of the task less is lost than with 20 digits, but the dip in
# the first epoch is as deep. So the dip does not come from a small memory. (Hess et al., 2023,
# found the dip even where a network is trained again on all earlier data.)

# %%
runs["everything"] = watched(Buffer(400))
before, curve, _ = runs["everything"]
dips["everything"] = gap(before, curve[:epoch])
deeper = pysi.interval(dips["everything"][0] - dips["buffer"][0])
kept_better = pysi.interval(curve[-1] - runs["buffer"][1][-1])
print("depth with all digits minus depth with 20:       ", deeper)
print("end of task 2, with all digits minus with 20:    ", kept_better)
assert deeper.within(-0.05, 0.05) and kept_better.above(0)

# %% tags=["hide-input"]
looks = {"fine-tuning": (FREE, "-", "fine-tuning"), "si": (SI, "--", "SI, $c = 1$"),
         "buffer": (REPLAY, "-", "20 digits kept"),
         "everything": (REPLAY, ":", "all digits kept")}  # fmt: skip
fig, axes = plt.subplots(1, 2, figsize=(8.6, 3.5))
for ax in axes:
    for name, (c, line, label) in looks.items():
        before, curve, _ = runs[name]
        mean = np.r_[before.mean(), curve.mean(axis=1)]
        ax.plot(mean, color=c, ls=line, lw=2.2, label=label)
    ax.set_xlabel("step of task 2")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set(title="all of task 2", ylabel="accuracy on task 1", xlim=(0, 4 * epoch))
axes[0].set_xticks(range(0, 4 * epoch + 1, epoch))
axes[1].set(title="its first epoch, enlarged", xlim=(0, epoch), ylim=(0.74, 1.01))
axes[0].legend(loc="center right")
plt.show()

# %% [markdown]
# The lines are means over eight networks. With replay the accuracy on task 1 falls by about a fifth
# in the first steps, and most of that is regained before the first epoch has ended. The accuracy
# matrix, whose entries are written at the right end of the left panel, shows nothing of it. SI has
# no gap in this scenario, because nothing is regained: its curve lies on that of fine-tuning.
#
# Does it matter? It does if the network is in use while it learns: then its worst moment counts.
# De Lange et al. propose to report the *minimum* of an old task's accuracy beside its last value.

# %% [markdown]
# ## On your own
#
# 1. `pysi.Together(pysi.SynapticIntelligence(c=1.0), Buffer(20))` follows both rules. Is it better
#    than the buffer alone in the scenario *class*? And in the scenario *domain*? Use eight seeds,
#    and decide by the interval of the difference.
# 2. How does the accuracy in the scenario *class* grow with $n$? Draw it for $n = 1$ to 100 on a
#    logarithmic axis, with joint training as a line above it.
# 3. What makes the stability gap smaller? Try a smaller learning rate, a larger batch, and
#    `reset_optimizer=False`. Which of them shrinks the dip, and which only delays it?

# %% [markdown]
# ## In practice
#
# * Ask first which scenario you have. If the network must find out the task by itself, a penalty on
#   weights will not do it, whichever $\Omega$ it uses: SI, EWC and MAS were all measured at about
#   one fifth on split MNIST (Hsu et al., 2018).
# * Compare with the simplest things: fine-tuning, joint training, and a buffer of a few examples.
# * Search $c$ over decades, and look at the newest task as well as at the old ones.
# * Give differences that are paired by seed, with intervals. Four seeds are few; we used them here
#   because the effects are large.
# * If the network is used while it learns, test it while it learns.

# %% [markdown]
# ## Further reading
#
# * [Three scenarios](../scenarios.md), [Replay](../methods/replay.md), and the derivation
#   [The surrogate loss](../derivations/surrogate.md).
# * van de Ven & Tolias (2019), [Three scenarios for continual
#   learning](https://arxiv.org/abs/1904.07734); Hsu et al. (2018), [Re-evaluating continual
#   learning scenarios](https://arxiv.org/abs/1810.12488).
# * De Lange, van de Ven & Tuytelaars (2023), [Continual evaluation for lifelong learning:
#   identifying the stability gap](https://openreview.net/forum?id=Zy350cRstc6); Hess et al. (2023),
#   [on the same gap when all data are kept](https://proceedings.mlr.press/v249/hess24a.html).
# * Robins (1995), *Catastrophic forgetting, rehearsal and pseudorehearsal*, Connection Science.
# * Two criticisms that this notebook leaves out: Benzing (2022), that $\omega$ is mostly noise of
#   minibatches ([notebook 3](03_the_path_integral.ipynb) and
#   [SIU, SIB and SOS](../methods/siu-sib-sos.md)); and Huszár (2018), that a penalty for each task
#   counts old tasks several times.

# %% [markdown]
# ## The claims

# %%
# scenarios: near joint, some way, not at all
assert gain["task"].above(0.05) and lack["task"].below(0.05)
assert gain["domain"].above(0.05) and lack["domain"].above(0.1)
assert gain["class"].within(-0.05, 0.05) and lack["class"].above(0.6)
assert confusion[:, 8:].sum(axis=1).min() > 0.9  # everything is called 8 or 9
assert confusion[4, 9] > 0.7 and confusion[5, 8] > 0.7
assert in_domain[2] < 0.3  # below chance
assert abs(matrices["class"]["si"] - expected).max() < 0.05  # it knows only the last pair

# correlated curvature: exact along the axes, worse than no rule at 45° (joint, no rule, SI)
assert np.isclose(sums[0][2], sums[0][0]) and np.isclose(excesses[0], 0)
assert np.allclose(sums[45], [0.33, 0.47, 2.23], atol=0.005)
assert worse[0] == 0 and 0.2 < worse[45] < 0.35 and 0.25 < excesses[45] < 0.4
assert importances[45][0] > 4 * two_tasks(45)[0].H[0, 0] / 2
assert nets["task"].synapses.theta.shape[-1] == 55_050

# c: the old tasks are lost at one end, the new one is not learned at the other
assert pysi.interval(old_tasks[4] - old_tasks[0]).above(0.2)
assert pysi.interval(new_task[0] - new_task[-1]).above(0.3)
for window in (all_tasks[3], all_tasks[4]):  # c = 1 and c = 10
    assert pysi.interval(window - all_tasks[0]).above(0.05)
    assert pysi.interval(window - all_tasks[-1]).above(0)

# replay works where SI does not, and is not joint training; with a capacity it keeps a fair sample
assert better.above(0.4) and alike.within(-0.1, 0.1) and left_open.above(0.1)
reservoir, tasks = pysi.Replay(capacity=200), pysi.in_scenario(split, "class")
net = pysi.MLP([784, 2, 10], seed=range(8))
pysi.train(net, pysi.Adam(), reservoir, tasks, epochs=1, batch_size=400)
share = np.bincount(reservoir.targets.ravel() // 2) / (8 * 200)
assert abs(share - 1 / 5).max() < 0.04, "Each of the five tasks must have a fifth of the room."

# the stability gap: a dip that is regained with replay, and not with SI
assert pysi.interval(dips["buffer"][0]).above(0.1) and pysi.interval(dips["buffer"][1]).above(0.1)
assert dips["si"][1].max() == 0
