"""Published weights of PNASNet: none."""

from .._pretrained import PretrainedCfg

WEIGHTS = {"pnasnet": PretrainedCfg()}
