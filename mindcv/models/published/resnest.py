"""Published weights of ResNeSt; docs/weights.md says where the figures are from."""

from functools import partial

from .._pretrained import MINDCV, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_timm = partial(timm_hub, model_args={"pool_pad": "both"})
_gluon = partial(_timm, source="timm, from GluonCV", interpolation="bilinear")

WEIGHTS = {
    "resnest14.gluon_in1k": _gluon("resnest14d.gluon_in1k", 75.510, top5=92.504),
    "resnest26.gluon_in1k": _gluon("resnest26d.gluon_in1k", 78.484, top5=94.294),
    "resnest50.mindcv_in1k": _mindcv(f"{MINDCV}/resnest/resnest50-f2e7fc9c.ckpt", 80.81, top5=95.16),
    "resnest50.in1k": _timm("resnest50d.in1k", 80.964, top5=95.384, interpolation="bilinear"),
    "resnest101.mindcv_in1k": _mindcv(f"{MINDCV}/resnest/resnest101-7cc5c258.ckpt", 82.90, 256, 0.9, top5=96.12),
    "resnest101.in1k": _timm("resnest101e.in1k", 82.884, 256, top5=96.322, interpolation="bilinear"),
    "resnest200.in1k": _timm("resnest200e.in1k", 83.846, 320, 0.909, top5=96.884),
    "resnest269.in1k": _timm("resnest269e.in1k", 84.510, 416, 0.928, top5=96.992),
}
