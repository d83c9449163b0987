"""The executable specification: slow and plain on purpose. The package must equal it.

It has Synaptic Intelligence for one scalar synapse at a time, written after the paper and the
authors' code, and convolution and pooling of one image, index by index.
"""

from dataclasses import dataclass
from itertools import product
from math import ceil, sqrt

import numpy as np


@dataclass
class Synapse:
    theta: float
    omega: float = 0.0
    Omega: float = 0.0
    theta_ref: float = 0.0
    # Adam
    m: float = 0.0
    v: float = 0.0
    t: int = 0
    # momentum
    u: float = 0.0

    def __post_init__(self):
        self.theta_ref = self.theta

    def penalised(self, g, c):
        return g + 2 * c * self.Omega * (self.theta - self.theta_ref)

    def step_sgd(self, g, c, lr):
        self.move(-lr * self.penalised(g, c), g)

    def step_momentum(self, g, c, lr, momentum):
        self.u = momentum * self.u + self.penalised(g, c)
        self.move(-lr * self.u, g)

    def step_adam(self, g, c, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        total = self.penalised(g, c)
        self.t += 1
        self.m = beta1 * self.m + (1 - beta1) * total
        self.v = beta2 * self.v + (1 - beta2) * total * total
        m_hat = self.m / (1 - beta1**self.t)
        v_hat = self.v / (1 - beta2**self.t)
        self.move(-lr * m_hat / (sqrt(v_hat) + eps), g)

    def move(self, delta, g):
        before = self.theta
        self.theta += delta
        self.omega -= g * (self.theta - before)

    def end_task(self, xi, clamp):
        change = self.theta - self.theta_ref
        denominator = change * change + xi
        contribution = self.omega / denominator if denominator > 0 else 0.0
        if clamp == "per_task":
            contribution = max(0.0, contribution)
        self.Omega += contribution
        if clamp == "cumulative":
            self.Omega = max(0.0, self.Omega)
        self.theta_ref = self.theta
        self.omega = 0.0

    def reset_optimizer(self):
        self.m = self.v = self.u = 0.0
        self.t = 0


def places(size, kernel, stride, padding):
    """Return how many places a kernel has along one side of an image, and the zeros before it.

    "same" is that of TensorFlow: if the number of zeros is odd, one more is behind the image.
    """
    if padding == "valid":
        return (size - kernel) // stride + 1, 0
    out = ceil(size / stride)
    return out, max(0, (out - 1) * stride + kernel - size) // 2


def convolution(x, W, b, stride, padding):
    """Convolve one image (H, W, C) with a kernel (kh, kw, C, K), every product by itself."""
    (height, width, _), (kh, kw, channels, n_out) = x.shape, W.shape
    h, above = places(height, kh, stride[0], padding)
    w, left = places(width, kw, stride[1], padding)
    y = np.zeros((h, w, n_out))
    for p, q, k in product(range(h), range(w), range(n_out)):
        y[p, q, k] = b[k]
        for i, j in product(range(kh), range(kw)):
            row, column = stride[0] * p + i - above, stride[1] * q + j - left
            if 0 <= row < height and 0 <= column < width:
                for c in range(channels):
                    y[p, q, k] += x[row, column, c] * W[i, j, c, k]
    return y


def largest(x, size):
    """Return the largest pixel of every window, and its place: {(p, q, c): (row, column)}.

    Among equal pixels it is the first one in the first column that has one.
    """
    down, across = size
    h, w, channels = x.shape[0] // down, x.shape[1] // across, x.shape[2]
    y, where = np.zeros((h, w, channels), x.dtype), {}
    for p, q, c in product(range(h), range(w), range(channels)):
        for column, row in product(range(across * q, across * (q + 1)),
                                   range(down * p, down * (p + 1))):  # fmt: skip
            if (p, q, c) not in where or x[row, column, c] > y[p, q, c]:
                y[p, q, c], where[p, q, c] = x[row, column, c], (row, column)
    return y, where
