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
    rules: rule quadratic si pulls
    tasks evaluation history resets threads guards training transfer metrics
    listeners descent scenarios competition columns progressive
    rules: distillation fisher ewc functional lwf lfl l2 mas rwalk replay rates
    rules: minibatch mistakes properties together
    checking
    storage: lock state checkpoint
    data: idx dataset mnist mnist_5k cifar catalogue download sources
    images: convolution pooling tiles winograd cnn
    theory: quadratic importance normalization surrogate paths curvature account ledger
    theory: batches checks path_claims claims
    experiments: machine intervals correlation omega sequences palette course methods settings
    experiments: progress parallel differences
    verdicts: verdict split_mnist permuted_mnist importances split_cifar
    figures: style figure3 figure4 figure5 figure6 sweep histories landscape
    experiments: protocol protocols cell outcomes schema summary result folder replicas run
    experiments: sweep overview landscape
    report: table tables command wording problems frame provenance page
    cli: console options landscape report
    __main__
"""

from pysi.checking import check_layer
from pysi.competition import LWTA, Maxout
from pysi.data import load_dataset
from pysi.descent import Adagrad, Momentum
from pysi.errors import ConfigError, DataError, DivergenceError, PysiError
from pysi.experiments.intervals import interval
from pysi.experiments.sequences import cifar_tasks
from pysi.history import History
from pysi.images.cnn import CNN
from pysi.listeners import EpochAccuracy
from pysi.metrics import average_accuracy, forgetting, sem
from pysi.network import MLP, Network
from pysi.optim import SGD, Adam
from pysi.progressive import ProgressiveNetwork
from pysi.rules.ewc import EWC, OnlineEWC
from pysi.rules.l2 import L2
from pysi.rules.lfl import LFL
from pysi.rules.lwf import LwF
from pysi.rules.mas import MAS
from pysi.rules.minibatch import SIB, SIU, SOS
from pysi.rules.properties import check_synaptic_intelligence
from pysi.rules.rates import LowerRate
from pysi.rules.replay import Replay
from pysi.rules.rule import FineTuning
from pysi.rules.rwalk import RWalk
from pysi.rules.si import SynapticIntelligence
from pysi.rules.together import Together
from pysi.scenarios import in_scenario
from pysi.synapses import Synapse, SynapseGroup, Synapses
from pysi.tasks import Task, permuted_tasks, split_tasks
from pysi.training import train

__version__ = "0.1.0"

__all__ = [
    "Adagrad",
    "Adam",
    "CNN",
    "ConfigError",
    "DataError",
    "DivergenceError",
    "EWC",
    "EpochAccuracy",
    "FineTuning",
    "History",
    "L2",
    "LFL",
    "LWTA",
    "LowerRate",
    "LwF",
    "MAS",
    "MLP",
    "Maxout",
    "Momentum",
    "Network",
    "OnlineEWC",
    "ProgressiveNetwork",
    "PysiError",
    "RWalk",
    "Replay",
    "SGD",
    "SIB",
    "SIU",
    "SOS",
    "Synapse",
    "SynapseGroup",
    "Synapses",
    "SynapticIntelligence",
    "Task",
    "Together",
    "average_accuracy",
    "check_layer",
    "check_synaptic_intelligence",
    "cifar_tasks",
    "forgetting",
    "in_scenario",
    "interval",
    "load_dataset",
    "permuted_tasks",
    "sem",
    "split_tasks",
    "train",
]
