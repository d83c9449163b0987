# %% [markdown]
# # 5. Importance is curvature
#
# **What you will do.** Compute the importances of gradient descent on a quadratic loss, where
# everything is known, in three ways; average them over starts and watch the Hessian appear; find
# four places where the printed theory needs care; and compare importance with curvature in a
# trained network.
#
# **What you will learn.** Why $\langle Q \rangle = \tfrac12 \sigma^2 H$ (Eqs. 6 to 14), how many
# starts it takes, and what $\Omega$ has to do with the Fisher information.
#
# **What you need.** Eigenvalues and eigenvectors; notebooks 3 and 4 for $\omega$ and $\Omega$.

# %%
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

# %% [markdown]
# ## Descent in a bowl
#
# The loss of Section 4 is
#
# $$E(\theta) = \tfrac12 (\theta - \theta^*)^\top H\, (\theta - \theta^*) \quad \text{(Eq. 6)}.$$
#
# In the limit of small steps, gradient descent becomes a flow,
# $\tau\, d\theta/dt = -H(\theta - \theta^*)$ (Eq. 7). It can be solved: along each eigenvector
# $u^\alpha$ of $H$ the distance to the minimum decays at its own rate $\lambda_\alpha$,
#
# $$\theta(t) = \theta^* + e^{-Ht/\tau} (\theta(0) - \theta^*) \quad \text{(Eq. 8)}.$$

# %%
bowl = Quadratic(random_hessian([0.25, 1.5], np.random.default_rng(5)), [0.0, 0.0])
angles = np.linspace(0, 2 * np.pi, 9)[:-1]
starts = 1.8 * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
flows = bowl.flow(starts, np.linspace(0, 25, 800))
ns = 2 ** np.arange(2, 11)  # steps to get to time 2
reached = [bowl.descend(starts, 2 / n, n)[:, -1] for n in ns]
distances = np.array([abs(end - bowl.flow(starts, 2.0)).max() for end in reached])

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
a, b = np.meshgrid(np.linspace(-2, 2, 150), np.linspace(-2, 2, 150))
values = np.sqrt(bowl.value(np.stack([a, b], axis=-1)))
left.contourf(a, b, values, np.linspace(0, 2.2, 11), cmap=GREYS, vmax=4, extend="max")
left.plot(*flows.transpose(2, 1, 0), color="white", lw=2)
left.plot(*bowl.descend(starts, 0.4, 6).transpose(2, 1, 0), "o", color=EXACT, ms=4)
left.plot(0, 0, "*", color="white", mec="black", ms=15)
left.set(title="Flow (lines), descent (dots)", aspect="equal")
left.set(xlabel=r"$\theta_1$", ylabel=r"$\theta_2$")
right.loglog(2 / ns, distances, "o-", color=EXACT)
right.loglog(2 / ns, 0.2 / ns, color="0.5", lw=1, ls=":")
right.text(0.03, 0.0018, r"$\propto \eta$")
right.set(xlabel=r"step $\eta$", ylabel="distance", title="Descent from flow, at time 2")
right.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# ## The matrix Q
#
# The flow moves with the velocity $d\theta/dt = -\frac1\tau H e^{-Ht/\tau} (\theta(0) - \theta^*)$
# (Eq. 9), and its gradient is $g = -\tau\, d\theta/dt$. So the importances $\omega_k$ are the
# diagonal of
#
# $$Q = \tau \int_0^\infty \frac{d\theta}{dt} \frac{d\theta}{dt}^\top dt \quad \text{(Eq. 10)},
#   \qquad Q_{ij} = \sum_{\alpha\beta} u_i^\alpha d_\alpha
#   \frac{\lambda_\alpha \lambda_\beta}{\lambda_\alpha + \lambda_\beta} d_\beta u_j^\beta
#   \quad \text{(Eq. 11)},$$
#
# with $d = \theta(0) - \theta^*$ in the eigenbasis. The time constant $\tau$ has dropped out: the
# speed of the flow does not matter. We take a Hessian from real data. When a linear unit learns to
# read digits by least squares, its Hessian is the covariance of the pixels,
# $H = \langle x x^\top \rangle$ if their means are zero. We take 7 × 7 pixels.

# %%
data = pysi.load_dataset("mnist-5k")
small = data.x_train.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49) / 255
H = np.cov(small.T, bias=True)
d = rng.standard_normal(49)
lr, n = 0.5, 400

