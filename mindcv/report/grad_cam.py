"""Where a network looks: Grad-CAM, arXiv:1610.02391, for networks of maps and of tokens."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..utils.runtime import eager_mode, prepare_cpu_runtime

if TYPE_CHECKING:
    from mindspore import Tensor, nn

__all__ = ["Explanation", "explain", "grad_cam", "overlay"]

# Colours of 0, 1/2 and 1 in an overlay, and how much of the picture they hide at most.
_COLOURS = ((255, 235, 0), (255, 60, 90), (170, 0, 200))
_OPACITY = 0.7


@dataclasses.dataclass(frozen=True)
class Explanation:
    """What a network says of images, and where it looks for it.

    Attributes:
        maps: (N, H, W), float32, from 0 to 1: how much each position speaks for the class of `targets`; all zeros where
            nothing does.
        logits: (N, num_classes), float32.
        targets: (N,), the index of each map's class.
        cell: Path of the cell whose output the maps are made of.
    """

    maps: np.ndarray
    logits: np.ndarray
    targets: np.ndarray
    cell: str


def grad_cam(network: "nn.Cell", image: np.ndarray, target: int | None = None) -> np.ndarray:
    """Returns where a network looks in an image; see `explain`.

    Args:
        network: A classifier of this library, or one of your own with `feature_info`.
        image: (C, H, W), float32, prepared as for the network.
        target: Index of the class that is asked for. None: the most probable one.

    Returns:
        (H, W), float32, from 0 to 1.

    Raises:
        ValueError: The network has no maps or no classes, its output is not finite, or there is no such class.
    """
    return explain(network, image[None], None if target is None else [target]).maps[0]


def explain(network: "nn.Cell", images: np.ndarray, targets: Sequence[int] | None = None) -> Explanation:
    """Runs a network on images and finds where it looks.

    A channel of the last map counts by the mean over the map of the class's gradient in it. The sum of the channels,
    where it is above 0, is divided by its maximum and enlarged to the image. Tokens are put into a map without those
    that are of no patch. Where a network reads only the class token of its last tokens, no patch of them counts, and
    the map before is taken.

    The network runs eagerly, whatever the mode: no other thread may run one meanwhile.

    Args:
        network: A classifier of this library, or one of your own with `feature_info`.
        images: (N, C, H, W), float32, prepared as for the network.
        targets: Index of a class for each image. None: the most probable ones.

    Raises:
        ValueError: The network has no maps or no classes, its output is not finite, or there is no such class.
    """
    import mindspore as ms

    cells = _map_cells(network)
    x = ms.Tensor(np.ascontiguousarray(images, np.float32))
    was_training = network.training
    prepare_cpu_runtime()
    network.set_train(False)
    try:
        with eager_mode():
            scores = _first(network(x))
            logits = scores.asnumpy().astype(np.float32)
            indices = _checked_targets(logits, targets)
            one_hot = np.zeros(logits.shape, np.float32)
            one_hot[np.arange(len(logits)), indices] = 1.0
            for index in reversed(range(len(cells))):
                name, cell = cells[index]
                activation, gradient = _map_and_gradient(network, cell, index, x, ms.Tensor(one_hot, scores.dtype))
                if gradient.any():
                    break
    finally:
        network.set_train(was_training)
    maps = np.maximum((gradient.mean((2, 3), keepdims=True) * activation).sum(1), 0.0)
    return Explanation(np.stack([_enlarged(each, images.shape[2:]) for each in maps]), logits, indices, name)


def overlay(pixels: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lays a map over its image, from yellow by red to violet; where the map is 0, the image is as it was.

    Args:
        pixels: (H, W, 3), uint8.
        heat: (H, W), from 0 to 1.

    Returns:
        (H, W, 3), uint8.
    """
    positions = np.linspace(0.0, 1.0, len(_COLOURS))
    colours = np.stack([np.interp(heat, positions, channel) for channel in np.transpose(_COLOURS)], -1)
    share = _OPACITY * heat[..., None]
    return np.rint(pixels * (1.0 - share) + colours * share).astype(np.uint8)


