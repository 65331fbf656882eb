"""Published weights of SENet, SE-ResNet and SE-ResNeXt; docs/weights.md says where the figures are from.

The first of a model is its default: MindCV's where there is one, else the best but for `legacy_in1k`.
"""

from functools import partial

from .._pretrained import GLUON, MINDCV, MINDCV_910V2, TIMM, TIMM_OLD, PretrainedCfg, published

_mindcv = partial(published, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_timm = partial(
    published, source="timm", licence="Apache-2.0", interpolation="bicubic", model_args={"stem_pool_pad": "both"}
)
_gluon = partial(_timm, source="timm, from GluonCV")
_legacy = partial(published, source="timm", licence="Apache-2.0", model_args={"stem_pool_pad": "same"})

WEIGHTS = {
    "senet154.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_senet154-70a1a3c0.pth", 81.226, top5=95.358),
    "senet154.legacy_in1k": _legacy(f"{TIMM_OLD}/v0.1-weights/legacy_senet154-e9eb9fe6.pth", 81.308, top5=95.492),
    "seresnet18.mindcv_in1k": _mindcv(f"{MINDCV}/senet/seresnet18-7880643b.ckpt", 71.81, top5=90.49),
    "seresnet18.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/senet/seresnet18-7b971c78-910v2.ckpt", 72.05, top5=90.59),
    "seresnet34.mindcv_in1k": _mindcv(f"{MINDCV}/senet/seresnet34-8179d3c9.ckpt", 75.38, top5=92.5),
    "seresnet50.mindcv_in1k": _mindcv(f"{MINDCV}/senet/seresnet50-ff9cd214.ckpt", 78.32, top5=94.07),
    "seresnet50.a1_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/seresnet50_a1_0-ffa00869.pth", 81.102, 288, 1.0, top5=95.12),
    "seresnet50.a2_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/seresnet50_a2_0-850de0d9.pth", 81.106, 288, 1.0, top5=95.222),
    "seresnet50.a3_in1k": _timm(
        f"{TIMM}/v0.1-rsb-weights/seresnet50_a3_0-317ecd56.pth", 77.028, crop_pct=0.95, top5=93.074
    ),
    "seresnet50.ra2_in1k": _timm(
        f"{TIMM_OLD}/v0.1-weights/seresnet50_ra_224-8efdb4bb.pth", 81.284, 288, 0.95, top5=95.652
    ),
    "seresnet101": PretrainedCfg(interpolation="bicubic"),
    "seresnet152": PretrainedCfg(interpolation="bicubic"),
    "seresnext26_32x4d.mindcv_in1k": _mindcv(f"{MINDCV}/senet/seresnext26_32x4d-5361f5b6.ckpt", 77.17, top5=93.42),
    "seresnext26_32x4d.legacy_in1k": _legacy(
        f"{TIMM_OLD}/v0.1-weights/seresnext26_32x4d-65ebdb501.pth", 77.108, interpolation="bicubic", top5=93.314
    ),
    "seresnext50_32x4d.mindcv_in1k": _mindcv(f"{MINDCV}/senet/seresnext50_32x4d-fdc35aca.ckpt", 78.71, top5=94.36),
    "seresnext50_32x4d.racm_in1k": _timm(
        f"{TIMM_OLD}/v0.1-weights/seresnext50_32x4d_racm-a304a460.pth", 82.196, 288, 0.95, top5=96.148
    ),
    "seresnext50_32x4d.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_seresnext50_32x4d-90cf2d6e.pth", 79.91, top5=94.824),
    "seresnext50_32x4d.legacy_in1k": _legacy(
        f"{TIMM_OLD}/v0.1-weights/legacy_se_resnext50_32x4d-f3651bad.pth", 79.076, top5=94.432
    ),
    "seresnext101_32x4d.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_seresnext101_32x4d-cf52900d.pth", 80.892, top5=95.296),
    "seresnext101_32x4d.legacy_in1k": _legacy(
        f"{TIMM_OLD}/v0.1-weights/legacy_se_resnext101_32x4d-37725eac.pth", 80.23, top5=95.026
    ),
}