E = Quadratic(H, np.zeros(49))
path = E.descend(d, lr, n)
summed = importance.Q_sum(path, E.gradient(path[:-1]))  # Eq. 10, step by step
in_modes = importance.Q_flow(H, d)  # Eq. 11
lyapunov = importance.Q_lyapunov(H, d)  # the solution of HQ + QH = H d dᵀ H


def differ(A, B):
    return abs(A - B).max() / abs(B).max()


print(f"Eq. 11 against Lyapunov's equation:           {differ(in_modes, lyapunov):.0e}")
print(f"summed descent against its own closed form:   "
      f"{differ(summed, importance.Q_descent(H, d, lr, n)):.0e}")  # fmt: skip
to_flow = [differ(importance.Q_descent(H, d, step), in_modes) for step in (0.5, 0.05, 0.005)]
print("descent against flow, η = 0.5, 0.05, 0.005:  ", *(f"{gap:.0e}" for gap in to_flow))

# %% [markdown]
# Descent has a closed form of its own, with the denominator
# $\lambda_\alpha + \lambda_\beta - \eta \lambda_\alpha \lambda_\beta$; it approaches that of the
# flow as $\eta \to 0$.
#
# ## Averaged over starts, Q is the Hessian
#
# A single $Q$ depends on where training began. Let $d$ be random, each component with variance
# $\sigma^2$ and independent of the others. Then
# $\langle d_\alpha d_\beta \rangle = \sigma^2 \delta_{\alpha\beta}$, only $\alpha = \beta$
# survives, $\lambda^2 / 2\lambda = \lambda / 2$, and
#
# $$\langle Q \rangle = \tfrac12 \sigma^2 H \quad \text{(Eq. 12)}.$$
#
# So on average the synapses measure the curvature. The figure shows $Q$ for one start, and its mean
# over ten and over a thousand starts (top); and the diagonals, $\omega$, as pictures of the 7 × 7
# pixels (bottom).

# %%
sigma, limit = 1.0, importance.Q_mean(H, 1.0)
pictures = {
    "one start": importance.Q_monte_carlo(H, sigma, 1, rng),
    "mean of 10": importance.Q_monte_carlo(H, sigma, 10, rng),
    "mean of 1000": importance.Q_monte_carlo(H, sigma, 1000, rng),
    r"$\frac{1}{2}\sigma^2 H$": limit,
}
fig, axes = plt.subplots(2, 4, figsize=(9, 4.9))
for (top, bottom), (name, Q) in zip(axes.T, pictures.items(), strict=True):
    scale = 0.6 * abs(limit).max()
    matrix = top.imshow(Q, cmap="PuOr_r", vmin=-scale, vmax=scale)
    top.set_title(name)
    pixels = bottom.imshow(np.diag(Q).reshape(7, 7), cmap="Greens", vmin=0, vmax=limit.max())
    for ax in (top, bottom):
        ax.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("$Q$")
axes[1, 0].set_ylabel(r"$\omega = $ diag $Q$")
fig.colorbar(matrix, ax=axes[0], shrink=0.8, extend="both")
fig.colorbar(pixels, ax=axes[1], shrink=0.8, extend="max")
plt.show()

# %% [markdown]
# How many starts does it take? For Gaussian $d$ the variance of each $Q_{ij}$ is known exactly
# (Wick's theorem). So the error of the mean over $n$ starts can be predicted without free
# parameters (line). The dots are measured, 20 times for each $n$.

# %%
counts = 10 ** np.arange(6)
errors = np.array([[np.sqrt(((importance.Q_monte_carlo(H, sigma, n, rng) - limit) ** 2).mean())
                    for _ in range(20)] for n in counts])  # fmt: skip
predicted = np.sqrt(importance.Q_variance(H, sigma).mean() / counts)
size = np.sqrt((limit**2).mean())

fig, ax = plt.subplots(figsize=(6.4, 3.4))
ax.loglog(counts, errors / size, ".", color=SI, ms=5, alpha=0.5)
typical = np.sqrt((errors**2).mean(axis=1))
ax.loglog(counts, typical / size, "o", color=SI, ms=8, label="measured")
ax.loglog(counts, predicted / size, color=EXACT, lw=1.5, label="predicted")
ax.set(xlabel="number of starts $n$", ylabel=r"error of $\langle Q \rangle$ / its size")
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)
plt.show()

