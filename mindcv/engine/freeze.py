"""Parts of a network that are not trained, by patterns of their names."""

import logging
from collections.abc import Iterator
from fnmatch import fnmatchcase

from mindspore import nn

from ..utils.registry import suggest

_logger = logging.getLogger(__name__)

__all__ = ["freeze"]


def freeze(network: nn.Cell, patterns: str) -> None:
    """Takes parameters out of the training. To be called before the optimizer is made.

    A BatchNorm cell whose scale and shift are both frozen normalises with its running statistics, also while training,
    and leaves them as they are: moving ones would change what the frozen part computes.

    Args:
        network: The network.
        patterns: Patterns with commas between them: `*`, `?` and `[...]` as in file names, `*` across dots too. Each is
            compared with the names of parameters (`layer1.0.conv1.weight`) and of the cells that they are in
            (`layer1.0`, `layer1`).

    Raises:
        ValueError: There is no pattern, one of them matches no parameter that is trained, or nothing is left to train.
    """
    trainable = {parameter.name: parameter for parameter in network.trainable_params()}
    # Parameters have MindCV's names, which are not the paths of cells in every network.
    paths = {parameter.name: path for path, parameter in network.parameters_and_names()}
    wanted = [pattern.strip() for pattern in patterns.split(",") if pattern.strip()]
    if not wanted:
        raise ValueError(f"freeze is {patterns!r}, which names nothing; give patterns such as 'conv1,layer1*', or None")
    frozen: set[str] = set()
    for pattern in wanted:
        matched = {name for name in trainable if _matches(name, pattern) or _matches(paths[name], pattern)}
        if not matched:
            known = dict.fromkeys(text for name in trainable for text in _prefixes(name))
            tops = ", ".join(dict.fromkeys(name.split(".")[0] for name in trainable))
            hint = suggest(pattern, known) or "."
            raise ValueError(f"freeze: {pattern!r} matches no parameter that is trained{hint} The network has {tops}")
        frozen |= matched
    if len(frozen) == len(trainable):
        raise ValueError(f"freeze: {patterns!r} matches all {len(frozen)} parameters, so nothing is left to train")
    for name in frozen:
        trainable[name].requires_grad = False
    norms = 0
    for _, cell in network.cells_and_names():
        if isinstance(cell, (nn.BatchNorm1d, nn.BatchNorm2d)) and {cell.gamma.name, cell.beta.name} <= frozen:
            cell.use_batch_statistics = False
            norms += 1
    values = sum(trainable[name].size for name in frozen)
    _logger.info(
        "freeze: %d of %d parameters (%d values) are not trained, %d BatchNorm cells keep their statistics",
        *(len(frozen), len(trainable), values, norms),
    )


def _matches(name: str, pattern: str) -> bool:
    return any(fnmatchcase(prefix, pattern) for prefix in _prefixes(name))


def _prefixes(name: str) -> Iterator[str]:
    """`layer1.0.weight` gives `layer1`, `layer1.0` and itself."""
    words = name.split(".")
    return (".".join(words[: end + 1]) for end in range(len(words)))
