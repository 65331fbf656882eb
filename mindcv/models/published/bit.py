"""Published weights of BiT; docs/weights.md says where the figures are from."""

from functools import partial

from .._pretrained import MINDCV, published, timm_hub

_HALF = (127.5, 127.5, 127.5)
_mindcv = partial(published, source="MindCV", licence="Apache-2.0")
_timm = partial(timm_hub, source="timm, from Google", mean=_HALF, std=_HALF, model_args={"std_eps": 1e-8})
_timm_448 = partial(_timm, side=448, crop_pct=1.0, interpolation="bilinear")

WEIGHTS = {
    "BiT_resnet50.mindcv_in1k": _mindcv(f"{MINDCV}/bit/BiT_resnet50-1e4795a4.ckpt", 76.81, top5=93.17),
    "BiT_resnet50.goog_distilled_in1k": _timm("resnetv2_50x1_bit.goog_distilled_in1k", 82.820, top5=96.514),
    "BiT_resnet50.goog_in21k_ft_in1k": _timm_448("resnetv2_50x1_bit.goog_in21k_ft_in1k", 80.340, top5=95.680),
    "BiT_resnet50x3.mindcv_in1k": _mindcv(f"{MINDCV}/bit/BiT_resnet50x3-a960f91f.ckpt", 80.63, top5=95.12),
    "BiT_resnet50x3.goog_in21k_ft_in1k": _timm_448("resnetv2_50x3_bit.goog_in21k_ft_in1k", 84.020, top5=97.126),
    "BiT_resnet101.mindcv_in1k": _mindcv(f"{MINDCV}/bit/BiT_resnet101-2efa9106.ckpt", 77.93, top5=93.75),
    "BiT_resnet101.goog_in21k_ft_in1k": _timm_448("resnetv2_101x1_bit.goog_in21k_ft_in1k", 82.342, top5=96.520),
}