# %% [markdown]
# A network is trained once. Its $\omega$ is like the first column of the heat maps, where the error
# is several times as large as the mean. That is what the division by $\Delta^2$ in Eq. 5 is for,
# and here the printed text needs care.
#
# ## Errata
#
# **A missing ½, and a delta.** For a diagonal $H$ the paper prints
# $Q_{ij} = \delta_{ij} d_i^2 H_{ii}$ (Eq. 13). Eq. 11 gives $Q_{ii} = \tfrac12 d_i^2 H_{ii}$, so
# $\Omega_i = Q_{ii} / \Delta_i^2 = \tfrac12 H_{ii}$. With $c = 1$ the penalty $\Omega\Delta^2$ *is*
# the old loss; the printed formula would make it twice the old loss. And off the diagonal $Q$ is
# not zero: two synapses that move at the same time are correlated, even if the loss does not couple
# them. (Only the diagonal is used.)
#
# **Rank one.** If only one eigenvalue $\lambda_1$ is not zero, then $Q = \tfrac12 d_1^2 H$ (Eq.
# 14), "the normalized importances then become the diagonal elements" of $H$, says the text. But Eq.
# 5 divides $Q_{kk}$ by synapse $k$'s *own* movement, $\Delta_k^2 = u_k^2 d_1^2$, and gives
# $\Omega_k = \tfrac12 \lambda_1$ for every synapse that moves. To get $\tfrac12 H_{kk}$, one has to
# divide by the movement of all synapses together, $d_1^2$. But then $\sum_k \Omega_k \Delta_k^2$,
# which equals the loss drop with Eq. 5, is too small.
#
# We measure both by descent with small steps.


# %%
def measured_Q(H, d, lr=0.002, steps=20_000):
    E = Quadratic(H, np.zeros(len(d)))
    path = E.descend(d, lr, steps)
    return importance.Q_sum(path, E.gradient(path[:-1])), path[-1] - path[0]


h = np.array([0.4, 0.8, 1.2, 1.6, 2.0, 2.4])
u = np.array([0.1, 0.3, 0.4, 0.45, 0.5, 0.54])
H_axes, H_one = np.diag(h), 2.0 * np.outer(u, u) / (u @ u)
d6 = rng.standard_normal(6)
Q_axes, moved_axes = measured_Q(H_axes, d6)
Q_one, moved_one = measured_Q(H_one, d6)
Omega_axes = np.diag(Q_axes) / moved_axes**2
Omega_one = np.diag(Q_one) / moved_one**2
Omega_whole = np.diag(Q_one) / (moved_one**2).sum()

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.3))
k = np.arange(1, 7)
left.bar(k, Omega_axes, 0.6, color=SI, label=r"measured $Q_{kk} / \Delta_k^2$")
left.plot(k, h / 2, "_", color="black", ms=28, mew=2, label=r"$\frac{1}{2} H_{kk}$ (Eq. 11)")
left.plot(k, h, "_", color=HESSIAN, ms=28, mew=2, label="$H_{kk}$ (Eq. 13 as printed)")
left.set(title="Diagonal $H$", xlabel="synapse $k$", ylabel=r"$\Omega_k$")
right.bar(k - 0.2, Omega_one, 0.38, color=SI, label=r"measured $Q_{kk} / \Delta_k^2$ (Eq. 5)")
right.bar(k + 0.2, Omega_whole, 0.38, color="0.7", label=r"measured $Q_{kk} / |\Delta|^2$")
right.axhline(1, color="black", lw=1.5, ls=":", label=r"$\frac{1}{2} \lambda_1$")
half = np.diag(H_one) / 2
right.plot(k + 0.2, half, "_", color="black", ms=18, mew=2, label=r"$\frac{1}{2} H_{kk}$")
right.set(title="$H$ of rank one", xlabel="synapse $k$", ylim=(0, 1.9))
right.legend(fontsize=9, frameon=False, ncols=2, loc="upper center", markerscale=0.7)
left.legend(fontsize=9, frameon=False, markerscale=0.5)
for ax in (left, right):
    ax.spines[["top", "right"]].set_visible(False)
plt.show()

# %% [markdown]
# **A mean that does not exist.** The paper motivates Eq. 5 by saying that its denominator averages
# to $\sigma^2$. So do we have $\langle \Omega_k \rangle = \tfrac12 H_{kk}$? No: the mean of a ratio
# is not the ratio of the means, and here it is infinite. A synapse may happen to end where it
# started, with $\Delta_k = 0$, although it moved back and forth and has $Q_{kk} > 0$. Near such
# starts $\Omega_k$ grows like $1/\Delta_k^2$, and its integral is infinite. Left: the running mean
# of $\Omega_1$ for four series of random starts. Right: the mean of $Q_{11}$ over the mean of
# $\Delta_1^2$, for the same starts.

