"""Lets cells of a network compute by the kernels while a training step or an evaluation runs.

Nothing is replaced: for that time a cell has another class, of `classes.py`, with its parameters, names and flags.
Outside of it the network is what it was, also for an export.

A convolution, the BatchNorm behind it and the activation behind that are found where they stand one behind the other
in a SequentialCell, or in a block that `blocks.py` knows. The BatchNorm then does the activation's work, and the
convolution hands its output on with channels last, as oneDNN has it.

A GELU before a dense layer, in an MLP or in ConvNeXt's block, is done by that layer, which does not keep its values.
"""

import collections
import logging
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn

from . import onednn
from .batch_norm import ACTIVATIONS, NO_ACTIVATION
from .blocks import BLOCKS, LAST, STAGES, block_class, scaled_block_class
from .classes import (
    IN_BF16,
    ONE_VALUE_NORM,
    Passed,
    activation_number,
    class_name,
    missed,
    prepare_attention,
    prepare_convolution,
    prepare_dense,
    prepare_drop_path,
    prepare_gate,
    prepare_gelu,
    prepare_global_response_norm,
    prepare_layer_norm,
    prepare_layer_norm_2d,
    prepare_layer_scale,
    prepare_norm,
    prepare_pair,
    prepare_pool,
    prepare_squeeze_excite,
    prepare_standardised_convolution,
    sure_class,
)
from .layout import Fork, Layout
from .memory import give_back
from .operators import as_tensor, unknown
from .scale import BY_COLUMN, scale
from .squeeze_excite import EXCITE_ACTIVATIONS, GATES

try:
    from mindspore.graph.api import _cell_graph_executor
except ImportError:  # before MindSpore 2.9
    from mindspore.common.api import _cell_graph_executor

_logger = logging.getLogger(__name__)

# What MindSpore names the cells by that are computed once more in the backward pass.
_RECOMPUTED = "recompute_"

__all__ = ["IN_BF16", "KernelCells", "forget_graph", "missed"]


def _is_convolution(cell: nn.Cell | None) -> bool:
    return type(cell) is nn.Conv2d and not _is_half(cell)


def _is_norm(cell: nn.Cell | None) -> bool:
    is_known = type(cell) is nn.BatchNorm2d or class_name(type(cell)) == ONE_VALUE_NORM
    return is_known and not _is_half(cell)  # type: ignore[arg-type]


def _is_attention(cell: nn.Cell) -> bool:
    """Whether it is mindcv's self-attention, whose softmax nothing is dropped of."""
    return class_name(type(cell)) == f"{_LAYERS}.attention.Attention" and cell.attn_drop.p == 0


_LAYERS = "mindcv.models.layers"
_LAYER_NORM_2D = f"{_LAYERS}.norm.LayerNorm2d"
_LAYER_SCALE = f"{_LAYERS}.scale.LayerScale"
_DROP_PATH = f"{_LAYERS}.drop.DropPath"
_GLOBAL_RESPONSE_NORM = f"{_LAYERS}.scale.GlobalResponseNorm"
_STANDARDISED = "mindcv.models.bit.StdConv2d"
_CONVNEXT, _CONVNEXT_BLOCK = "mindcv.models.convnext.ConvNeXt", f"{_LAYERS}.convnext_block.ConvNeXtBlock"
_SQUEEZE_EXCITES = (f"{_LAYERS}.squeeze_excite.SqueezeExcite", f"{_LAYERS}.squeeze_excite.SqueezeExciteV2")

# Kinds of layers that there are kernels for, with those derived from them that may compute something else
_KINDS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Conv2dTranspose, nn.Dense, nn.MaxPool2d),
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.InstanceNorm2d, nn.LayerNorm),
)

# Cells with a GELU before a dense layer: class -> their names, and what stands between the two
_ACTIVATED = {
    f"{_LAYERS}.feed_forward.Mlp": ("act", "drop1", "fc2"),
    f"{_LAYERS}.upstream.Mlp": ("act", "drop", "fc2"),
    _CONVNEXT_BLOCK: ("act", "grn", "pwconv2"),
}

