"""Published weights of ShuffleNetV1; docs/weights.md says where the figures are from."""

from functools import partial

from .._pretrained import MINDCV, MINDCV_910V2, PretrainedCfg, published

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")
_FOLDER = "shufflenet/shufflenetv1"

WEIGHTS = {
    "shufflenet_v1_g3_05.mindcv_in1k": _mindcv(
        f"{MINDCV}/{_FOLDER}/shufflenet_v1_g3_05-42cfe109.ckpt", 57.05, top5=79.73
    ),
    "shufflenet_v1_g3_05.mindcv_910v2_in1k": _mindcv(
        f"{MINDCV_910V2}/{_FOLDER}/shufflenet_v1_g3_05-56209ef3-910v2.ckpt", 57.08, top5=79.89
    ),
    "shufflenet_v1_g3_10.mindcv_in1k": _mindcv(
        f"{MINDCV}/{_FOLDER}/shufflenet_v1_g3_10-245f0ccf.ckpt", 67.77, top5=87.73
    ),
    "shufflenet_v1_g3_15": PretrainedCfg(),
    "shufflenet_v1_g3_20": PretrainedCfg(),
    "shufflenet_v1_g8_05": PretrainedCfg(),
    "shufflenet_v1_g8_10": PretrainedCfg(),
    "shufflenet_v1_g8_15": PretrainedCfg(),
    "shufflenet_v1_g8_20": PretrainedCfg(),
}