def _map_cells(network: "nn.Cell") -> list[tuple[str, "nn.Cell"]]:
    """Returns paths and cells that give the maps of `feature_info`, in their order.

    Raises:
        ValueError: The network has no maps, or no classes.
    """
    kind = type(network).__name__
    if not getattr(network, "gives_logits", ("logits",)) or getattr(network, "num_classes", None) == 0:
        raise ValueError(f"{kind} has no classes, so there is nothing to explain; give a classifier")
    infos = getattr(network, "feature_info", None)
    if not infos:
        raise ValueError(f"{kind} has no feature_info, which says where its maps are, so it cannot be explained")
    cells = dict(network.cells_and_names())
    missing = [info["name"] for info in infos if info["name"] not in cells]
    if missing:
        raise ValueError(f"{kind}: feature_info names {missing[0]!r}, which is no cell of it")
    return [(info["name"], cells[info["name"]]) for info in infos]


def _checked_targets(logits: np.ndarray, targets: Sequence[int] | None) -> np.ndarray:
    """Returns the index of a class for each image.

    Raises:
        ValueError: The logits are not finite or no rows of classes, or there is no such class.
    """
    if logits.ndim != 2:
        raise ValueError(f"the network gives {logits.shape}, not a score for each class (N, num_classes)")
    if not np.isfinite(logits).all():
        raise ValueError(
            "the network's output is not finite, so there is nothing to explain; look at the weights, or at half "
            "precision, which may overflow"
        )
    if targets is None:
        return logits.argmax(1)
    num_classes = logits.shape[1]
    wrong = [index for index in targets if not 0 <= index < num_classes]
    if wrong or len(targets) != len(logits):
        got = f"{len(targets)} targets for {len(logits)} images" if not wrong else f"class {wrong[0]}"
        raise ValueError(f"got {got}; give a class from 0 to {num_classes - 1} for each image")
    return np.asarray(targets, np.int64)


def _map_and_gradient(
    network: "nn.Cell", cell: "nn.Cell", index: int, x: "Tensor", one_hot: "Tensor"
) -> tuple[np.ndarray, np.ndarray]:
    """Returns a cell's output as a map, (N, C, h, w), and the gradient of the scores that are marked in it."""
    import mindspore as ms

    outputs: list[Any] = []

    def run(hook: Any) -> Any:
        handle = cell.register_forward_hook(hook)
        try:
            return _first(network(x))
        finally:
            handle.remove()

    run(lambda cell, inputs, output: outputs.append(output))
    if len(outputs) != 1:
        raise ValueError(f"{type(network).__name__} runs a cell of its maps {len(outputs)} times, so it has no one map")
    parts = outputs[0] if isinstance(outputs[0], tuple) else (outputs[0],)
    part, as_map = _find_map(network, index, x, parts)

    def score(value: Any) -> Any:
        changed = (*parts[:part], value, *parts[part + 1 :]) if isinstance(outputs[0], tuple) else value
        return (run(lambda cell, inputs, output: changed) * one_hot).sum()

    gradient = ms.grad(score)(parts[part])
    return tuple(as_map(value).asnumpy().astype(np.float32) for value in (parts[part], gradient))


def _find_map(
    network: "nn.Cell", index: int, x: "Tensor", parts: Sequence["Tensor"]
) -> tuple[int, Callable[["Tensor"], "Tensor"]]:
    """Finds the map among what its cell gives: which part it is, and what makes (N, C, h, w) of that.

    Raises:
        ValueError: There is none.
    """
    shapes = [part.shape for part in parts]
    if not hasattr(network, "forward_stages"):
        if len(shapes[0]) == 4:
            return 0, lambda value: value
        raise ValueError(
            f"{type(network).__name__}: a cell of its maps gives {shapes[0]}, which is no map (N, C, h, w)"
        )
    stage = network.forward_stages(x)[index]
    if stage.shape in shapes:
        return shapes.index(stage.shape), lambda value: network.as_map(value, index)
    # Behind the cell, a class token was left out.
    count, channels, height, width = network.as_map(stage, index).shape
    part = shapes.index((count, 1 + height * width, channels))
    return part, lambda value: value[:, 1:].swapaxes(1, 2).reshape((count, channels, height, width))


def _first(output: Any) -> Any:
    """Returns the logits; auxiliary ones come after the main ones."""
    return output[0] if isinstance(output, (tuple, list)) else output


def _enlarged(heat: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Divides a map (h, w) by its maximum and brings it to (H, W), bilinearly."""
    top = heat.max()
    picture = Image.fromarray((heat / top if top > 0 else heat).astype(np.float32))
    return np.asarray(picture.resize(size[::-1], Image.Resampling.BILINEAR))
