"""What a set of published weights must know about itself."""

import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)

# Where weights are published.
MINDCV = "https://download.mindspore.cn/toolkits/mindcv"
MINDCV_910V2 = "https://download-mindspore.osinfra.cn/toolkits/mindcv"
TORCHVISION = "https://download.pytorch.org/models"
TIMM = "https://github.com/huggingface/pytorch-image-models/releases/download"
TIMM_OLD = "https://github.com/rwightman/pytorch-image-models/releases/download"
GLUON = "https://github.com/rwightman/pytorch-pretrained-gluonresnet/releases/download"
HUB = "https://huggingface.co"
FACEBOOK = "https://dl.fbaipublicfiles.com/semiweaksupervision/model_files"


@dataclasses.dataclass(frozen=True, eq=False)
class PretrainedCfg(Mapping[str, Any]):
    """A network's input and head, and, where `url` is set, one published set of weights for it.

    It is also a read-only mapping of its fields and of `extra`, as MindCV's `default_cfgs` are (`cfg["url"]`).

    Args:
        architecture: Name of the model, filled in by the registry.
        tag: Name of the weights, filled in by the registry.
        url: Address of the file; empty when no weights are published.
        sha256: First digits of the file's sha256, at least 8.
        num_classes: Size of the head in the file.
        input_size: Channels, height and width that the weights were evaluated with.
        crop_pct: Share of the resized image that the centre crop keeps in evaluation.
        interpolation: Interpolation of the resize in evaluation.
        resize_rounding: How the resized image's longer side is rounded in evaluation, "floor" or "round".
        crop_mode: "center", or "squash": the resized image does not keep its proportions in evaluation.
        mean: Mean per channel, for pixels from 0 to 255.
        std: Standard deviation per channel, for pixels from 0 to 255.
        first_conv: Name of the cell that reads the image.
        classifier: Name of the cell that gives the logits.
        label_offset: Classes of the head in front of the data's (1 where class 0 is "background").
        unused_classes: Classes of the head behind the data's (1 where 1000 classes were trained with a head of 1001).
        params_m: Trainable parameters in millions, with the head of the file.
        top1: Published top-1 accuracy on ImageNet-1K in percent, of the evaluation that the fields above describe.
        top5: Top-5 accuracy of the same.
        licence: Licence of the weights (SPDX identifier); empty when the publisher states none.
        source: Who publishes them; docs/weights.md says where.
        model_args: Arguments of the network that belong to these weights (`{"stem_pool_pad": "both"}`).
        extra: Further entries of a user's own configuration, seen through the mapping only.
    """

    architecture: str = ""
    tag: str = ""
    url: str = ""
    sha256: str = ""
    num_classes: int = 1000
    input_size: tuple[int, int, int] = (3, 224, 224)
    crop_pct: float = 0.875
    interpolation: str = "bilinear"
    resize_rounding: str = "floor"
    crop_mode: str = "center"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    first_conv: str = ""
    classifier: str = ""
    label_offset: int = 0
    unused_classes: int = 0
    params_m: float | None = None
    top1: float | None = None
    top5: float | None = None
    licence: str = ""
    source: str = ""
    model_args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    @property
    def data_classes(self) -> int:
        """Classes of the data that the weights were trained with."""
        return self.num_classes - self.label_offset - self.unused_classes

    @property
    def is_free(self) -> bool:
        """Whether the licence is known and allows commercial use."""
        return bool(self.licence) and "-NC-" not in self.licence

    def _entries(self) -> dict[str, Any]:
        fields = {name: getattr(self, name) for name in _FIELDS if name != "extra"}
        return {**fields, **self.extra}

    def __getitem__(self, key: str) -> Any:
        return self._entries()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __len__(self) -> int:
        return len(self._entries())


_FIELDS = tuple(field.name for field in dataclasses.fields(PretrainedCfg))


def as_pretrained_cfg(cfg: Mapping[str, Any]) -> PretrainedCfg:
    """Returns a `PretrainedCfg` of a plain dictionary; keys that it has no field for are kept as `extra`."""
    if isinstance(cfg, PretrainedCfg):
        return cfg
    known = {key: value for key, value in cfg.items() if key in _FIELDS}
    return PretrainedCfg(**known, extra={key: value for key, value in cfg.items() if key not in _FIELDS})


def published(url: str, top1: float, side: int = 224, crop_pct: float = 0.875, **facts: Any) -> PretrainedCfg:
    """Describes one published file that is named after its sha256, as MindCV, torchvision and timm name theirs.

    Args:
        url: Address of the file; the name ends in a dash and the first digits of its sha256.
        top1: Published top-1 accuracy in percent.
        side: Height and width of the images that it was evaluated with.
        crop_pct: Share of the resized image that was kept.
        **facts: Further fields of `PretrainedCfg`.

    Raises:
        ValueError: The name holds no digits.
    """
    digits = re.search(r"-([0-9a-f]{8,})(-910v2)?\.\w+$", url)
    if digits is None:
        raise ValueError(f"{url}: the name does not end in digits of its sha256; describe it by PretrainedCfg(...)")
    return PretrainedCfg(url=url, sha256=digits[1], top1=top1, input_size=(3, side, side), crop_pct=crop_pct, **facts)


def timm_hub(name: str, top1: float, side: int = 224, crop_pct: float = 0.875, **facts: Any) -> PretrainedCfg:
    """Describes timm's file of a model on the Hugging Face hub, which names no digest.

    Args:
        name: timm's name of model and tag (`resnet50.a1_in1k`).
        top1: Published top-1 accuracy in percent.
        side: Height and width of the images that it was evaluated with.
        crop_pct: Share of the resized image that was kept.
        **facts: Further fields of `PretrainedCfg`; bicubic, from timm and under Apache-2.0 unless they say otherwise.
    """
    facts = {"source": "timm", "licence": "Apache-2.0", "interpolation": "bicubic", **facts}
    url = f"{HUB}/timm/{name}/resolve/main/model.safetensors"
    return PretrainedCfg(url=url, top1=top1, input_size=(3, side, side), crop_pct=crop_pct, **facts)
