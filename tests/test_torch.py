"""PyTorch as an oracle: the same run, step by step, by autograd and torch.optim.Adam."""

import numpy as np
import pytest

import pysi
from pysi.training import shuffled, training_step
from strategies import toy_tasks

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the oracle is optional")

SIZES, BATCH, EPOCHS, XI = (12, 9, 7, 6), 16, 2, 1e-3


class TorchSI:
    """Synaptic Intelligence on a PyTorch network, after the paper."""

    def __init__(self, net, c):
        widths, layers = zip(SIZES[:-1], SIZES[1:], strict=True), []
        for n_in, n_out in widths:
            layers += [torch.nn.Linear(n_in, n_out, dtype=torch.float64), torch.nn.ReLU()]
        self.net, self.c = torch.nn.Sequential(*layers[:-1]), c
        linears = [m for m in self.net if isinstance(m, torch.nn.Linear)]
        for i, linear in enumerate(linears, start=1):
            W, b = net.synapses.group(f"dense{i}.W"), net.synapses.group(f"dense{i}.b")
            linear.weight.data = torch.tensor(W.theta.T.copy())
            linear.bias.data = torch.tensor(b.theta.copy())
        self.parameters = list(self.net.parameters())
        self.ref = [p.detach().clone() for p in self.parameters]
        self.omega = [torch.zeros_like(p) for p in self.parameters]
        self.Omega = [torch.zeros_like(p) for p in self.parameters]

    def reset(self):
        self.adam = torch.optim.Adam(self.parameters, lr=0.01)

    def step(self, x, y, active):
        logits = self.net(torch.tensor(x)).masked_fill(~torch.tensor(active), -torch.inf)
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(y))
        gradients = torch.autograd.grad(loss, self.parameters)
        rows = zip(self.Omega, self.parameters, self.ref, strict=True)
        penalty = self.c * sum((k * (p - r) ** 2).sum() for k, p, r in rows)
        self.adam.zero_grad()
        penalty.backward()
        before = [p.detach().clone() for p in self.parameters]
        for p, g in zip(self.parameters, gradients, strict=True):
            p.grad += g
        self.adam.step()
        for w, p, old, g in zip(self.omega, self.parameters, before, gradients, strict=True):
            w -= g * (p.detach() - old)
        return loss.item()

    def end_task(self):
        for i, p in enumerate(self.parameters):
            change = p.detach() - self.ref[i]
            self.Omega[i] = torch.relu(self.Omega[i] + self.omega[i] / (change**2 + XI))
            self.ref[i] = p.detach().clone()
            self.omega[i].zero_()

    def row(self, tensors):
        """Flattened as the table is: weights as (n_in, n_out), then biases."""
        return np.concatenate([t.detach().numpy().T.ravel() for t in tensors])


@pytest.mark.parametrize("c", [0.0, 1.0])
def test_a_training_run_equals_pytorch_step_by_step(c):
    net = pysi.MLP(SIZES, seed=3, dtype=np.float64)
    rule, optimizer = pysi.SynapticIntelligence(c, xi=XI), pysi.Adam(0.01)
    oracle = TorchSI(net, c)
    rule.start(net.synapses)
    s = net.synapses

    def compare():
        rows = [oracle.parameters, oracle.omega, oracle.Omega, oracle.ref]
        for name, tensors in zip(("theta", "omega", "Omega", "theta_ref"), rows, strict=True):
            # rounding, amplified over at most 30 steps of Adam, whose first steps are ±η whatever
            # the size of g; Ω divides by Δ² + ξ ≥ 1e-3
            assert np.allclose(getattr(s, name), oracle.row(tensors), rtol=1e-6, atol=1e-9), name

    for i, task in enumerate(toy_tasks()):
        optimizer.start(s)
        oracle.reset()
        for epoch in range(EPOCHS):
            order = shuffled(net, len(task.y_train), i, epoch)
            for start in range(0, len(order), BATCH):
                batch = order[start : start + BATCH]
                x, y = task.x_train[batch] / 255, task.y_train[batch]
                loss = training_step(net, optimizer, rule, x, y, task.active)
                assert np.isclose(loss, oracle.step(x, y, task.active), rtol=1e-8, atol=1e-12)
                compare()
        rule.end_task()
        oracle.end_task()
        compare()
    assert (s.Omega > 0).any()
