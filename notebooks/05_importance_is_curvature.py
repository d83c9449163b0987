# %% [markdown]
# # 5. Importance is curvature
#
# **What you will do.** On a quadratic loss everything about Synaptic Intelligence (SI) can be
# computed. You write its importances in the two cases that the paper solves, average them over
# starts, and watch the Hessian appear. On the way you meet six slips of the printed theory. Then
# you compare importance with curvature in trained networks.
#
# **What you will learn.** Why $\langle Q \rangle = \tfrac12 \sigma^2 H$ (Eqs. 6 to 14), how many
# starts it takes, what Eq. 5 makes of it, and which power of the Fisher information $\Omega$
# follows in a network.
#
# **What you need.** Eigenvalues and eigenvectors; [notebook 3](03_the_path_integral.ipynb) for
# $\omega$ and [notebook 4](04_the_surrogate_loss.ipynb) for $\Omega$.
#
# **Time.** About 35 minutes.

# %% tags=["hide-input"]
import matplotlib.pyplot as plt
import numpy as np

import pysi
from pysi.figures.style import colour, shades, use
from pysi.rules.fisher import diagonal_fisher
from pysi.theory import importance, normalization
from pysi.theory.curvature import correlations, hessian_diagonal
from pysi.theory.paths import record
from pysi.theory.quadratic import Quadratic, random_hessian

use()
SI, HESSIAN, EXACT = colour("si"), colour("hessian"), colour("exact")
GREYS = plt.colormaps["Greys"].with_extremes(over="0.45")
rng = np.random.default_rng(0)


def bare(*axes):
    """Remove the frame at the top and on the right."""
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)


def differ(A, B):
    """The largest difference between two arrays, relative to the largest entry."""
    return abs(A - B).max() / abs(B).max()


def measured_Q(H, d, lr=0.002, steps=20_000):
    """Q and the movement Δ, by gradient descent in small steps: -Σ g Δθᵀ."""
    E = Quadratic(H, np.zeros(len(d)))
    path = E.descend(d, lr, steps)
    return importance.Q_sum(path, E.gradient(path[:-1])), path[-1] - path[0]


# %% [markdown]
# ## Theory: the matrix Q
#
# The loss of Section 4 is
#
# $$E(\theta) = \tfrac12 (\theta - \theta^*)^\top H\, (\theta - \theta^*) \quad \text{(Eq. 6)}.$$
#
# In the limit of small steps, gradient descent becomes a flow,
# $\tau\, d\theta/dt = -H(\theta - \theta^*)$ (Eq. 7). Its solution is
#
# $$\theta(t) = \theta^* + e^{-Ht/\tau} (\theta(0) - \theta^*) \quad \text{(Eq. 8)}:$$
#
# along each eigenvector $u^\alpha$ of $H$ the distance to the minimum decays at a rate of its own,
# $\lambda_\alpha / \tau$. The figure shows eight starts in two dimensions, and steps of descent
# (dots) that follow the flow (lines).

# %% tags=["hide-input"]
bowl = Quadratic(random_hessian([0.25, 1.5], np.random.default_rng(5)), [0.0, 0.0])
angles = np.linspace(0, 2 * np.pi, 9)[:-1]
starts = 1.8 * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
flows = bowl.flow(starts, np.linspace(0, 25, 800))

fig, ax = plt.subplots(figsize=(4.2, 3.6))
a, b = np.meshgrid(np.linspace(-2, 2, 150), np.linspace(-2, 2, 150))
values = np.sqrt(bowl.value(np.stack([a, b], axis=-1)))
ax.contourf(a, b, values, np.linspace(0, 2.2, 11), cmap=GREYS, vmax=4, extend="max")
ax.plot(*flows.transpose(2, 1, 0), color="white", lw=2)
ax.plot(*bowl.descend(starts, 0.4, 6).transpose(2, 1, 0), "o", color=EXACT, ms=4)
ax.plot(0, 0, "*", color="white", mec="black", ms=15)
ax.set(aspect="equal", xlabel=r"$\theta_1$", ylabel=r"$\theta_2$")
plt.show()

