"""The contestants of `bench_device.py`: a step of pysi, of PyTorch and of JAX on one device.

Each function returns how to take one step, the minibatches of a turn, how to wait for the device,
and what the contestant is. The data are on the device, and a step takes its minibatch from them.
"""

from contextlib import ExitStack

from bench_step import NETS, problem

STEPS = 50
"""Steps per turn, on a GPU."""


def of_pysi(args):
    import numpy as np

    import pysi
    from pysi.backend import compiled
    from pysi.backend.arrays import device_namespace
    from pysi.training import training_step

    xp, r = device_namespace(args.device), args.replicas
    seed = list(range(r)) if args.serve == "pysi-replicas" else 0
    x, y, active, rng = problem(args.net)
    sizes, size, *_ = NETS[args.net]
    options = {"seed": seed, "xp": xp}
    if sizes == "cnn":
        algorithm = {"pysi-im2col": False, "pysi-winograd": True}
        net = pysi.CNN(60, fast=algorithm.get(args.serve), **options)
    else:
        net = pysi.MLP(sizes, **options)
    rule, optimizer = pysi.SynapticIntelligence(1.0), pysi.Adam()
    rule.start(net.synapses)
    optimizer.start(net.synapses)
    net.restart("bench")
    net.synapses.Omega[...] = xp.asarray(rng.random(net.synapses.theta.shape, np.float32))
    rule.refresh()
    task = pysi.Task("bench", x, y, x[:1], y[:1], active).to(xp)
    data, labels = task.part("train")
    lead = net.synapses.lead
    count = STEPS if args.device == "cupy" else NETS[args.net][-1]
    batches = [xp.asarray(rng.integers(0, len(x), (*lead, size))) for _ in range(count)]

    def step(batch):
        training_step(net, optimizer, rule, data[batch], labels[batch], task)

    wait = xp.cuda.Device().synchronize if args.device == "cupy" else lambda: None
    about = {"xp": xp.__name__, "version": xp.__version__, "replicas": r if lead else 1}
    about |= {"numba": compiled.in_use()}
    return step, batches, wait, about


def of_torch(args):
    import torch
    from torch_si import Trainer

    device = "cuda" if args.device == "cupy" else "cpu"
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.tf32
    x, y, active, rng = problem(args.net)
    sizes, size, *_ = NETS[args.net]
    x, y, active = (torch.tensor(array).to(device) for array in (x, y, active))
    form = args.serve.removeprefix("torch-")
    if sizes == "cnn" and form == "idiomatic":
        x = x.permute(0, 3, 1, 2).contiguous()
    graphs = form == "compile-graphs"
    trainer = Trainer(sizes, "best" if graphs else form, device=device)
    if graphs:  # each pass through the network is one CUDA graph
        trainer.net = torch.compile(trainer.net, mode="reduce-overhead")
    trainer.end_task()
    trainer.Omega = [torch.rand_like(p) for p in trainer.parameters]
    count = STEPS if device == "cuda" else NETS[args.net][-1]
    batches = [torch.tensor(rng.integers(0, len(x), size)).to(device) for _ in range(count)]

    def step(batch):
        if graphs:
            torch.compiler.cudagraph_mark_step_begin()
        shown = x[batch] / 255
        if sizes == "cnn" and form != "idiomatic":
            shown = shown.permute(0, 3, 1, 2)  # no copy: the channels stay last in memory
        trainer.step(shown, y[batch], active)

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    return step, batches, wait, {"torch": torch.__version__, "device": device}


def of_jax(args):
    import jax

    platform = "cuda" if args.device == "cupy" else "cpu"
    jax.config.update("jax_platforms", platform)  # without it, this is an error and no CPU's time
    precision = "tensorfloat32" if args.tf32 else "highest"
    jax.config.update("jax_default_matmul_precision", precision)

    import jax.numpy as jnp
    from jax_si import Trainer

    x, y, active, rng = problem(args.net)
    sizes, size, *_ = NETS[args.net]
    x, y, active = map(jnp.asarray, (x, y, active))
    trainer = Trainer(sizes)
    trainer.end_task()
    trainer.Omega = jax.tree.map(
        lambda array: jnp.asarray(rng.random(array.shape, "float32")), trainer.Omega
    )
    count = STEPS if platform == "cuda" else NETS[args.net][-1]
    batches = [jnp.asarray(rng.integers(0, len(x), size)) for _ in range(count)]
    take = jax.jit(lambda x, y, batch: (x[batch], y[batch]))

    def step(batch):
        trainer.step(*take(x, y, batch), active)

    def wait():
        jax.block_until_ready(trainer.state)

    return step, batches, wait, {"jax": jax.__version__, "device": platform}


def make(args):
    """Return what the functions above do, for the contestant that is to be served."""
    library = args.serve.partition("-")[0]
    return {"pysi": of_pysi, "torch": of_torch, "jax": of_jax}[library](args)


def settings(args):
    """Return the context in which a contestant takes its steps."""
    stack = ExitStack()
    if args.serve.startswith("pysi"):  # others are set up for good
        from pysi.backend.arrays import device_namespace
        from pysi.backend.matmul import tensor_float_32
        from pysi.threads import using

        stack.enter_context(tensor_float_32(device_namespace(args.device), args.tf32))
        stack.enter_context(using(1, images=NETS[args.net][0] == "cnn"))
    return stack


def names(device, net):
    """Return the names of all contestants; the others are compared with the first two."""
    algorithm = "pysi-winograd" if device == "cupy" else "pysi-im2col"  # that is not the default
    images, graphs = NETS[net][0] == "cnn", device == "cupy"
    return [
        *("pysi", "pysi-replicas", "torch-idiomatic", "torch-best", "jax"),
        *([algorithm] if images else []),
        *(["torch-compile", "torch-compile-graphs"] if graphs else []),
    ]
