"""Synaptic Intelligence (Zenke, Poole & Ganguli, ICML 2017) from scratch, in NumPy or CuPy.

There are two reading orders. *An hour* is the core, all that the method itself needs::

    synapses layers losses network optim
    rules: rule quadratic si
    tasks training metrics

*All* is every module, each after those that it imports::

    typing errors arguments inputs
    backend: arrays program passes compiled loops kernel recorder elementwise recording matmul
    backend: memory stages uses
    storage: files archive tables
    synapses layers losses
    architecture
    storage: networks
    network optim
    rules: rule quadratic si
    tasks evaluation history resets threads guards training transfer metrics
    listeners descent scenarios
    rules: distillation fisher ewc
    checking
    storage: lock state checkpoint
    data: idx dataset mnist mnist_5k cifar catalogue download sources
    images: convolution pooling tiles winograd cnn
    theory: quadratic importance normalization surrogate paths ledger curvature
    theory: batches checks path_claims claims
    experiments: machine correlation omega sequences methods settings progress parallel
    figures: style figure3 figure4 figure5 figure6 sweep histories
    experiments: protocol protocols cell schema summary result folder replicas run sweep
    cli: console options
    __main__
"""

from pysi.checking import check_layer
from pysi.data import load_dataset
from pysi.descent import Adagrad, Momentum
from pysi.errors import ConfigError, DataError, DivergenceError, PysiError
from pysi.experiments.sequences import cifar_tasks
from pysi.history import History
from pysi.images.cnn import CNN
from pysi.listeners import EpochAccuracy
from pysi.metrics import average_accuracy, forgetting, sem
from pysi.network import MLP, Network
from pysi.optim import SGD, Adam
from pysi.rules.ewc import EWC, OnlineEWC
from pysi.rules.rule import FineTuning
from pysi.rules.si import SynapticIntelligence
from pysi.synapses import Synapse, SynapseGroup, Synapses
from pysi.tasks import Task, permuted_tasks, split_tasks
from pysi.training import train

__version__ = "0.1.0"

__all__ = [
    "CNN",
    "EWC",
    "MLP",
    "SGD",
    "Adagrad",
    "Adam",
    "ConfigError",
    "DataError",
    "DivergenceError",
    "EpochAccuracy",
    "FineTuning",
    "History",
    "Momentum",
    "Network",
    "OnlineEWC",
    "PysiError",
    "Synapse",
    "SynapseGroup",
    "Synapses",
    "SynapticIntelligence",
    "Task",
    "average_accuracy",
    "check_layer",
    "cifar_tasks",
    "forgetting",
    "load_dataset",
    "permuted_tasks",
    "sem",
    "split_tasks",
    "train",
]