# %% [markdown]
# The velocity is $d\theta/dt = -\frac1\tau H e^{-Ht/\tau} (\theta(0) - \theta^*)$ (Eq. 9). The
# importances of Eq. 3, $\omega_k = -\int g_k\, d\theta_k$, are therefore the diagonal of
#
# $$Q = \tau \int_0^\infty \frac{d\theta}{dt} \frac{d\theta}{dt}^\top dt \quad \text{(Eq. 10)},
#   \qquad Q_{ij} = \sum_{\alpha\beta} u_i^\alpha d_\alpha
#   \frac{\lambda_\alpha \lambda_\beta}{\lambda_\alpha + \lambda_\beta} d_\beta u_j^\beta
#   \quad \text{(Eq. 11)},$$
#
# with $d = \theta(0) - \theta^*$ in the eigenbasis. The time constant $\tau$ has dropped out: the
# speed of the flow does not matter.
#
# > **Slip 1: a sign.** The text before Eq. 10 says $g = \tau\, d\theta/dt$. By Eq. 7 it is
# > $g = -\tau\, d\theta/dt$. With the printed sign every $\omega$ would be negative. Eq. 10 is
# > right.
#
# We take a Hessian from real data. When a linear unit learns to read digits by least squares, its
# Hessian is the covariance of the pixels. We take 7 × 7 pixels, and compute $Q$ in three ways: step
# by step as SI does, by Eq. 11, and as the solution of Lyapunov's equation
# $HQ + QH = H d\, d^\top H$. The cell prints the largest differences, relative to the largest
# entry. They are rounding errors, or they shrink with the step $\eta$.

# %%
data = pysi.load_dataset("mnist-5k")
small = data.x_train.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49) / 255
H = np.cov(small.T, bias=True)
d = rng.standard_normal(49)

in_modes, lyapunov = importance.Q_flow(H, d), importance.Q_lyapunov(H, d)
to_flow = [differ(importance.Q_descent(H, d, lr), in_modes) for lr in (0.5, 0.05, 0.005)]
summed, _ = measured_Q(H, d, lr=0.5, steps=400)
print(f"Eq. 11 from Lyapunov's equation:           {differ(in_modes, lyapunov):.0e}")
print("descent from flow, η = 0.5, 0.05, 0.005:  ", *(f"{gap:.0e}" for gap in to_flow))

# %% [markdown]
# ## Theory: averaged over starts
#
# One $Q$ depends on where training began. Let $d$ be random, each component with variance
# $\sigma^2$ and independent of the others. Then
# $\langle d_\alpha d_\beta \rangle = \sigma^2 \delta_{\alpha\beta}$, only $\alpha = \beta$
# survives, $\lambda^2 / 2\lambda = \lambda / 2$, and
#
# $$\langle Q \rangle = \tfrac12 \sigma^2 H \quad \text{(Eq. 12)}.$$
#
# So on average the synapses measure the curvature.
#
# **Exercise 1.** Write $\langle Q \rangle$ as a mean over $n$ random starts. Draw $n$ vectors $d$
# from a normal distribution of standard deviation $\sigma$ (`rng.standard_normal` has standard
# deviation 1). `importance.Q_flow(H, d)` is Eq. 11; for `d` of shape $(n, P)$ it returns $n$
# matrices, $(n, P, P)$.


# %% tags=["exercise", "hide-input"]
def mean_of_Q(H, sigma, n, rng):
    """The mean of Q over n random starts."""
    # your code: draw n starts d, compute Q for each, and return the mean of the matrices
    d = sigma * rng.standard_normal((n, len(H)))
    return importance.Q_flow(H, d).mean(axis=0)


# %% tags=["check"]
pair, n = np.array([[2.0, 1.0], [1.0, 2.0]]), 100_000
found = mean_of_Q(pair, 2.0, n, np.random.default_rng(1))
allowed = 6 * np.sqrt(importance.Q_variance(pair, 2.0).max() / n)  # six standard errors
assert np.shape(found) == (2, 2), "Return one matrix: the mean over the n starts, axis 0."
assert not np.allclose(found, pair / 2, atol=allowed / 2), "d must have the standard deviation σ."
assert abs(found).max() > 0.5, "Q of the mean start is about 0: average the matrices, not the d."
assert abs(found - importance.Q_mean(pair, 2.0)).max() < allowed, (
    "This is not ½ σ² H: draw n independent starts of standard deviation σ, and take the mean."
)

