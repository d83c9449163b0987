"""The executable specification: Synaptic Intelligence for one scalar synapse at a time.

Slow and plain on purpose. It is written after the paper and the authors' code, not after the
package, and the table must equal it.
"""

from dataclasses import dataclass
from math import sqrt


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