# %%
pair = np.array([[2.0, 1.0], [1.0, 2.0]])
count = np.arange(1, 200_001)
settles, wanders = [], []
for seed in range(4):
    wanders.append(normalization.mean_of_ratios(pair, count[-1], np.random.default_rng(seed))[:, 0])
    d2 = np.random.default_rng(seed).standard_normal((count[-1], 2))
    earned, moved = importance.Q_flow(pair, d2)[:, 0, 0], normalization.movement(pair, d2)[:, 0]
    settles.append(np.cumsum(earned) / np.cumsum(moved**2))
wanders, settles = np.array(wanders), np.array(settles)

fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), sharey=True)
shown = np.unique(np.round(np.logspace(0, np.log10(count[-1]), 150)).astype(int)) - 1
for ax, means, title in ((axes[0], wanders, r"mean of the ratio $Q_{11} / \Delta_1^2$"),
                         (axes[1], settles, "ratio of the means")):  # fmt: skip
    for one, shade in zip(means, shades(len(means)), strict=True):
        ax.loglog(count[shown], one[shown], color=shade, lw=1.8)
    ax.axhline(1, color="black", lw=1, ls=":")
    ax.set(title=title, xlabel="number of starts")
    ax.minorticks_off()
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel(r"estimate of $\frac{1}{2} H_{11} = 1$")
plt.show()

# %% [markdown]
# So $\xi$ in Eq. 5 is necessary: with it the mean exists. The ratio of the means exists without
# $\xi$; for an $H$ of low rank it is $\tfrac12 H_{kk}/\Pi_{kk}$, with $\Pi$ the projector on the
# directions that move at all.
#
# ## A trained network
#
# If the loss is not quadratic, the curvature changes along the path, and no identity holds. The
# paper finds that $\Omega$ is still *correlated* with curvature at the endpoint. The usual measure
# is the diagonal of the Fisher information $F$, as in elastic weight consolidation. For a network
# of ReLUs it equals that of the Hessian, because every logit is (piecewise) linear in any single
# weight; with tanh they differ:

# %%
few = slice(None, None, 10)
x, y, active = small[few], data.y_train[few], np.ones(10, bool)
ends = {}
for activation in ("relu", "tanh"):
    net = pysi.MLP([49, 8, 10], activation=activation, seed=0, dtype=np.float64)
    record(net, pysi.Adam(0.01), x, y, active, 200)
    ends[activation] = diagonal_fisher(net, x, active), hessian_diagonal(net, x, y, active)

fig, axes = plt.subplots(1, 2, figsize=(9, 3.1), sharex=True, sharey=True)
for ax, (name, (fisher, curvature)) in zip(axes, ends.items(), strict=True):
    ax.axline((0, 0), slope=1, color="black", lw=1, ls=":")
    ax.plot(fisher, curvature, ".", color=HESSIAN, ms=5, alpha=0.6)
    ax.set(title={"relu": "ReLU"}.get(name, name), xlabel="Fisher diagonal")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("Hessian diagonal")
plt.show()

# %% [markdown]
# The next figure shows $\Omega$ against $F$ in a network with 64 hidden units that has learned the
# digits 2 and 3: with Adam, as in the paper, and with plain gradient descent. Colour is the number
# of synapses (on a logarithmic scale). The lines have the slopes ½ and 1.

# %%
task = pysi.split_tasks(data)[1]
trained = {}
for name, optimizer in (("Adam", pysi.Adam(1e-3)), ("gradient descent", pysi.SGD(0.1))):
    net = pysi.MLP([784, 64, 10], seed=0, dtype=np.float64)
    rule = pysi.SynapticIntelligence(c=0.0, xi=1e-3)
    pysi.train(net, optimizer, rule, [task], epochs=8, batch_size=64)
    trained[name] = net.synapses.Omega.copy(), diagonal_fisher(net, task.x_train, task.active)