# %% [markdown] tags=["instructor", "remove-cell"]
# The mean is taken over the starts, and not over their Q:
#
# ```python
# d = sigma * rng.standard_normal((n, len(H))).mean(axis=0)
# return importance.Q_flow(H, d)
# ```
#
# σ is forgotten:
#
# ```python
# d = rng.standard_normal((n, len(H)))
# return importance.Q_flow(H, d).mean(axis=0)
# ```
#
# σ is taken for the variance:
#
# ```python
# d = sigma**0.5 * rng.standard_normal((n, len(H)))
# return importance.Q_flow(H, d).mean(axis=0)
# ```
#
# All n matrices are returned:
#
# ```python
# d = sigma * rng.standard_normal((n, len(H)))
# return importance.Q_flow(H, d)
# ```
#
# Nothing is returned:
#
# ```python
# d = sigma * rng.standard_normal((n, len(H)))
# importance.Q_flow(H, d).mean(axis=0)
# ```

# %% [markdown]
# The figure shows your means for the Hessian of the pixels, over 1, 10 and 1000 starts, beside
# their limit, with one square per pair of pixels.

# %% tags=["hide-input"]
limit = importance.Q_mean(H, 1.0)
pictures = {f"mean of {n}": mean_of_Q(H, 1.0, n, rng) for n in (1, 10, 1000)}
pictures["one start"] = pictures.pop("mean of 1")
fig, axes = plt.subplots(2, 2, figsize=(6, 5.2))
names = ("one start", "mean of 10", "mean of 1000", r"$\frac{1}{2}\sigma^2 H$")
for ax, name in zip(axes.flat, names, strict=True):
    scale = 0.6 * abs(limit).max()
    shown = ax.imshow(pictures.get(name, limit), cmap="PuOr_r", vmin=-scale, vmax=scale)
    ax.set(title=name, xticks=[], yticks=[])
fig.colorbar(shown, ax=axes, shrink=0.7, extend="both", label="$Q$")
plt.show()

# %% [markdown]
# How many starts does it take? For Gaussian $d$ the variance of each $Q_{ij}$ is known exactly
# (Wick's theorem), so the error of the mean over $n$ starts can be predicted without any free
# parameter (line). The dots are measured, 20 times for each $n$.

# %% tags=["hide-input"]
counts = 10 ** np.arange(6)
errors = np.array([[np.sqrt(((importance.Q_monte_carlo(H, 1.0, n, rng) - limit) ** 2).mean())
                    for _ in range(20)] for n in counts])  # fmt: skip
predicted = np.sqrt(importance.Q_variance(H, 1.0).mean() / counts)
size = np.sqrt((limit**2).mean())

fig, ax = plt.subplots(figsize=(5.6, 3.2))
ax.loglog(counts, errors / size, ".", color=SI, ms=5, alpha=0.5)
typical = np.sqrt((errors**2).mean(axis=1))
ax.loglog(counts, typical / size, "o", color=SI, ms=8, label="measured")
ax.loglog(counts, predicted / size, color=EXACT, lw=1.5, label="predicted")
ax.set(xlabel="number of starts $n$", ylabel=r"error of $\langle Q \rangle$ / its size")
ax.legend(frameon=False)
bare(ax)
plt.show()

# %% [markdown]
# **Question.** A network is trained once. How large is the error of its $Q$, compared with
# $\langle Q \rangle$? What is meant to remove it?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# At $n = 1$ the error is several times as large as the mean. One part of it is scale: a synapse
# that moves far earns more. The division by $\Delta_k^2$ in Eq. 5 is meant to remove this part.
#
# </details>

# %% [markdown]
# The paper says that the denominator of Eq. 5 "averages to $\sigma^2$", which removes the scale
# factor of Eq. 12.
#
# > **Slip 2: a mean that does not exist.** The mean of a ratio is not the ratio of the means. A
# > synapse may end where it began, with $\Delta_k = 0$, although it moved and has $Q_{kk} > 0$.
# > Near such starts $\Omega_k$ grows like $1/\Delta_k^2$, and its mean is infinite.
# >
# > **Slip 3: directions that do not move.** If $H$ has eigenvalues that are 0,
# > $\langle \Delta_k^2 \rangle$ is not $\sigma^2$ but $\sigma^2 \Pi_{kk}$, with $\Pi$ the projector
# > on the directions that move.
#
# The left panel shows the running mean of $\Omega_1 = Q_{11} / \Delta_1^2$ for four series of
# starts. The right panel shows the mean of $Q_{11}$ over the mean of $\Delta_1^2$.

