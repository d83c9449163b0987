"""Synaptic Intelligence in JAX, in its usual fast form: the whole step is one compiled function.

The step has forward pass, gradient of the task's loss, gradient of the penalty, Adam and the path
integral; XLA fuses what is elementwise. The buffers of the state are donated, so that the new state
takes the place of the old one. It computes what `pysi` computes (tests/test_jax.py compares them).

JAX on a CPU has a thread pool as large as the set of cores that the process may use. The flag
--xla_cpu_multi_thread_eigen=false does not limit it (JAX 0.10: a large product then still uses two
cores). A process that shall have one thread is therefore bound to one core; `turns.Contestant`
does that for every library alike.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

BETA1, BETA2, EPS = 0.9, 0.999, 1e-8
ACCURACY_BATCH = 1000


def dense_shapes(sizes):
    return [shape for a, b in zip(sizes[:-1], sizes[1:], strict=True) for shape in ((a, b), (b,))]


CNN = [shape for a, b in ((3, 32), (32, 32), (32, 64), (64, 64)) for shape in ((3, 3, a, b), (b,))]
CNN += dense_shapes((2304, 512, 60))
"""Shapes of the weights and biases of the network of the CIFAR benchmark."""


def initial(key, shape):
    """Return Glorot's uniform distribution for a weight, zeros for a bias."""
    if len(shape) == 1:
        return jnp.zeros(shape)
    field = shape[0] * shape[1] if len(shape) == 4 else 1
    bound = (6 / (field * (shape[-2] + shape[-1]))) ** 0.5
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def dropout(key, x, p):
    if key is None or not p:
        return x
    return jnp.where(jax.random.bernoulli(key, 1 - p, x.shape), x / (1 - p), 0)


def conv_xla(x, W, b, margin):
    padding, dimensions = "SAME" if margin else "VALID", ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, W, (1, 1), padding, dimension_numbers=dimensions) + b


def conv_columns(x, W, b, margin):
    """Return the same as one matrix product, with the nine shifted images side by side."""
    if margin:
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    n, h, w, _ = x.shape
    shifted = [x[:, i : i + h - 2, j : j + w - 2] for i in range(3) for j in range(3)]
    columns = jnp.concatenate(shifted, axis=-1).reshape(n * (h - 2) * (w - 2), -1)
    return (columns @ W.reshape(columns.shape[1], -1) + b).reshape(n, h - 2, w - 2, -1)


def conv(x, W, b, margin):
    """Return the convolution; XLA's own is slow on a CPU: its gradients take twice as long."""
    return (conv_columns if jax.default_backend() == "cpu" else conv_xla)(x, W, b, margin)


def pool(x):
    """Return the maxima of 2 × 2 pixels; the gradient of `lax.reduce_window` would be slow."""
    rows = jnp.maximum(x[:, :-1:2], x[:, 1::2])
    return jnp.maximum(rows[:, :, :-1:2], rows[:, :, 1::2])


def logits_of(theta, x, p, key=None):
    """Return the logits; p are the two probabilities of dropout, which a key switches on."""
    if x.dtype == jnp.uint8:  # pixels
        x = x.astype(theta[0].dtype) / 255
    pairs = list(zip(theta[::2], theta[1::2], strict=True))
    if x.ndim == 4:
        keys = [None] * 3 if key is None else jax.random.split(key, 3)
        for block in range(2):
            first, second = pairs[2 * block : 2 * block + 2]
            x = jax.nn.relu(conv(x, *first, margin=True))
            x = pool(jax.nn.relu(conv(x, *second, margin=False)))
            x = dropout(keys[block], x, p[0])
        x = x.reshape(len(x), -1)
        W, b = pairs[4]
        x = dropout(keys[2], jax.nn.relu(x @ W + b), p[1])
        pairs = pairs[5:]
    for W, b in pairs[:-1]:
        x = jax.nn.relu(x @ W + b)
    W, b = pairs[-1]
    return x @ W + b


def loss_of(theta, x, y, active, p, key):
    logits = jnp.where(active, logits_of(theta, x, p, key), -jnp.inf)
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=-1).mean()


