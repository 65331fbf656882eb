"""Published weights of RepMLPNet; docs/weights.md says where the figures are from."""

from .._pretrained import MINDCV, PretrainedCfg, published

_256 = PretrainedCfg(input_size=(3, 256, 256))

WEIGHTS = {
    "repmlp_t224.mindcv_in1k": published(
        f"{MINDCV}/repmlp/repmlp_t224-8dbedd00.ckpt", 76.71, top5=93.30, source="MindCV", licence="Apache-2.0"
    ),
    "repmlp_t256": _256,
    "repmlp_b224": PretrainedCfg(),
    "repmlp_b256": _256,
    "repmlp_d256": _256,
    "repmlp_l256": _256,
}