# %% tags=["hide-input"]
count = np.arange(1, 200_001)
settles, wanders = [], []
for seed in range(4):
    wanders.append(normalization.mean_of_ratios(pair, count[-1], np.random.default_rng(seed))[:, 0])
    d2 = np.random.default_rng(seed).standard_normal((count[-1], 2))
    earned, moved = importance.Q_flow(pair, d2)[:, 0, 0], normalization.movement(pair, d2)[:, 0]
    settles.append(np.cumsum(earned) / np.cumsum(moved**2))
wanders, settles = np.array(wanders), np.array(settles)

fig, axes = plt.subplots(1, 2, figsize=(8, 3.2), sharey=True)
shown = np.unique(np.round(np.logspace(0, np.log10(count[-1]), 150)).astype(int)) - 1
for ax, means, title in ((axes[0], wanders, r"mean of the ratio"),
                         (axes[1], settles, "ratio of the means")):  # fmt: skip
    for one, shade in zip(means, shades(len(means)), strict=True):
        ax.loglog(count[shown], one[shown], color=shade, lw=1.8)
    ax.axhline(1, color=EXACT, lw=1, ls=":")
    ax.set(title=title, xlabel="number of starts")
    ax.minorticks_off()
axes[0].set_ylabel(r"estimate of $\frac{1}{2} H_{11} = 1$")
bare(*axes)
plt.show()

# %% [markdown]
# So $\xi$ in Eq. 5 is necessary: with it the mean exists. The ratio of the means exists without
# $\xi$.

# %% [markdown]
# ## Theory: one start
#
# In two cases one start is enough to see $H$. The first is a *diagonal* $H$. Its eigenvectors are
# the axes, and $\lambda_i = H_{ii}$. The paper prints
#
# $$Q_{ij} = \delta_{ij}\, d_i^2 H_{ii} \quad \text{(Eq. 13)}.$$
#
# **Exercise 2.** Do not believe it: write all of $Q$ from Eq. 11, for `h` = diag $H$ and `d`.
# (`h[:, None]` is the column of the $h_i$ where `h` is the row of the $h_j$.)


# %% tags=["exercise", "hide-input"]
def Q_of_axes(h, d):
    """The matrix Q for H = diag(h)."""
    # your code: Q_ij from Eq. 11 with u = 1 and λ_i = h_i, for all pairs of synapses
    hi, di = h[:, None], d[:, None]
    return di * hi * h / (hi + h) * d


# %% tags=["check"]
h, d6 = np.array([0.4, 0.8, 1.2, 1.6, 2.0, 2.4]), np.array([0.5, -1.0, 0.8, 1.5, -0.6, 1.1])
found = Q_of_axes(h, d6)
assert np.shape(found) == (6, 6), "Q is a matrix: it has one number for each pair of synapses."
assert not np.allclose(np.diag(found), d6**2 * h), (
    "This diagonal is Eq. 13 as printed. Its sum is twice the drop: λ λ / (λ + λ) is λ/2."
)
assert np.isclose(np.trace(found), 0.5 * d6 @ (h * d6)), "The trace of Q must be the loss drop."
assert np.allclose(found, importance.Q_flow(np.diag(h), d6)), (
    "Off the diagonal Q is not 0, and it has the signs of d_i d_j: take Eq. 11 for every pair."
)

# %% [markdown] tags=["instructor", "remove-cell"]
# Eq. 13 as it is printed:
#
# ```python
# return np.diag(d**2 * h)
# ```
#
# With its ½, but with the δ:
#
# ```python
# return np.diag(d**2 * h / 2)
# ```
#
# The diagonal alone, as a vector:
#
# ```python
# return d**2 * h / 2
# ```
#
# The square of one d in place of the product of two:
#
# ```python
# return d**2 * h[:, None] * h / (h[:, None] + h)
# ```
#
# The new axis is missing, so there are no pairs of $h_i$ and $h_j$:
#
# ```python
# return np.outer(d, d) * (h * h / (h + h))
# ```

# %% [markdown]
# > **Slip 4: a missing ½.** $Q_{ii} = \tfrac12 d_i^2 H_{ii}$, so
# > $\Omega_i = Q_{ii} / \Delta_i^2 = \tfrac12 H_{ii}$.
# >
# > **Slip 5: a δ.** Off the diagonal $Q_{ij} = d_i d_j H_{ii} H_{jj} / (H_{ii} + H_{jj})$. Two
# > synapses that move at the same time are correlated, even if the loss does not couple them. Only
# > the diagonal is used, so this does no harm.
#
# **Question.** The penalty is $c \sum_k \Omega_k \Delta_k^2$. Which $c$ makes it the old loss of a
# diagonal $H$? Which $c$ would it be if Eq. 13 were right?