@partial(jax.jit, donate_argnums=0, static_argnames=("consolidated", "p"))
def si_step(state, Omega, ref, x, y, active, c, lr, *, consolidated, p):
    """Return the state after one step, and the task's loss before it."""
    theta, M, V, omega, t, key = state
    key, used = jax.random.split(key)
    loss, gradient = jax.value_and_grad(loss_of)(theta, x, y, active, p, used)
    t = t + 1
    rate, root = lr / (1 - BETA1**t), jnp.sqrt(1 - BETA2**t)

    def each(theta, M, V, omega, g, Omega, ref):
        total = g + 2 * c * Omega * (theta - ref) if consolidated else g
        M = BETA1 * M + (1 - BETA1) * total
        V = BETA2 * V + (1 - BETA2) * total * total
        delta = -rate * M / (jnp.sqrt(V) / root + EPS)
        return theta + delta, M, V, omega - g * delta

    rows = zip(theta, M, V, omega, gradient, Omega, ref, strict=True)
    theta, M, V, omega = map(list, zip(*(each(*row) for row in rows), strict=True))
    return (theta, M, V, omega, t, key), loss


@jax.jit
def si_end(theta, omega, Omega, ref, xi):
    """Return Ω, θ̃ and ω for the next task."""
    rows = zip(Omega, omega, theta, ref, strict=True)
    Omega = [jnp.maximum(0, k + w / ((p - r) ** 2 + xi)) for k, w, p, r in rows]
    return Omega, [jnp.copy(p) for p in theta], [jnp.zeros_like(w) for w in omega]


@jax.jit
def right(theta, x, y, active):
    """Return how many of these examples are classified correctly."""
    logits = jnp.where(active, logits_of(theta, x, (0, 0)), -jnp.inf)
    return (logits.argmax(-1) == y).sum()


class Trainer:
    """Network, optimizer and Synaptic Intelligence; `sizes` are an MLP's units, or "cnn".

    Images have their channels last. Bytes are pixels, which the step divides by 255. A step returns
    before it is computed: `jax.block_until_ready(trainer.state)` waits for it.
    """

    def __init__(self, sizes, c=1.0, xi=1e-3, seed=0, lr=1e-3, p=(0.25, 0.5)):
        key, *keys = jax.random.split(jax.random.key(seed), 13)
        shapes = CNN if sizes == "cnn" else dense_shapes(sizes)
        theta = [initial(k, shape) for k, shape in zip(keys, shapes, strict=False)]
        theta[-2] = jnp.zeros_like(theta[-2])
        self.c, self.xi, self.lr, self.p, self.consolidated = c, xi, lr, p, False
        self.Omega, self.ref = self.zeros(theta), [jnp.copy(w) for w in theta]
        self.state = (theta, *(self.zeros(theta) for _ in range(3)), jnp.zeros(()), key)

    theta = property(lambda self: self.state[0], doc="Weights and biases, layer by layer.")
    omega = property(lambda self: self.state[3], doc="The path integral of the task.")

    @staticmethod
    def zeros(arrays):
        return [jnp.zeros_like(array) for array in arrays]

    def reset(self):
        """Make the optimizer forget."""
        theta, M, V, omega, t, key = self.state
        self.state = (theta, self.zeros(M), self.zeros(V), omega, jnp.zeros_like(t), key)

    def step(self, x, y, active):
        """Train on one minibatch, and return the task's loss before it."""
        self.state, loss = si_step(
            self.state, self.Omega, self.ref, x, y, active, self.c, self.lr,
            consolidated=self.consolidated, p=self.p,
        )  # fmt: skip
        return loss

    def end_task(self):
        theta, M, V, omega, t, key = self.state
        self.Omega, self.ref, omega = si_end(theta, omega, self.Omega, self.ref, self.xi)
        self.state = (theta, M, V, omega, t, key)
        self.consolidated = self.c > 0

    def accuracy(self, x, y, active):
        """Return the share of examples that are classified correctly."""
        starts = range(0, len(y), ACCURACY_BATCH)
        parts = (slice(i, i + ACCURACY_BATCH) for i in starts)
        return sum(int(right(self.theta, x[i], y[i], active)) for i in parts) / len(y)


def run(tasks, seed, c, epochs, batch_size=64, sizes=(784, 256, 256, 10)):
    """Run the whole protocol on tasks of arrays; return the test accuracy after the last task."""
    import numpy as np

    rng, trainer = np.random.default_rng(seed), Trainer(sizes, c, seed=seed)
    for task in tasks:
        x, y, active = task["x_train"], task["y_train"], task["active"]
        trainer.reset()
        for _ in range(epochs):
            order = rng.permutation(len(y))
            losses = []
            for i in range(0, len(y), batch_size):
                batch = order[i : i + batch_size]
                losses.append(trainer.step(x[batch], y[batch], active))
            assert np.isfinite(losses).all()
        trainer.end_task()
        test = [trainer.accuracy(t["x_test"], t["y_test"], t["active"]) for t in tasks]
        for t in tasks:
            trainer.accuracy(t["x_train"], t["y_train"], t["active"])
    return sum(test) / len(test)
