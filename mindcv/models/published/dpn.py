"""Published weights of DPN; docs/weights.md says where the figures are from."""

from functools import partial

from .._pretrained import MINDCV, PretrainedCfg, published, timm_hub

_mindcv = partial(published, source="MindCV", licence="Apache-2.0")
_mx = partial(
    timm_hub,
    source="timm, from the authors",
    mean=(124.0, 117.0, 104.0),
    std=(59.88023952095808,) * 3,
    model_args={"stem_pool_pad": "both"},
)

WEIGHTS = {
    "dpn92.mindcv_in1k": PretrainedCfg(
        url=f"{MINDCV}/dpn/dpn92-e3e0fca.ckpt", top1=79.46, top5=94.49, source="MindCV", licence="Apache-2.0"
    ),
    "dpn92.mx_in1k": _mx("dpn92.mx_in1k", 80.038, top5=94.860),
    "dpn98.mindcv_in1k": _mindcv(f"{MINDCV}/dpn/dpn98-119a8207.ckpt", 79.94, top5=94.57),
    "dpn98.mx_in1k": _mx("dpn98.mx_in1k", 79.670, top5=94.654),
    "dpn107.mindcv_in1k": _mindcv(f"{MINDCV}/dpn/dpn107-7d7df07b.ckpt", 80.05, top5=94.74),
    "dpn107.mx_in1k": _mx("dpn107.mx_in1k", 80.168, top5=94.942),
    "dpn131.mindcv_in1k": _mindcv(f"{MINDCV}/dpn/dpn131-47f084b3.ckpt", 80.07, top5=94.72),
    "dpn131.mx_in1k": _mx("dpn131.mx_in1k", 79.814, top5=94.700),
}