# %% [markdown] tags=["answer"]
# <details><summary>Answer</summary>
#
# The old loss is $\tfrac12 \sum_k H_{kk} \Delta_k^2$. With $\Omega_k = \tfrac12 H_{kk}$ the
# penalty with $c = 1$ *is* the old loss. With the printed formula it would be twice the old loss,
# and the right strength would be $c = \tfrac12$.
#
# </details>

# %% [markdown]
# In the second case only one eigenvalue is not zero: $H = \lambda_1 u u^\top$, with $|u| = 1$. Then
#
# $$Q = \tfrac12 d_1^2 H, \quad d_1 = u \cdot d \quad \text{(Eq. 14)}.$$
#
# "The normalized importances then become the diagonal elements" of $H$, says the text.
#
# **Exercise 3.** Check it: write $\Omega_k = Q_{kk} / \Delta_k^2$ (Eq. 5 with $\xi = 0$). The flow
# moves $\theta$ along $u$ only, and ends when $u \cdot (\theta - \theta^*) = 0$. How far has
# synapse $k$ then moved?


# %% tags=["exercise", "hide-input"]
def Omega_rank_one(eigenvalue, u, d):
    """Ω of every synapse for H = λ₁ u uᵀ, from a start at d."""
    # your code: Q_kk by Eq. 14, the movement Δ_k of each synapse, and their ratio Q_kk / Δ_k²
    d1 = u @ d
    earned = 0.5 * d1**2 * eigenvalue * u**2
    moved = -d1 * u
    return earned / moved**2


# %% tags=["check"]
u = np.array([0.1, 0.3, 0.4, 0.45, 0.5, 0.54])
u /= np.linalg.norm(u)
H_one, found = 2.0 * np.outer(u, u), Omega_rank_one(2.0, u, d6)
assert np.shape(found) == (6,), "Return one number per synapse."
assert not np.allclose(found, np.diag(H_one) / 2), (
    "You divided by the movement of all synapses, d₁². Eq. 5 divides by synapse k's own, Δ_k²."
)
assert np.allclose(found, normalization.Omega_per_parameter(H_one, d6)), (
    "Take Q_kk = ½ d₁² λ₁ u_k² and Δ_k = -d₁ u_k: the part of d that is not along u stays."
)

# %% [markdown] tags=["instructor", "remove-cell"]
# What the paper says: divided by the whole movement:
#
# ```python
# d1 = u @ d
# return 0.5 * d1**2 * eigenvalue * u**2 / d1**2
# ```
#
# Divided by d, as if every synapse reached θ*:
#
# ```python
# d1 = u @ d
# return 0.5 * d1**2 * eigenvalue * u**2 / d**2
# ```
#
# The ½ is forgotten:
#
# ```python
# d1 = u @ d
# return d1**2 * eigenvalue * u**2 / (d1 * u) ** 2
# ```
#
# A single number, since all are the same:
#
# ```python
# return eigenvalue / 2
# ```

# %% [markdown]
# > **Slip 6: the movement of one synapse.** $Q_{kk}$ and $\Delta_k^2$ both contain $u_k^2$. So Eq.
# > 5 gives $\Omega_k = \tfrac12 \lambda_1$ for *every* synapse that moves. To get
# > $\tfrac12 H_{kk}$ one has to divide by the movement of all synapses together. But then
# > $\sum_k \Omega_k \Delta_k^2$, which equals the loss drop with Eq. 5, is too small.
#
# The figure compares both cases with gradient descent (bars). Left: $\Omega$ is half of what Eq. 13
# says. Right: with Eq. 5 (green) it is the same for all synapses; over the whole movement (grey) it
# is $\tfrac12 H_{kk}$.

# %% tags=["hide-input"]
Q_axes, moved_axes = measured_Q(np.diag(h), d6)
Q_one, moved_one = measured_Q(H_one, d6)
Omega_axes = np.diag(Q_axes) / moved_axes**2
Omega_one = np.diag(Q_one) / moved_one**2
Omega_whole = np.diag(Q_one) / (moved_one**2).sum()

