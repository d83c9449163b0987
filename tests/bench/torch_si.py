"""Synaptic Intelligence in PyTorch: in the usual form, in the fastest eager form, and compiled.

`idiomatic` is nn.Module, autograd, torch.optim.Adam with its defaults and a loop over parameters;
`best` is the fastest eager form known here: fused Adam, foreach operations, gradients not cloned,
and images with their channels last; `compile` is `best` with torch.compile for the network;
`compile-all` also compiles penalty, Adam and path integral into one function. All compute what
`pysi` computes (tests/test_bench.py compares them).
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

LR, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8
"""torch.optim.Adam's defaults."""


class MLP(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True)
        )
        for layer in self.layers:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.layers[-1].weight)

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = torch.relu(layer(x))
        return self.layers[-1](x)


def cnn(form):
    """Return the network of the CIFAR benchmark."""
    net = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(),
        nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(),
        nn.Linear(2304, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 60),
    )  # fmt: skip
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    nn.init.zeros_(net[-1].weight)
    return net if form == "idiomatic" else net.to(memory_format=torch.channels_last)


def update(parameters, gradient, M, V, omega, Omega, ref, pull, rate, root):
    """Penalty, Adam and path integral; pull is 2c, rate is η / (1 - β₁ᵗ) and root is √(1 - β₂ᵗ)."""
    rows = zip(parameters, gradient, M, V, omega, Omega, ref, strict=True)
    for p, g, m, v, w, k, r in rows:
        total = g + pull * k * (p - r) if pull else g
        m.mul_(BETA1).add_(total, alpha=1 - BETA1)
        v.mul_(BETA2).addcmul_(total, total, value=1 - BETA2)
        delta = -rate * m / (v.sqrt() / root + EPS)
        p.add_(delta)
        w.addcmul_(g, delta, value=-1)


class Trainer:
    """Network, optimizer and Synaptic Intelligence.

    `form` is "idiomatic", "best", "compile" or "compile-all".
    """

    def __init__(self, sizes, form, c=1.0, xi=1e-3, device="cpu"):
        net = (cnn(form) if sizes == "cnn" else MLP(sizes)).to(device)
        net = torch.compile(net) if form.startswith("compile") else net
        self.net, self.form, self.c, self.xi = net, form, c, xi
        self.parameters = list(self.net.parameters())
        self.omega = [torch.zeros_like(p) for p in self.parameters]
        self.Omega = [torch.zeros_like(p) for p in self.parameters]
        self.ref = [p.detach().clone() for p in self.parameters]
        self.consolidated = False
        self.reset()

    def reset(self):
        if self.form == "compile-all":
            self.M, self.V = ([torch.zeros_like(p) for p in self.parameters] for _ in range(2))
            self.t, self.update = 0, torch.compile(update)
            return
        self.adam = torch.optim.Adam(self.parameters, lr=LR, fused=self.form != "idiomatic")

    def loss(self, x, y, active):
        return cross_entropy(self.net(x).masked_fill(~active, -torch.inf), y)

    def step(self, x, y, active):
        forms = {"idiomatic": self._idiomatic, "compile-all": self._compiled}
        return forms.get(self.form, self._best)(x, y, active)

    def _idiomatic(self, x, y, active):
        self.adam.zero_grad()
        loss = self.loss(x, y, active)
        loss.backward()
        task_gradient = [p.grad.clone() for p in self.parameters]
        before = [p.detach().clone() for p in self.parameters]
        with torch.no_grad():
            if self.consolidated:
                for p, Omega, ref in zip(self.parameters, self.Omega, self.ref, strict=True):
                    p.grad += 2 * self.c * Omega * (p - ref)
            self.adam.step()
            for p, omega, old, g in zip(
                self.parameters, self.omega, before, task_gradient, strict=True
            ):
                omega -= g * (p - old)
        return loss.detach()

    def _best(self, x, y, active):
        self.adam.zero_grad(set_to_none=True)
        loss = self.loss(x, y, active)
        loss.backward()
        with torch.no_grad():
            gradient = [p.grad for p in self.parameters]
            before = [p.detach().clone() for p in self.parameters]
            if self.consolidated:
                pull = torch._foreach_sub(self.parameters, self.ref)
                torch._foreach_mul_(pull, self.Omega)
                total = torch._foreach_add(gradient, pull, alpha=2 * self.c)
                for p, g in zip(self.parameters, total, strict=True):
                    p.grad = g
            self.adam.step()
            delta = torch._foreach_sub(self.parameters, before)
            torch._foreach_addcmul_(self.omega, gradient, delta, value=-1)
        return loss.detach()

    def _compiled(self, x, y, active):
        loss = self.loss(x, y, active)
        gradient = torch.autograd.grad(loss, self.parameters)
        self.t += 1
        # tensors, because the function would be compiled again for other numbers
        rate = torch.tensor(LR / (1 - BETA1**self.t))
        root = torch.tensor((1 - BETA2**self.t) ** 0.5)
        with torch.no_grad():
            self.update(
                self.parameters, gradient, self.M, self.V, self.omega, self.Omega, self.ref,
                2 * self.c if self.consolidated else 0, rate, root,
            )  # fmt: skip
        return loss.detach()

    @torch.no_grad()
    def end_task(self):
        for p, omega, Omega, ref in zip(
            self.parameters, self.omega, self.Omega, self.ref, strict=True
        ):
            Omega += omega / ((p - ref) ** 2 + self.xi)
            Omega.clamp_(min=0)
            ref.copy_(p)
            omega.zero_()
        self.consolidated = self.c > 0

    @torch.no_grad()
    def accuracy(self, x, y, active):
        right = 0
        for i in range(0, len(y), 1000):
            logits = self.net(x[i : i + 1000]).masked_fill(~active, -torch.inf)
            right += (logits.argmax(-1) == y[i : i + 1000]).sum().item()
        return right / len(y)


def run(tasks, seed, c, form, epochs, batch_size=64, sizes=(784, 256, 256, 10)):
    """Run the whole protocol on tasks of tensors; return the test accuracy after the last task."""
    torch.manual_seed(seed)
    trainer = Trainer(sizes, form, c)
    for task in tasks:
        x, y, active = task["x_train"], task["y_train"], task["active"]
        trainer.reset()
        for _ in range(epochs):
            order = torch.randperm(len(y))
            losses = []
            for i in range(0, len(y), batch_size):
                batch = order[i : i + batch_size]
                losses.append(trainer.step(x[batch], y[batch], active))
            assert torch.stack(losses).isfinite().all()
        trainer.end_task()
        test = [trainer.accuracy(t["x_test"], t["y_test"], t["active"]) for t in tasks]
        for t in tasks:
            trainer.accuracy(t["x_train"], t["y_train"], t["active"])
    return sum(test) / len(test)
