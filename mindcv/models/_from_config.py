"""The network that a config describes."""

from mindspore import nn

from mindcv.config import Config

from ._factory import create_model
from ._registry import get_pretrained_cfg


def build_network(cfg: Config, num_classes: int, ema: bool = False) -> nn.Cell:
    """Returns the model with its weights: those of `ckpt_path` (with `ema` their average), pretrained or fresh ones."""
    name = cfg.model
    if cfg.ckpt_path and cfg.pretrained is True:
        # What was trained from published weights keeps their network's quirks (the padding of the stem's pool).
        published = get_pretrained_cfg(name)
        name = f"{published.architecture}.{published.tag}" if published.tag else name
    return create_model(
        name,
        num_classes=num_classes,
        pretrained=not cfg.ckpt_path and cfg.pretrained,
        in_channels=cfg.in_channels,
        checkpoint_path=cfg.ckpt_path,
        ema=ema,
        drop_rate=cfg.drop_rate,
        drop_path_rate=cfg.drop_path_rate,
    )