fig, (left, right) = plt.subplots(1, 2, figsize=(8, 3.3))
k, half = np.arange(1, 7), np.diag(H_one) / 2
left.bar(k, Omega_axes, 0.6, color=SI, label=r"$Q_{kk} / \Delta_k^2$")
left.plot(k, h / 2, "_", color=EXACT, ms=24, mew=2, label=r"$\frac{1}{2} H_{kk}$")
left.plot(k, h, "_", color=HESSIAN, ms=24, mew=2, label="$H_{kk}$ (Eq. 13)")
left.set(title="Diagonal $H$", xlabel="synapse $k$", ylabel=r"$\Omega_k$")
right.bar(k - 0.2, Omega_one, 0.38, color=SI, label=r"$Q_{kk} / \Delta_k^2$ (Eq. 5)")
right.bar(k + 0.2, Omega_whole, 0.38, color="0.7", label=r"$Q_{kk} / |\Delta|^2$")
right.axhline(1, color=EXACT, lw=1.5, ls=":", label=r"$\frac{1}{2} \lambda_1$")
right.plot(k + 0.2, half, "_", color=EXACT, ms=16, mew=2, label=r"$\frac{1}{2} H_{kk}$")
right.set(title="$H$ of rank one", xlabel="synapse $k$", ylim=(0, 1.7))
right.legend(frameon=False, ncols=2, loc="upper center", markerscale=0.7)
left.legend(frameon=False, markerscale=0.5)
bare(left, right)
plt.show()

# %% [markdown]
# The page [Errata](../derivations/errata.md) has the six slips with their derivations. None of them
# touches the algorithm, Eqs. 3 to 5.

# %% [markdown]
# ## Networks: Fisher and Hessian
#
# In a network the curvature changes along the path, and no identity holds. The paper finds that
# $\Omega$ is still *correlated* with curvature at the end. The usual measure is the diagonal of the
# Fisher information $F$, the importance of elastic weight consolidation (EWC). For a network of
# ReLUs it equals that of the Hessian, because every logit is (piecewise) linear in any single
# weight. With tanh the two differ. Each dot is a synapse of a small network:

# %% tags=["hide-input"]
few = slice(None, None, 10)
x, y, active = small[few], data.y_train[few], np.ones(10, bool)
ends = {}
for activation in ("relu", "tanh"):
    net = pysi.MLP([49, 8, 10], activation=activation, seed=0, dtype=np.float64)
    record(net, pysi.Adam(0.01), x, y, active, 200)
    ends[activation] = diagonal_fisher(net, x, active), hessian_diagonal(net, x, y, active)

fig, axes = plt.subplots(1, 2, figsize=(8, 3.1), sharex=True, sharey=True)
for ax, (name, (fisher, curvature)) in zip(axes, ends.items(), strict=True):
    ax.axline((0, 0), slope=1, color=EXACT, lw=1, ls=":")
    ax.plot(fisher, curvature, ".", color=HESSIAN, ms=5, alpha=0.6)
    ax.set(title={"relu": "ReLU"}.get(name, name), xlabel="Fisher diagonal")
axes[0].set_ylabel("Hessian diagonal")
bare(*axes)
plt.show()

# %% [markdown]
# ## Networks: which power of the curvature?
#
# Five networks with 64 hidden units learn the digits 2 and 3: with Adam, as in the paper, and with
# plain gradient descent. The slope of $\log \Omega$ against $\log F$ is the power of $F$ that
# $\Omega$ follows.

# %%
task, seeds, xi = pysi.split_tasks(data)[1], range(5), 1e-3
trained, slopes, found = {}, {}, {}
for name, optimizer in (("Adam", pysi.Adam(1e-3)), ("descent", pysi.SGD(0.1))):
    net = pysi.MLP([784, 64, 10], seed=list(seeds), dtype=np.float64)
    theta = net.synapses.theta.copy()
    rule = pysi.SynapticIntelligence(c=0.0, xi=xi)
    pysi.train(net, optimizer, rule, [task], epochs=8, batch_size=64)
    Omega, F = net.synapses.Omega, diagonal_fisher(net, task.x_train, task.active)
    trained[name] = Omega, F, (net.synapses.theta - theta) ** 2
    lives = [(Omega[seed] > 0) & (F[seed] > 0) for seed in seeds]
    slopes[name] = np.array([np.polyfit(np.log(f[live]), np.log(o[live]), 1)[0]
                             for f, o, live in zip(F, Omega, lives, strict=True)])  # fmt: skip
    found[name] = [correlations(Omega[seed], F[seed]) for seed in seeds]


# %% tags=["hide-input"]
def correlated(name, kind):
    return np.array([getattr(each, kind) for each in found[name]])


