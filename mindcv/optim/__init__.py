"""Optimizers, and the factory that makes one from a name."""

from .adagrad import Adagrad
from .adam import Adam
from .adamw import AdamW
from .adan import Adan
from .lamb import Lamb
from .lion import Lion
from .nadam import NAdam
from .optim_factory import create_optimizer, list_optimizers, optimizer_arguments
from .param_groups import WEIGHT_DECAY_FILTERS, create_param_groups
from .rmsprop import RMSProp
from .sgd import SGD, Momentum
from .state import load_optimizer_state

__all__ = [
    "SGD",
    "WEIGHT_DECAY_FILTERS",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adan",
    "Lamb",
    "Lion",
    "Momentum",
    "NAdam",
    "RMSProp",
    "create_optimizer",
    "create_param_groups",
    "list_optimizers",
    "load_optimizer_state",
    "optimizer_arguments",
]