slopes, found = {}, {}
fig, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharex=True)
for ax, (name, (Omega, fisher)) in zip(axes, trained.items(), strict=True):
    live = (Omega > 0) & (fisher > 0)
    log_F, log_Omega = np.log10(fisher[live]), np.log10(Omega[live])
    slopes[name], _ = np.polyfit(log_F, log_Omega, 1)
    ax.hist2d(log_F, log_Omega, bins=60, range=[(-8, -1), np.quantile(log_Omega, [0.02, 1])],
              cmap="Greens", norm="log")  # fmt: skip
    for slope, style in ((0.5, (0, (1, 1.5))), (1.0, (0, (4, 2)))):
        ax.axline((log_F.mean(), log_Omega.mean()), slope=slope, color="black", lw=1.2, ls=style,
                  label=f"slope {slope:g}")  # fmt: skip
    ax.set(title=f"{name}: slope {slopes[name]:.2f}", xlabel=r"$\log_{10} F$", xlim=(-8, -1))
    ax.spines[["top", "right"]].set_visible(False)
    found[name] = c = correlations(Omega, fisher)
    print(f"{name:17} correlation with F {c.pearson:.2f}, with √F {c.pearson_root:.2f}, "
          f"of ranks {c.spearman:.2f}")  # fmt: skip
axes[0].set_ylabel(r"$\log_{10} \Omega$")
axes[0].legend(fontsize=9, frameon=False)
plt.show()

# %% [markdown]
# The ranks agree well: synapses along which the loss is curved are important. The slope shows
# *which power* of the curvature $\Omega$ follows, and this depends on the optimizer. Plain descent
# makes steps proportional to $g$, so $\omega$ sums squares of (noisy) gradients, and their mean is
# close to $F$. Adam divides its steps by the square root of the mean square gradient, so
# $\omega \sim g^2 / \sqrt{\langle g^2 \rangle} \sim \sqrt F$. Benzing (2022, *Unifying importance
# based regularisation methods for continual learning*) argues that in practice Synaptic
# Intelligence owes its $\sqrt F$ to the noise of minibatches more than to the path integral.
# Notebook 3 shows how large that noise can be.
#
# ## The claims

# %%
# Eqs. 7, 8: half the step, half the distance between descent and flow
assert np.allclose(distances[3:-1] / distances[4:], 2, rtol=0.1)

# Eqs. 10, 11: three ways to Q, whose trace is the loss drop; descent tends to flow as η → 0
assert max(differ(in_modes, lyapunov), differ(summed, importance.Q_descent(H, d, lr, n))) < 1e-9
assert np.isclose(np.trace(in_modes), E.value(d))
assert np.allclose(np.array(to_flow[:-1]) / to_flow[1:], 10, rtol=0.1)

# Eq. 12: the error of ⟨Q⟩ is as predicted, within five standard errors of 20 repeats
square = errors**2
assert (abs(square.mean(axis=1) - predicted**2) < 5 * square.std(axis=1, ddof=1) / 20**0.5).all()

# Eq. 13: ½H, not H; Q is not diagonal. Steps of 0.002 make Ω too large by up to 0.3 %
assert np.allclose(Omega_axes, h / 2, rtol=3e-3)
assert np.isclose(Q_axes[0, 1], d6[0] * d6[1] * h[0] * h[1] / (h[0] + h[1]), rtol=3e-3)

# Eq. 14: Eq. 5 gives ½λ1 and the whole drop; division by the whole movement ½H and a smaller one
drop = 0.5 * d6 @ H_one @ d6
assert np.allclose(Omega_one, 1.0, rtol=3e-3) and np.allclose(Omega_whole, half, rtol=3e-3)
assert np.isclose(Omega_one @ moved_one**2, drop, rtol=3e-3)
assert Omega_whole @ moved_one**2 < 0.5 * drop

# the mean of the ratio does not settle; the ratio of the means does
assert (wanders[:, -1] > 1000).all() and abs(settles[:, -1] - 1).max() < 0.02

# ReLU: the Hessian's diagonal is the Fisher's; tanh: it is not
assert np.allclose(*ends["relu"], rtol=1e-9, atol=1e-12)
assert differ(*ends["tanh"]) > 0.01

# in trained networks Ω follows the curvature's root with Adam, and nearly itself with descent
assert all(c.spearman > 0.9 and c.pearson_root > c.pearson > 0.4 for c in found.values())
assert 0.4 < slopes["Adam"] < 0.6 and 0.75 < slopes["gradient descent"] < 1.1

# %% [markdown]
# **Try.** Train with `xi=1e-6`. The linear correlations become much smaller, the rank correlation
# less so: at small $\Delta$ the ratio is noise, as in the mean that does not exist.
