"""MindSpore Hub's entry: its loader imports this file from the top of the repository and calls `create_network`."""

from typing import Any

from mindspore import nn

from mindcv.config.compat import current_model_name
from mindcv.models import create_model


def create_network(name: str, **kwargs: Any) -> nn.Cell:
    """Returns a network by its name here (`seresnext50_32x4d`) or in the model zoo (`SE_ResNeXt50`).

    Args:
        name: The name.
        kwargs: Arguments of `mindcv.create_model`, such as `num_classes`, `pretrained` or `checkpoint_path`.

    Raises:
        ValueError: There is no such model; the message has the closest names.
    """
    return create_model(current_model_name(name), **kwargs)
