"""PyTorch as an oracle: layers, and runs step by step, by autograd and torch.optim.Adam."""

import numpy as np
import pytest

import pysi
from pysi.images.convolution import Conv2D
from pysi.images.pooling import MaxPool2D
from pysi.images.winograd import WinogradConv2D
from pysi.training import shuffled, training_step
from strategies import alone, toy_cnn, toy_image_tasks, toy_tasks

torch = pytest.importorskip("torch", reason="PyTorch is not installed: the oracle is optional")

torch.set_num_threads(1)  # arrays are too small to be divided among threads

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
        """Return tensors as a row of the table: weights as (n_in, n_out), then biases."""
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
                loss = training_step(net, optimizer, rule, x, y, task)
                assert np.isclose(loss, oracle.step(x, y, task.active), rtol=1e-8, atol=1e-12)
                compare()
        rule.end_task()
        oracle.end_task()
        compare()
    assert (s.Omega > 0).any()


def images(x):
    """Return images as PyTorch has them: channels first."""
    return torch.tensor(np.moveaxis(x, -1, -3).copy())


def kernel(W):
    """Return a kernel as PyTorch has it: (K, C, kh, kw)."""
    return torch.tensor(W.transpose(3, 2, 0, 1).copy(), requires_grad=True)


@pytest.mark.parametrize("size", [(5, 6), (7, 7), (8, 11)])
@pytest.mark.parametrize(
    ("layer", "options"),
    [
        (Conv2D(3, 4, (2, 3), stride=(2, 1), padding="valid"), {"stride": (2, 1)}),
        (Conv2D(3, 4, 5, stride=3, padding="valid"), {"stride": 3}),
        (Conv2D(3, 4, (4, 3)), {"padding": "same"}),  # with a stride PyTorch has no "same"
        (WinogradConv2D(3, 4), {"padding": "same"}),
        (WinogradConv2D(3, 4, padding="valid"), {}),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
def test_convolutions_equal_pytorch_s(layer, options, size):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, *size, 3))
    layer = alone(layer, x.shape, rng)
    inputs = images(x).requires_grad_()
    W, b = kernel(layer.W.theta), torch.tensor(layer.b.theta, requires_grad=True)
    expected = torch.nn.functional.conv2d(inputs, W, b, **options)
    y = layer.forward(x)
    assert np.allclose(y, expected.detach().numpy().transpose(0, 2, 3, 1), rtol=1e-10, atol=1e-10)
    dy = rng.standard_normal(y.shape)
    expected.backward(images(dy))
    assert np.allclose(images(layer.backward(dy)), inputs.grad, rtol=1e-10, atol=1e-10)
    assert np.allclose(layer.W.grad.transpose(3, 2, 0, 1), W.grad, rtol=1e-10, atol=1e-10)
    assert np.allclose(layer.b.grad, b.grad, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("size", [2, (2, 3), (3, 1)])
def test_pooling_equals_pytorch_s(size):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((5, 7, 8, 3))
    layer = alone(MaxPool2D(size), x.shape, rng)
    inputs = images(x).requires_grad_()
    expected = torch.nn.functional.max_pool2d(inputs, size)
    y = layer.forward(x)
    assert np.array_equal(images(y), expected.detach())
    dy = rng.standard_normal(y.shape)
    expected.backward(images(dy))
    assert np.array_equal(images(layer.backward(dy)), inputs.grad)


def test_steps_of_a_cnn_equal_pytorch_s():
    net, rule, optimizer = toy_cnn(seed=3), pysi.FineTuning(), pysi.Adam(0.01)
    task = toy_image_tasks(1)[0]
    s, F = net.synapses, torch.nn.functional
    rule.start(s)
    optimizer.start(s)
    net.restart(0, 1)
    weights = [torch.tensor(s.group(name).theta.copy(), requires_grad=True) for name in s.shapes]
    adam = torch.optim.Adam(weights, lr=0.01)

    def forward(x):
        """Return logits; here rectification comes before pooling, as is usual."""
        for i, padding in ((0, "same"), (2, "valid"), (4, "same"), (6, "valid")):
            x = F.relu(F.conv2d(x, weights[i].permute(3, 2, 0, 1), weights[i + 1], padding=padding))
            x = x if padding == "same" else F.max_pool2d(x, 2)
        x = F.relu(x.permute(0, 2, 3, 1).flatten(1) @ weights[8] + weights[9])
        return x @ weights[10] + weights[11]

    for start in range(0, 45, 9):
        x, y = task.x_train[start * 5 :][:9], task.y_train[start * 5 :][:9]
        loss = training_step(net, optimizer, rule, x, y, task)
        expected = F.cross_entropy(forward(images(x / 255)), torch.tensor(y))
        adam.zero_grad()
        expected.backward()
        adam.step()
        assert np.isclose(loss, expected.item(), rtol=1e-8)
        for name, tensor in zip(s.shapes, weights, strict=True):
            group = s.group(name)
            scale = abs(tensor.grad).max().item()
            assert np.allclose(group.grad, tensor.grad, rtol=1e-6, atol=1e-8 * scale), name
            # Adam's first steps are ±η, whatever the size of g: rounding in place of g is left out
            sure = abs(tensor.grad.numpy()) > 1e-8 * scale
            found, exact = group.theta[sure], tensor.detach().numpy()[sure]
            assert np.allclose(found, exact, rtol=1e-6, atol=1e-7), name
    assert (s.theta != toy_cnn(seed=3).synapses.theta).mean() > 0.5