# Blocks whose cells, in `layers`, are only called one behind the other
_CHAINED = tuple(
    f"{_LAYERS}.inverted_residual.{name}"
    for name in ("InvertedResidual", "FusedInvertedResidual", "DepthwiseSeparable")
)


def _is_squeeze_excite(cell: nn.Cell | None) -> bool:
    """Whether all of it can be one operator."""
    return (
        class_name(type(cell)) == _SQUEEZE_EXCITES[0]
        and type(cell.bn) is nn.Identity
        and activation_number(cell.act) in EXCITE_ACTIVATIONS
        and type(cell.gate) in GATES
        and all(layer.has_bias and not getattr(layer, IN_BF16, False) for layer in (cell.conv_reduce, cell.conv_expand))
        and not any(map(_is_half, (cell, cell.conv_reduce, cell.act, cell.conv_expand, cell.gate)))
    )


def _is_gate(cell: nn.Cell) -> bool:
    """Whether it is a squeeze and excitation, with a gate in fp32."""
    return class_name(type(cell)) in _SQUEEZE_EXCITES and not any(map(_is_half, (cell, cell.conv_expand, cell.gate)))


def _is_dense(cell: nn.Cell) -> bool:
    return type(cell) is nn.Dense and not _is_half(cell)


def _is_gelu(cell: nn.Cell) -> bool:
    return type(cell) is nn.GELU and not _is_half(cell)


def _passes(cell: nn.Cell) -> bool:
    """Whether it gives what it gets, in training too."""
    return type(cell) is nn.Identity or (type(cell) is nn.Dropout and cell.p == 0)


def _is_layer_norm(cell: nn.Cell) -> bool:
    """Whether it is one over the last axis, or mindcv's over the channels of a map."""
    return (
        (type(cell) is nn.LayerNorm or class_name(type(cell)) == _LAYER_NORM_2D)
        and len(cell.normalized_shape) == 1
        and cell.begin_norm_axis == cell.begin_params_axis == -1
        and cell.gamma.dtype == cell.beta.dtype == ms.float32
        and not _is_half(cell)
    )


def _is_half(cell: nn.Cell) -> bool:
    """Whether `to_float` has put the cell in half precision: in PyNative mode operators cast, and not the input."""
    flags = cell.get_flags()
    return bool(flags.get("fp16") or flags.get("bf16"))


class KernelCells:
    """Lets the cells of a network compute by the kernels inside a `with` block; without kernels it does nothing.

    Args:
        network: The network. Its cells are looked for when the block is first entered.
    """

    def __init__(self, network: nn.Cell) -> None:
        self._network = network
        self._cells: list[tuple[nn.Cell, type, type]] | None = None
        self._left: collections.Counter[str] = collections.Counter()
        self._missed_by_others: collections.Counter[str] = collections.Counter()
        self._depth = 0
        self._is_told = False
        self._asks = False
        self._compiled: set[tuple[Any, ...]] = set()

    def __enter__(self) -> "KernelCells":
        if self._cells is None:
            self._cells, self._missed_by_others = [], missed.copy()
            if onednn.start().path is not None:
                search = _Search(self._network)
                self._cells, self._left = search.found, search.left
        self._depth += 1
        if self._depth == 1:
            _exchange((cell, own) for cell, _, own in self._cells)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            _exchange((cell, former) for cell, former, _ in self._cells or ())
            if not self._is_told:
                self._is_told = True
                self._tell()

    def _tell(self) -> None:
        """Says what is left to MindSpore."""
        status = onednn.start()
        if self._cells or self._left:
            counts = self._left + (missed - self._missed_by_others)
            left = ", ".join(f"{what} ({count})" for what, count in counts.items()) or "nothing"
            _logger.info("CPU kernels: %d cells by them; left to MindSpore: %s", len(self._cells or ()), left)
        elif status.path is None and ms.get_context("device_target") == "CPU":
            _logger.info("CPU kernels: %s; MindSpore's operators compute", status.text)

    def compile(self, cell: nn.Cell, inputs: tuple[Any, ...]) -> int:
        """Compiles a cell that the network is in, in graph mode and once for such inputs; calling it then runs it.

        The network's cells ask nothing. Where one was given what the kernels do not have, they are compiled anew, with
        their questions, and from then on always.

        Args:
            cell: The cell, or the network itself.
            inputs: What it will be called with.

        Returns:
            How many graphs were made; the last one counts.
        """
        call = (id(cell), cell.training, *((i.shape, i.dtype) if isinstance(i, Tensor) else i for i in inputs))
        if call in self._compiled or ms.get_context("mode") != ms.GRAPH_MODE:
            return 0
        graphs, phases = 1, len(cell.compile_cache)
        with self:
            cell.check_names_and_refresh_name()
            if self._asks or not self._cells:
                cell.compile(*inputs)
            elif not self._compile_surely(cell, inputs):
                self._asks = True
                forget_graph(cell)
                cell.compile(*inputs)
                graphs = 2
        self._compiled.add(call)
        if len(cell.compile_cache) > phases:  # and not taken from a `CompileCache` before
            give_back()
        return graphs

    def _compile_surely(self, cell: nn.Cell, inputs: tuple[Any, ...]) -> bool:
        """Compiles without questions; False where the kernels do not have all."""
        cells = self._cells or []
        _exchange((one, sure_class(one, own)) for one, _, own in cells)
        unknown.clear()
        try:
            cell.compile(*inputs)
        except Exception:
            if not unknown:
                raise
        finally:
            _exchange((one, own) for one, _, own in cells)
        return not unknown


