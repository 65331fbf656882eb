"""Models from names."""

from typing import Any

from mindspore import nn

from ._features import FeatureExtractWrapper
from ._loading import load_model_checkpoint
from ._registry import get_pretrained_cfg, is_model_pretrained, model_entrypoint, split_tag

__all__ = ["create_model"]


def create_model(
    model_name: str,
    num_classes: int | None = 1000,
    pretrained: bool = False,
    in_channels: int | None = 3,
    checkpoint_path: str = "",
    ema: bool = False,
    auto_mapping: bool = False,
    **kwargs: Any,
) -> nn.Cell:
    """Creates a model by name, with fresh, published or local weights.

    An argument that is None is not passed on, so that the model's own default holds.

    Args:
        model_name: A name of `list_models()`, or `name.tag` of `list_pretrained()` for the network those weights need.
        num_classes: Number of classes; 0 gives a network that ends in its pooled features (N, num_features).
        pretrained: Whether to load published weights: those of the tag, or the model's default ones. A head of another
            size starts fresh, and a first convolution for another number of channels is adapted.
        in_channels: Channels of the input image.
        checkpoint_path: File to load in place of published weights; it has to fit exactly.
        ema: Whether to take the file's averaged weights.
        auto_mapping: Whether to map differing names in the file to the closest ones of the same shape.
        **kwargs: Arguments of the network (`drop_rate`, `drop_path_rate`, `features_only`, `out_indices` ...).

    Returns:
        The model, whose `default_cfg` says how its input is prepared.

    Raises:
        ValueError: Unknown model, tag or argument, weights that do not fit, or both `pretrained` and `checkpoint_path`.
        FileNotFoundError: There is no such checkpoint.
    """
    if checkpoint_path and pretrained:
        raise ValueError(f"pretrained and checkpoint_path ({checkpoint_path}) exclude each other; give one of them")
    create_fn = model_entrypoint(model_name)
    if split_tag(model_name)[1]:
        kwargs["pretrained_cfg"] = get_pretrained_cfg(model_name)
    if pretrained and not is_model_pretrained(model_name):
        raise ValueError(
            f"no weights are published for {model_name!r}; list_models(pretrained=True) lists the models that have some"
        )
    arguments = {"num_classes": num_classes, "in_channels": in_channels, **kwargs}
    arguments = {key: value for key, value in arguments.items() if value is not None}
    features_only = arguments.pop("features_only", False)
    out_indices = {"out_indices": arguments.pop("out_indices")} if "out_indices" in arguments else {}
    model = create_fn(pretrained=pretrained, **arguments)
    if checkpoint_path:
        load_model_checkpoint(model, checkpoint_path, ema=ema, auto_mapping=auto_mapping)
    return FeatureExtractWrapper(model, **out_indices) if features_only else model
