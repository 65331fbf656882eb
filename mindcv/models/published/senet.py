"""Published weights of SENet, SE-ResNet and SE-ResNeXt; docs/weights.md says where the figures are from.

The first of a model is its default: MindCV's where there is one, else the best whose licence is known.
"""

from functools import partial

from .._pretrained import GLUON, MINDCV, MINDCV_910V2, TIMM, TIMM_OLD, PretrainedCfg, published

_mindcv = partial(published, source="MindCV", licence="Apache-2.0", interpolation="bicubic")
_timm = partial(
    published, source="timm", licence="Apache-2.0", interpolation="bicubic", model_args={"stem_pool_pad": "both"}
)
_gluon = partial(_timm, source="timm, from GluonCV")
_legacy = partial(published, source="timm", model_args={"stem_pool_pad": "same"})

WEIGHTS = {
    "senet154.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_senet154-70a1a3c0.pth", 81.258),
    "senet154.legacy_in1k": _legacy(f"{TIMM_OLD}/v0.1-weights/legacy_senet154-e9eb9fe6.pth", 81.326),
    "seresnet18.mindcv_in1k": _mindcv(f"{MINDCV}/senet/seresnet18-7880643b.ckpt", 71.81),
    "seresnet18.mindcv_910v2_in1k": _mindcv(f"{MINDCV_910V2}/senet/seresnet18-7b971c78-910v2.ckpt", 72.05),
    "seresnet34.mindcv_in1k": _mindcv(f"{MINDCV}/senet/seresnet34-8179d3c9.ckpt", 75.38),
    "seresnet50.mindcv_in1k": _mindcv(f"{MINDCV}/senet/seresnet50-ff9cd214.ckpt", 78.32),
    "seresnet50.a1_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/seresnet50_a1_0-ffa00869.pth", 81.104, 288, 1.0),
    "seresnet50.a2_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/seresnet50_a2_0-850de0d9.pth", 81.092, 288, 1.0),
    "seresnet50.a3_in1k": _timm(f"{TIMM}/v0.1-rsb-weights/seresnet50_a3_0-317ecd56.pth", 77.036, crop_pct=0.95),
    "seresnet50.ra2_in1k": _timm(f"{TIMM_OLD}/v0.1-weights/seresnet50_ra_224-8efdb4bb.pth", 81.282, 288, 0.95),
    "seresnet101": PretrainedCfg(interpolation="bicubic"),
    "seresnet152": PretrainedCfg(interpolation="bicubic"),
    "seresnext26_32x4d.mindcv_in1k": _mindcv(f"{MINDCV}/senet/seresnext26_32x4d-5361f5b6.ckpt", 77.17),
    "seresnext26_32x4d.legacy_in1k": _legacy(
        f"{TIMM_OLD}/v0.1-weights/seresnext26_32x4d-65ebdb501.pth", 77.1, interpolation="bicubic"
    ),
    "seresnext50_32x4d.mindcv_in1k": _mindcv(f"{MINDCV}/senet/seresnext50_32x4d-fdc35aca.ckpt", 78.71),
    "seresnext50_32x4d.racm_in1k": _timm(
        f"{TIMM_OLD}/v0.1-weights/seresnext50_32x4d_racm-a304a460.pth", 82.186, 288, 0.95
    ),
    "seresnext50_32x4d.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_seresnext50_32x4d-90cf2d6e.pth", 79.918),
    "seresnext50_32x4d.legacy_in1k": _legacy(f"{TIMM_OLD}/v0.1-weights/legacy_se_resnext50_32x4d-f3651bad.pth", 79.084),
    "seresnext101_32x4d.gluon_in1k": _gluon(f"{GLUON}/v0.1/gluon_seresnext101_32x4d-cf52900d.pth", 80.886),
    "seresnext101_32x4d.legacy_in1k": _legacy(
        f"{TIMM_OLD}/v0.1-weights/legacy_se_resnext101_32x4d-37725eac.pth", 80.274
    ),
}