def _exchange(pairs: Iterable[tuple[nn.Cell, type]]) -> None:
    for cell, kind in pairs:
        object.__setattr__(cell, "__class__", kind)  # nn.Cell's own takes longer


def forget_graph(cell: nn.Cell) -> None:
    """Makes MindSpore compile a cell anew when it is called."""
    _cell_graph_executor.del_net_res(cell, {cell.current_phase})
    cell.compile_cache.discard(cell.current_phase)


class _Search:
    """Finds the cells of a network that the kernels compute, and prepares them: `found`, with their classes.

    `left`: how many layers of each class no kernel computes.
    """

    def __init__(self, network: nn.Cell) -> None:
        self.found: list[tuple[nn.Cell, type, type]] = []
        self.left: collections.Counter[str] = collections.Counter()
        self._known: set[int] = set()
        self._places: collections.Counter[int] = collections.Counter()
        pairs = list(_parents(network))
        for parent, _ in pairs:
            self._places.update(id(child) for child in parent._cells.values())
        for parent, _ in pairs:
            if class_name(type(parent)) in LAST and hasattr(parent, STAGES[0]) and _is_reached(network, parent):
                self._network(parent)
            if class_name(type(parent)) == _CONVNEXT and _is_reached(network, parent):
                self._convnext(parent)
        for parent, is_ours in pairs:
            if is_ours and id(parent) not in self._known and class_name(type(parent)) in BLOCKS:
                self._block(parent)
        for parent, is_ours in pairs:
            if is_ours and class_name(type(parent)) in _CHAINED and self._places[id(parent.layers)] == 1:
                self._chain(list(parent.layers._cells.values()))
        for parent, _ in pairs:
            if class_name(type(parent)) in _ACTIVATED:
                self._activated(*(getattr(parent, name) for name in _ACTIVATED[class_name(type(parent))]))
        for parent, is_ours in pairs:
            if is_ours and type(parent) is nn.SequentialCell:
                self._row(list(parent._cells.values()))
        for parent, _ in pairs:
            for cell in parent._cells.values():
                self._single(cell)

    def _exchange(self, cell: nn.Cell, own: type) -> None:
        self._known.add(id(cell))
        self.found.append((cell, type(cell), own))

    def _single(self, cell: nn.Cell | None) -> None:
        if cell is None or id(cell) in self._known:
            return
        if _is_convolution(cell):
            self._exchange(cell, prepare_convolution(cell))
        elif _is_norm(cell):
            self._exchange(cell, prepare_norm(cell))
        elif type(cell) is nn.MaxPool2d and not cell.use_pad and not _is_half(cell):
            self._exchange(cell, prepare_pool(cell))
        elif _is_dense(cell):
            self._exchange(cell, prepare_dense(cell))
        elif _is_gelu(cell):
            self._exchange(cell, prepare_gelu(cell))
        elif _is_attention(cell) and not _is_half(cell.qkv):
            self._exchange(cell, prepare_attention(cell))
        elif _is_layer_norm(cell):
            prepare = prepare_layer_norm if type(cell) is nn.LayerNorm else prepare_layer_norm_2d
            self._exchange(cell, prepare(cell))
        elif class_name(type(cell)) == _LAYER_SCALE and not _is_half(cell):
            self._exchange(cell, prepare_layer_scale(cell))
        elif class_name(type(cell)) == _DROP_PATH and cell.drop_prob > 0 and not _is_half(cell):
            self._exchange(cell, prepare_drop_path(cell))
        elif class_name(type(cell)) == _GLOBAL_RESPONSE_NORM and not _is_half(cell):
            self._exchange(cell, prepare_global_response_norm(cell))
        elif _is_gate(cell):
            self._exchange(cell, prepare_gate(cell))
        elif class_name(type(cell)) == _STANDARDISED and not _is_half(cell):
            self._exchange(cell, prepare_standardised_convolution(cell))
        elif type(cell) in (nn.Conv2d, nn.BatchNorm2d, nn.Dense):
            self._known.add(id(cell))
            missed[f"{type(cell).__name__} in half precision"] += 1
        elif isinstance(cell, _KINDS):
            self._known.add(id(cell))
            self.left[type(cell).__name__] += 1

    def _can_pair(self, convolution_cell: Any, norm: Any) -> bool:
        """Whether the second gets what the first gives, and nobody else does."""
        if not (_is_convolution(convolution_cell) and _is_norm(norm)) or convolution_cell.has_bias:
            return False
        cells = (convolution_cell, norm)
        return not any(id(cell) in self._known or self._places[id(cell)] > 1 for cell in cells)

    def _pair(self, convolution_cell: Any, norm: Any, activation: int = NO_ACTIVATION, adds: bool = False) -> None:
        # A 1x1 convolution is a matrix product of (N, C, H, W) as it is, but for bfloat16.
        is_product = convolution_cell.kernel_size == (1, 1) and convolution_cell.stride == (1, 1)
        is_product = is_product and not getattr(convolution_cell, IN_BF16, False)
        gives_last = not (is_product and convolution_cell.group == 1)
        self._exchange(convolution_cell, prepare_convolution(convolution_cell, gives_last))
        self._exchange(norm, prepare_norm(norm, gives_last, activation, adds))
        self._join(convolution_cell, norm)

    def _row(self, row: list[Any]) -> None:
        """Pairs in the cells of a SequentialCell."""
        for index in range(len(row) - 1):
            if not self._can_pair(row[index], row[index + 1]):
                continue
            number = self._activation_behind(row, index + 1)
            self._pair(row[index], row[index + 1], number)
            if number:
                self._exchange(row[index + 2], Passed)

    def _chain(self, row: list[Any]) -> None:
        """Pairs in such a row, between which maps are (N, H, W, C)."""
        takes_last, index = False, 0
        while index + 1 < len(row):
            if not self._can_pair(row[index], row[index + 1]):
                takes_last, index = False, index + 1
                continue
            convolution_cell, norm = row[index : index + 2]
            number, index = self._activation_behind(row, index + 1), index + 2
            activation = row[index] if number else None
            index += bool(number)
            gate = row[index] if index < len(row) and self._is_free_squeeze_excite(row[index]) else None
            behind = row[index + (gate is not None) :][:2]
            gives_last = len(behind) == 2 and self._can_pair(*behind)
            if takes_last or gives_last:
                self._pair_last(convolution_cell, norm, number, takes_last=takes_last, gives_last=gives_last)
            else:
                self._pair(convolution_cell, norm, number)
            if activation is not None:
                self._exchange(activation, Passed)
            if gate is not None and gives_last:
                self._exchange(gate, prepare_squeeze_excite(gate))
                index += 1
            takes_last = gives_last

    def _is_free_squeeze_excite(self, cell: nn.Cell) -> bool:
        return _is_squeeze_excite(cell) and self._places[id(cell)] == 1 and id(cell) not in self._known

    def _activation_behind(self, row: list[Any], index: int) -> int:
        """The number of the activation behind a BatchNorm at that index, which does its work; or `NO_ACTIVATION`."""
        behind = row[index + 1] if index + 1 < len(row) else None
        number = activation_number(behind)
        if number and (self._places[id(behind)] > 1 or _is_half(behind) or id(behind) in self._known):
            return NO_ACTIVATION
        return number

    def _activated(self, act: nn.Cell, between: nn.Cell, layer: nn.Cell) -> None:
        """A GELU that the dense layer behind it does, where that is what stands there."""
        is_known = any(id(cell) in self._known or self._places[id(cell)] > 1 for cell in (act, layer))
        if _is_gelu(act) and _passes(between) and _is_dense(layer) and not is_known:
            self._exchange(act, Passed)
            self._exchange(layer, prepare_dense(layer, act))

    def _pairs(self, block: nn.Cell) -> list[tuple[nn.Cell, nn.Cell]] | None:
        """The pairs of a block of `BLOCKS`; None where it is not run as those are."""
        names, _, _ = BLOCKS[class_name(type(block))]
        cells: list[Any] = [(getattr(block, conv, None), getattr(block, norm, None)) for conv, norm in names]
        if type(block.relu) is not nn.ReLU or not all(self._can_pair(*pair) for pair in cells):
            return None
        if hasattr(block, "drop_path") and block.drop_path.drop_prob > 0:
            return None
        return cells

    def _block(self, block: nn.Cell) -> None:
        """A block of `BLOCKS`: all of its pairs, or none."""
        cells = self._pairs(block)
        if cells is None:
            return
        adds = BLOCKS[class_name(type(block))][1]
        for index, pair in enumerate(cells):
            self._pair(*pair, ACTIVATIONS[nn.ReLU], adds and index == len(cells) - 1)
        self._exchange(block, block_class(type(block), False))

    def _network(self, network: Any) -> None:
        """A network of `LAST`: all of its stages, or nothing."""
        stages = [getattr(network, name, None) for name in STAGES]
        if not all(type(stage) is nn.SequentialCell for stage in stages):
            return
        blocks: list[Any] = [block for stage in stages for block in stage._cells.values()]
        if any(self._places[id(cell)] > 1 for cell in (network, *stages, *blocks)):
            return
        if not all(class_name(type(block)) in BLOCKS for block in blocks):
            return
        stem, shortcuts = self._pairs(network), [_shortcut_pairs(block.down_sample) for block in blocks]
        branches = [self._pairs(block) for block in blocks]
        if stem is None or None in branches or not all(self._can_pair(*pair) for pairs in shortcuts for pair in pairs):
            return
        rows: list[Any] = [(row, ACTIVATIONS[nn.ReLU], True) for row in branches]
        rows += [(row, NO_ACTIVATION, False) for row in shortcuts]
        is_half = all(getattr(convolution_cell, IN_BF16, False) for row, _, _ in rows for convolution_cell, _ in row)
        for row, activation, adds in rows:
            for index, pair in enumerate(row):
                self._pair_last(*pair, activation, adds and index == len(row) - 1, is_half)
        # Not as cells of the network, which they are no part of
        fork = Fork(is_half)
        for cell in (network, *blocks):
            object.__setattr__(cell, "kernel_fork", fork)
            self._exchange(cell, block_class(type(cell), True))
        object.__setattr__(network, "kernel_to_last", Layout(True, is_half))
        object.__setattr__(network, "kernel_to_first", Layout(False, is_half))
        self._pair(*stem[0], ACTIVATIONS[nn.ReLU])

    def _convnext(self, network: Any) -> None:
        """A ConvNeXt: all of its stages, or nothing."""
        rows = list(network.feature._cells.values())
        blocks: list[Any] = [block for row in rows[1::2] for block in row._cells.values()]
        shrinks: list[Any] = [cell for row in rows[::2] for cell in row._cells.values()]
        convs = [cell for cell in shrinks if _is_convolution(cell)] + [block.dwconv for block in blocks]
        norms = [cell for cell in shrinks if _is_layer_norm(cell)] + [block.norm for block in blocks]
        cells = (network, *rows, *blocks, *convs, *norms)
        if any(self._places[id(cell)] > 1 for cell in cells) or len(convs) + len(norms) != len(shrinks) + 2 * len(
            blocks
        ):
            return
        if any(class_name(type(block)) != _CONVNEXT_BLOCK for block in blocks):
            return
        if not (all(map(_is_convolution, convs)) and all(map(_is_layer_norm, norms))):
            return
        for cell in convs:
            self._exchange(cell, prepare_convolution(cell, gives_last=True, takes_last=cell is not convs[0]))
        for cell in norms:
            if type(cell) is not nn.LayerNorm:
                self._exchange(cell, prepare_layer_norm_2d(cell, is_last=True))
        fork, adds = Fork(False), scale(adds=True)
        for cell in (network, *blocks):
            object.__setattr__(cell, "kernel_fork", fork)
        object.__setattr__(network, "kernel_to_first", Layout(False, False))
        self._exchange(network, block_class(type(network), True))
        for block in blocks:
            is_scaled = class_name(type(block.layer_scale)) == _LAYER_SCALE and block.drop_path.drop_prob == 0
            block.kernel_sum, block.kernel_sum_tensor = adds, as_tensor(BY_COLUMN)
            self._exchange(block, scaled_block_class(type(block)) if is_scaled else block_class(type(block), True))

    def _pair_last(
        self,
        convolution_cell: Any,
        norm: Any,
        activation: int,
        adds: bool = False,
        is_half: bool = False,
        takes_last: bool = True,
        gives_last: bool = True,
    ) -> None:
        """A pair with channels last between, and before and behind where it says so."""
        self._exchange(convolution_cell, prepare_convolution(convolution_cell, True, takes_last, is_half))
        self._exchange(norm, prepare_norm(norm, True, activation, adds, gives_last, is_half))
        self._join(convolution_cell, norm)

    def _join(self, convolution_cell: Any, norm: Any) -> None:
        """Lets a pair be one operator, but where its parts have fates of their own in the backward pass."""
        is_recomputed = str(convolution_cell._scope or "").startswith(_RECOMPUTED)
        if convolution_cell.weight.requires_grad and not is_recomputed:
            prepare_pair(convolution_cell, norm)