for name, powers in slopes.items():
    print(f"{name}: slope {pysi.interval(powers)}")
print("\nmean correlation of Ω   with F  with √F  of ranks")
for name in found:
    numbers = (correlated(name, kind).mean() for kind in ("pearson", "pearson_root", "spearman"))
    print(f"{name:22}" + "".join(f"{value:9.2f}" for value in numbers))

# %% [markdown]
# The figure shows the first of the five networks. Colour is the number of synapses, on a
# logarithmic scale; the lines have the slopes ½ and 1.

# %% tags=["hide-input"]
fig, axes = plt.subplots(1, 2, figsize=(8, 3.6), sharex=True)
for ax, (name, (Omega, F, _)) in zip(axes, trained.items(), strict=True):
    live = (Omega[0] > 0) & (F[0] > 0)
    log_F, log_Omega = np.log10(F[0][live]), np.log10(Omega[0][live])
    ax.hist2d(log_F, log_Omega, bins=60, range=[(-8, -1), np.quantile(log_Omega, [0.02, 1])],
              cmap="Greens", norm="log")  # fmt: skip
    for slope, style in ((0.5, (0, (1, 1.5))), (1.0, (0, (4, 2)))):
        ax.axline((log_F.mean(), log_Omega.mean()), slope=slope, color=EXACT, lw=1.2, ls=style,
                  label=f"slope {slope:g}")  # fmt: skip
    ax.set(title=name, xlabel=r"$\log_{10} F$", xlim=(-8, -1))
axes[0].set_ylabel(r"$\log_{10} \Omega$")
axes[0].legend(frameon=False)
bare(*axes)
plt.show()

# %% [markdown]
# The ranks agree well: synapses along which the loss is curved are important. *Which power* of the
# curvature $\Omega$ follows depends on the optimizer. Plain descent makes steps proportional to
# $g$, so $\omega$ sums squares of noisy gradients, and their mean is close to $F$. Adam divides its
# steps by $\sqrt{\langle g^2 \rangle}$, so
# $\omega \sim g^2 / \sqrt{\langle g^2 \rangle} \sim \sqrt F$.
#
# **Try.** Make $\xi$ a thousand times smaller. You will see the linear correlation with $\sqrt F$
# fall, and that of the ranks fall less: where $\Delta^2$ is small the ratio is noise, as in the
# mean that does not exist. No new training is needed, because $\omega = \Omega (\Delta^2 + \xi)$.

# %%
Omega, F, moved2 = trained["Adam"]
rougher = Omega * (moved2 + xi) / (moved2 + xi / 1000)
noisy = [correlations(rougher[seed], F[seed]) for seed in seeds]
falls = {kind: correlated("Adam", kind) - np.array([getattr(each, kind) for each in noisy])
         for kind in ("pearson_root", "spearman")}  # fmt: skip
print(f"the correlation with √F falls by {pysi.interval(falls['pearson_root'])}")
print(f"the correlation of ranks falls by {pysi.interval(falls['spearman'])}")
assert pysi.interval(falls["pearson_root"] - falls["spearman"]).above(0.1)

# %% [markdown]
# ## On your own
#
# 1. Take a Hessian with two equal eigenvalues. Its eigenvectors can be chosen in many ways. Is $Q$
#    of Eq. 11 the same for all of them?
# 2. Stop descent after $n$ steps. What is $\Omega$ of one synapse then? (Compare with
#    `normalization.Omega_descent`.)
# 3. Replace Adam by `pysi.Momentum`. Which slope do you expect, and which do you find?
#
# ## In practice
#
# $\Omega$ is not a Hessian, and not a Fisher information: it follows a power of them that the
# optimizer sets. So a strength $c$ that was chosen for Adam is wrong for gradient descent. And do
# not set $\xi$ to 0: it bounds the importance of synapses that hardly moved.
# [Notebook 9](09_who_estimates_what.ipynb) asks what the difference between $\Omega$ and $F$ is
# worth in use.
#
# ## Further reading
#
# - Zenke, Poole & Ganguli (2017), Section 4; [Quadratic losses](../derivations/quadratic.md),
#   [Errata](../derivations/errata.md), [Fisher and Hessian](../derivations/fisher.md).
# - Benzing (2022), *Unifying importance based regularisation methods for continual learning*: SI
#   owes its $\sqrt F$ to the noise of minibatches more than to the path integral. (How large that
#   noise is: [notebook 3](03_the_path_integral.ipynb).)
# - Martens (2020), *New insights and perspectives on the natural gradient method*: Fisher,
#   empirical Fisher and Hessian.