def _shortcut_pairs(cell: nn.Cell | None) -> list[tuple[nn.Cell, nn.Cell]]:
    """The pair of a block's shortcut; nothing where the shortcut is the input itself."""
    if cell is None or type(cell) is nn.Identity:
        return []
    row = list(cell._cells.values())
    # What is no such pair is one that no kernel takes.
    return [(row[0], row[1])] if type(cell) is nn.SequentialCell and len(row) == 2 else [(cell, cell)]


def _is_reached(root: nn.Cell, wanted: nn.Cell) -> bool:
    """Whether only cells of mindcv's and MindSpore's lead to a cell: a user's may call its parts by themselves."""
    if root is wanted:
        return True
    if not type(root).__module__.startswith(("mindcv.", "mindspore.")):
        return False
    return any(_is_reached(child, wanted) for child in root._cells.values() if child is not None)


def _parents(network: nn.Cell) -> Iterator[tuple[nn.Cell, bool]]:
    """All cells that have cells, each once, and whether mindcv's own class decides how theirs are called."""
    seen: set[int] = set()

    def walk(cell: nn.Cell, is_ours: bool) -> Iterator[tuple[nn.Cell, bool]]:
        if id(cell) in seen:
            return
        seen.add(id(cell))
        if not type(cell).__module__.startswith("mindspore."):
            is_ours = type(cell).__module__.startswith("mindcv.")
        yield cell, is_ours
        for child in cell._cells.values():
            if child is not None:
                yield from walk(child, is_ours)

    return walk(network, False)