# %% [markdown]
# ## The claims

# %%
# Eqs. 6 to 9: Eq. 9 is the speed of the flow, and by Eq. 7 τ times this speed is -g (slip 1)
before, there, after = (bowl.flow(starts, t, tau=2.0) for t in (1 - 1e-5, 1, 1 + 1e-5))
speed, slope = bowl.velocity(starts, 1, tau=2.0), bowl.gradient(there)
assert np.allclose(speed, (after - before) / 2e-5), "Eq. 9 must be the derivative of Eq. 8."
assert np.allclose(2.0 * speed, -slope), "The flow goes downhill, at the speed g / τ."
assert np.allclose(bowl.value(there), 0.5 * (there * slope).sum(axis=-1)), "Eq. 6 must have its ½."

# Eqs. 10, 11: three ways to Q, whose trace is the loss drop; descent tends to flow as η → 0
assert max(differ(in_modes, lyapunov), differ(summed, importance.Q_descent(H, d, 0.5, 400))) < 1e-9
assert np.isclose(np.trace(in_modes), 0.5 * d @ H @ d) and (np.diag(in_modes) >= 0).all()
assert np.allclose(np.array(to_flow[:-1]) / to_flow[1:], 10, rtol=0.1)

# Eq. 12: the error of ⟨Q⟩ is as predicted, within five standard errors of 20 repeats
square = errors**2
assert (abs(square.mean(axis=1) - predicted**2) < 5 * square.std(axis=1, ddof=1) / 20**0.5).all()
scatter = importance.Q_flow(pair, rng.standard_normal((100_000, 2))).var(axis=0)
assert np.allclose(scatter, importance.Q_variance(pair, 1.0), rtol=0.1), "Wick: two pairings count."

# slips 2 and 3: the mean of the ratio does not settle, the ratio of the means does; σ² Π_kk
assert (wanders[:, -1] > 1000).all() and abs(settles[:, -1] - 1).max() < 0.02
moves = normalization.movement(H_one, rng.standard_normal((100_000, 6)))
assert np.allclose((moves**2).mean(axis=0), u**2, rtol=0.05)

# slips 4 and 5: ½H, not H; Q is not diagonal. (Steps of 0.002 make Ω too large by up to 0.3 %.)
assert np.allclose(Omega_axes, h / 2, rtol=3e-3)
by_steps = normalization.Omega_descent(h, 0.002, 20_000)
assert np.allclose(Omega_axes, by_steps, rtol=1e-6), "How much too large Ω is, is known exactly."
by_diagonal = importance.Q_diagonal(np.diag(h), d6)
assert np.allclose(by_diagonal, np.diag(Q_of_axes(h, d6))), "Eq. 13 must have a ½ (slip 4)."
assert np.isclose(Q_axes[0, 1], d6[0] * d6[1] * h[0] * h[1] / (h[0] + h[1]), rtol=3e-3)

# slip 6: Eq. 5 gives ½λ₁ and the whole drop; the whole movement gives ½H_kk and a smaller drop
drop = 0.5 * d6 @ H_one @ d6
assert np.allclose(importance.Q_rank_one(H_one, d6), Q_one, rtol=5e-3), "Eq. 14 must have its ½."
assert np.allclose(Omega_one, 1.0, rtol=3e-3) and np.allclose(Omega_whole, half, rtol=3e-3)
assert np.isclose(Omega_one @ moved_one**2, drop, rtol=3e-3)
assert Omega_whole @ moved_one**2 < 0.5 * drop

# ReLU: the Hessian's diagonal is the Fisher's; tanh: it is not
assert np.allclose(*ends["relu"], rtol=1e-9, atol=1e-12)
assert differ(*ends["tanh"]) > 0.01

# in trained networks the ranks agree; Ω follows √F with Adam, and nearly F with descent
for name in found:
    assert pysi.interval(correlated(name, "spearman")).above(0.8)
    assert pysi.interval(correlated(name, "pearson_root") - correlated(name, "pearson")).above(0)
assert pysi.interval(slopes["Adam"]).within(0.4, 0.6)
assert pysi.interval(slopes["descent"]).within(0.75, 1.1)
assert pysi.interval(slopes["descent"] - slopes["Adam"]).above(0.2)
