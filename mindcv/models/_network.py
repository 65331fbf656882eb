"""The base of the networks: what the library must know of a network is said here once, on its class."""

import difflib
import functools
import inspect
import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from typing import Any, ClassVar

import numpy as np
from mindspore import Tensor, nn

from mindcv.utils.cells import replace_cells
from mindcv.weights.marks import arguments_of
from mindcv.weights.naming import NameTable, from_torch, is_mindspore, is_torch, to_torch
from mindcv.weights.resize import Grid, Resize

from .layers import classifier_head, dropout, head_pooling

# Cells of a stage, channels of its map, side of the image over side of the map.
Map = tuple[str | tuple[str, ...], int, int]

_TUPLES = ("reads_image", "gives_logits", "constants", "auxiliary", "file_arguments", "not_decayed")


class _Skipped(nn.Cell):
    """Stands where nothing is computed any more: returns its first input."""

    def construct(self, x: Tensor, *others: Any) -> Tensor:
        return x


class _Holder(nn.Cell):
    """Holds the last layer under a name of two words."""

    def __init__(self, name: str, cell: nn.Cell) -> None:
        super().__init__()
        self.name = name
        setattr(self, name, cell)

    def construct(self, x: Tensor) -> Tensor:
        return getattr(self, self.name)(x)


class ImageClassifier(nn.Cell):
    """(N, in_channels, H, W) to (N, num_classes).

    A family states its facts as class attributes, builds its cells, calls `add_head` and, last, `describe`, and writes
    `forward_stages`. Names of cells are paths of attributes (`layer1.0.conv1`).

    Attributes:
        reads_image: Cells that read the image; fitted to another number of channels.
        gives_logits: Cells that give a value for each class; the first is the main one, others are auxiliary or further
            heads. None for a network that is no classifier: it may take more than images, and gives what it will
            (MAE's pretraining: a loss). It has no `num_classes` to give, and is neither evaluated nor exported.
        torch_names: timm's and torchvision's names of cells beside ours; timm's first where they differ.
        torch_arguments: Arguments of the network that files with those names need.
        mindcv_names: MindCV's names of cells beside ours, where theirs are an accident. Parameters have MindCV's names.
        constants: Patterns of entries that hold a table that follows from the arguments; a file's are passed over.
        auxiliary: Patterns of entries that are used in training only; a file and a network may lack them.
        resized: Entries that depend on the image's size, by pattern, and how they are fitted to another.
        file_arguments: Arguments that no name or shape tells; they are written into files and read from them.
        not_decayed: Patterns of parameters that do not decay, beyond norms and biases.
        resizes_images: Whether it brings images of any size to the size that it is made for.
        default_maps: How many maps, from the first, `features_only` gives when none are named; None: all.
        num_classes: Classes of the head; 0 without one.
        num_features: Channels of what goes into the head.
        head_hidden_size: Size of what its last layer gets; `num_features` where it has one layer only.
        feature_info: A map each: `{"name": cell, "chs": channels, "reduction": side of the image / side of the map}`.
        blocks_in_order: Paths of the cells of each block, in depth order.
        last_map: Index of the last map that is computed: the last of all but in `features_only`.
        grids: Rows and columns of the tokens of an entry in `resized`, where they are no square.
    """

    reads_image: ClassVar[tuple[str, ...]] = ()
    gives_logits: ClassVar[tuple[str, ...]] = ("classifier",)
    torch_names: ClassVar[NameTable] = NameTable()
    torch_arguments: ClassVar[Mapping[str, Any]] = {}
    mindcv_names: ClassVar[NameTable] = NameTable()
    constants: ClassVar[tuple[str, ...]] = ()
    auxiliary: ClassVar[tuple[str, ...]] = ()
    resized: ClassVar[Mapping[str, Resize]] = {}
    file_arguments: ClassVar[tuple[str, ...]] = ()
    not_decayed: ClassVar[tuple[str, ...]] = ()
    resizes_images: ClassVar[bool] = False
    default_maps: ClassVar[int | None] = None
    # How a head is made decides no graph: the compile cache's key leaves it out.
    _outside_graph: ClassVar[tuple[str, ...]] = ("_make_head",)

    num_classes: int
    num_features: int
    head_hidden_size: int
    feature_info: list[dict[str, Any]]
    blocks_in_order: list[tuple[str, ...]]
    last_map: int
    grids: dict[str, Grid]
    variant_arguments: dict[str, Any] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        known = _hooks()
        for name in vars(cls):
            if name in known or name.startswith("_"):
                continue
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            if close:
                raise TypeError(f"{cls.__name__}.{name} has no meaning here; did you mean {close[0]!r}?")
        for name in _TUPLES:
            value = getattr(cls, name)
            if not isinstance(value, tuple) or not all(isinstance(entry, str) for entry in value):
                raise TypeError(f"{cls.__name__}.{name} is {value!r}; give a tuple of names")

    # Building

    def add_head(
        self,
        num_features: int,
        num_classes: int,
        drop_rate: float,
        *,
        name: str = "classifier",
        pool: str = "avg",
        make: Any = classifier_head,
        hidden: Sequence[nn.Cell] = (),
        hidden_size: int = 0,
    ) -> None:
        """Adds pooling, dropout and the layer that gives the logits.

        Args:
            num_features: Channels of what is pooled.
            num_classes: Number of classes; 0 leaves the last layer out.
            drop_rate: Dropout before the last layer.
            name: Attribute of the last layer (`classifier`), or of a cell that holds it (`head.fc`).
            pool: "avg" for maps (N, C, H, W); "token" for the first of tokens (N, L, D), "tokens" for the mean of all,
                "none" for what is pooled already.
            make: Makes the last layer of the number of features and of classes.
            hidden: Cells between pooling and dropout; the cell `name` is then a list of these, dropout and last layer,
                so that the last layer is called `classifier.3` behind two of them.
            hidden_size: Size of what they give.

        Raises:
            ValueError: The rate or the number of classes cannot be.
        """
        self.num_features = num_features
        self.head_hidden_size = hidden_size if hidden else num_features
        self.num_classes = num_classes
        self._make_head = make
        self.pool = head_pooling(pool)
        self.dropout = dropout("drop_rate", drop_rate)
        self.head_name, _, inner = name.partition(".")
        last = make(self.head_hidden_size, num_classes)
        if hidden:
            last = nn.SequentialCell([*hidden, self.dropout, last])
            self.dropout = nn.Identity()
        setattr(self, self.head_name, _Holder(inner, last) if inner else last)

    def describe(
        self,
        blocks: Sequence[nn.Cell | Sequence[nn.Cell]],
        maps: Sequence[Map],
        tail: Sequence[str] = (),
        further_heads: Mapping[str, int] | None = None,
    ) -> None:
        """Says what the network is made of; to be called when all cells are there.

        Args:
            blocks: The blocks in depth order; several cells that belong to one depth (a downsampling and its block) as
                a tuple. What is neither here nor in `tail` nor in the head is the stem.
            maps: The maps that `forward_stages` returns, each with the cells that run between the one before and it.
            tail: Cells between the last block and the head (a last norm); they belong to the last block's depth.
            further_heads: Size of what further heads get that `num_classes` 0 leaves out.

        Raises:
            ValueError: A cell that is named here or on the class is not in the network.
        """
        paths = {id(cell): path for path, cell in self.cells_and_names()}
        groups = [block if isinstance(block, (tuple, list)) else (block,) for block in blocks]
        self.blocks_in_order = [tuple(paths[id(cell)] for cell in group) for group in groups]
        self.map_cells = [(cells,) if isinstance(cells, str) else tuple(cells) for cells, _, _ in maps]
        self.tail = tuple(tail)
        self.feature_info = [
            {"name": cells[-1], "chs": channels, "reduction": reduction}
            for cells, (_, channels, reduction) in zip(self.map_cells, maps, strict=True)
        ]
        self.last_map = len(maps) - 1
        self.grids = getattr(self, "grids", {})
        known = set(paths.values())
        named = [
            *self.reads_image,
            *self.gives_logits[:1],
            *self.tail,
            *(cell for cells in self.map_cells for cell in cells),
        ]
        for name in named:
            if name not in known:
                raise ValueError(
                    f"{type(self).__name__} has no cell {name!r}, which it names; it has {sorted(self._cells)}"
                )
        heads = {name: self._cell(name) for name in self.gives_logits[1:]}
        self._further_heads = {name: cell.in_channels for name, cell in heads.items() if isinstance(cell, nn.Dense)}
        self._further_heads.update(further_heads or {})
        self._name_parameters()

    def describe_blocks(
        self, embed_dim: int, patch_size: int, tail: Sequence[str], further_blocks: Sequence[nn.Cell] = ()
    ) -> None:
        """`describe` for a network whose `blocks` all have tokens of one size: a map behind each of them.

        Args:
            embed_dim: Size of a token.
            patch_size: Side of a patch.
            tail: Cells behind `blocks`.
            further_blocks: Blocks among them, which go on in depth.
        """
        maps = [(f"blocks.{index}", embed_dim, patch_size) for index in range(len(self.blocks))]
        self.describe([*self.blocks, *further_blocks], maps, tail)

    def _name_parameters(self) -> None:
        """Gives the parameters MindCV's names, which are those of its files."""
        names = self.mindcv_names.to_theirs(dict(self.parameters_and_names()))
        for name, parameter in names.items():
            parameter.name = name

    # Running

    def inputs_of(self, images: Tensor) -> tuple[Tensor, ...]:
        """Returns what the network takes for images: these alone, unless it is no classifier."""
        return (images,)

    def forward_stages(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns the maps that `describe` names: (N, in_channels, H, W) to maps or tokens."""
        raise NotImplementedError(f"{type(self).__name__} has no forward_stages")

    def forward_blocks(self, x: Tensor) -> tuple[Tensor, ...]:
        """Returns what each of `blocks` gives, one behind the other."""
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        return tuple(outputs)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns what the head gets: (N, in_channels, H, W) to (N, num_features, h, w) or (N, L, num_features)."""
        return self.forward_stages(x)[-1]

    def forward_head(self, x: Tensor) -> Tensor:
        """Returns the logits of what `forward_features` gives: to (N, num_classes)."""
        return getattr(self, self.head_name)(self.dropout(self.pool(x)))

    def construct(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def as_map(self, x: Tensor, index: int) -> Tensor:
        """Returns entry `index` of `forward_stages` as a map, (N, C, h, w)."""
        return x

    # The head

    def get_classifier(self) -> nn.Cell:
        """Returns the layer that gives the logits.

        Raises:
            ValueError: The network is no classifier.
        """
        require_classifier(self)
        return self._cell(self.gives_logits[0])

    def reset_classifier(self, num_classes: int) -> None:
        """Replaces all layers that give logits by fresh ones for `num_classes`; 0 leaves them out.

        Raises:
            ValueError: The network is no classifier.
        """
        require_classifier(self)
        for name in self.gives_logits:
            if name == self.gives_logits[0]:
                new = self._make_head(self.head_hidden_size, num_classes)
            elif name in self._further_heads:
                new = classifier_head(self._further_heads[name], num_classes)
            else:
                continue
            self._put(name, new)
        self.num_classes = num_classes
        self._name_parameters()
        self.compile_cache.clear()  # graph mode would run the old head

    def _cell(self, path: str) -> nn.Cell | None:
        """Returns the cell at a path, or None where there is none."""
        cell: Any = self
        for word in path.split("."):
            cell = cell._cells.get(word)
            if cell is None:
                return None
        return cell

    def _put(self, path: str, cell: nn.Cell) -> None:
        """Puts a cell in the place of another one."""
        parent, _, name = path.rpartition(".")
        owner: Any = self._cell(parent) if parent else self
        for parameter_name, parameter in cell.parameters_and_names():
            parameter.name = f"{path}.{parameter_name}"
        if isinstance(owner, (nn.SequentialCell, nn.CellList)):
            owner[int(name)] = cell
        else:
            setattr(owner, name, cell)

    # Depth

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Returns regular expressions that sort parameters by depth, in timm's form; what none matches is the head.

        Args:
            coarse: A depth is a stage (what `forward_stages` gives one map of) in place of a block.
        """
        depths = self._depths()
        blocks: list[tuple[str, tuple[int, ...]]] = []
        for index, paths in enumerate(self.blocks_in_order):
            order = self._stage_of(paths[0]) if coarse else index
            blocks.append((_exactly(name for name, depth in depths.items() if depth == index), (order,)))
        tail = [name for name, depth in depths.items() if depth == _TAIL]
        if tail:
            blocks.append((_exactly(tail), (99999,)))
        return {"stem": _exactly(name for name, depth in depths.items() if depth == _STEM), "blocks": blocks}

    def _depths(self) -> dict[str, int]:
        """Returns the index of the block, or `_STEM`, `_TAIL` or `_HEAD`, of each parameter by its name."""
        block_of = {path: index for index, paths in enumerate(self.blocks_in_order) for path in paths}
        others = {**dict.fromkeys(self.tail, _TAIL), **dict.fromkeys(self.gives_logits, _HEAD)}
        depths = {}
        for path, parameter in self.parameters_and_names():
            words = path.split(".")
            prefixes = [".".join(words[:end]) for end in range(len(words), 0, -1)]
            depths[parameter.name] = next(
                (places[prefix] for prefix in prefixes for places in (block_of, others) if prefix in places), _STEM
            )
        return depths

    def _stage_of(self, path: str) -> int:
        for index, cells in enumerate(self.map_cells):
            if any(path == cell or path.startswith(f"{cell}.") for cell in cells):
                return index
        return len(self.map_cells) - 1  # blocks behind the last map

    def no_weight_decay(self) -> set[str]:
        """Returns names of parameters that must not decay, beyond norms and biases."""
        return {
            parameter.name
            for path, parameter in self.parameters_and_names()
            if any(fnmatchcase(path, pattern) for pattern in self.not_decayed)
        }

    def keep_maps(self, indices: Sequence[int]) -> None:
        """Leaves out all cells behind the last of the maps that are wanted."""
        self.last_map = max(indices)
        behind = [cell for cells in self.map_cells[self.last_map + 1 :] for cell in cells]
        dropped = {id(self._cell(path)) for path in (*behind, *self.tail, *self.gives_logits)}
        kept = {id(self._cell(path)) for cells in self.map_cells[: self.last_map + 1] for path in cells}
        replace_cells(self, partial(_skip, ids=dropped - kept))

    # Files

    @classmethod
    def file_tells(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Returns the arguments of the network that a file belongs to, as far as its names and shapes tell.

        Args:
            arrays: The file's arrays, by timm's, torchvision's, MindCV's or our names.
        """
        parameters = inspect.signature(cls.__init__).parameters
        told: dict[str, Any] = {
            name: _as_type_of(parameters[name].default, value)
            for name, value in arguments_of(arrays).items()
            if name in cls.file_arguments
        }
        if cls.is_torch_file(arrays):
            told.update(cls.torch_arguments)
            ours = cls.torch_names.to_ours(arrays)
        else:
            ours = cls.mindcv_names.to_ours(arrays)
        for argument, cells, axis in (("num_classes", cls.gives_logits, 0), ("in_channels", cls.reads_image, 1)):
            weight = ours.get(f"{cells[0]}.weight") if cells else None
            if weight is not None and weight.ndim > axis:
                told[argument] = int(weight.shape[axis])
        return told

    @classmethod
    def told_arguments(cls, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Returns those of `file_tells` that a network has to be built with for the file: its `file_arguments`."""
        return {name: value for name, value in cls.file_tells(arrays).items() if name in cls.file_arguments}

    @classmethod
    def file_may_tell(cls, arrays: Mapping[str, np.ndarray]) -> Sequence[Mapping[str, Any]]:
        """Returns arguments of other networks that a file may belong to just as well, since nothing in it tells.

        They are taken where they are given; otherwise those of `file_tells` are.
        """
        return ()

    @classmethod
    def is_torch_file(cls, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether a file has timm's or torchvision's names."""
        return is_torch(arrays) or (not is_mindspore(arrays) and list(cls.torch_names.to_ours(arrays)) != list(arrays))

    def from_mindcv(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays of another version of MindCV by the names of this one; others stay what they are."""
        return arrays

    def from_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays of timm's or torchvision's names by the paths of our cells."""
        return from_torch(self.torch_names.to_ours(arrays), {path for path, _ in self.parameters_and_names()})

    def to_torch(self, arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """Returns arrays by the paths of our cells under timm's names; inverts `from_torch`.

        Raises:
            ValueError: timm has no such network.
        """
        return to_torch(self.torch_names.to_theirs(arrays))


_STEM, _TAIL, _HEAD = -1, -2, -3


def require_classifier(network: nn.Cell | type[nn.Cell], name: str = "") -> None:
    """Holds a network against what evaluation, export and training of classifiers need of it.

    Args:
        network: The network, or its class; one that is not of this library is taken for a classifier.
        name: The model's name for the message; empty: the class's.

    Raises:
        ValueError: It gives no logits.
    """
    if not getattr(network, "gives_logits", ("logits",)):
        kind = network.__name__ if isinstance(network, type) else type(network).__name__
        raise ValueError(
            f"{name or kind} is no classifier: a {kind} has no classes to train, evaluate or export; docs/training.md "
            "says how it is used"
        )


def as_text(value: Any) -> str:
    """Writes an argument for a file; numbers of a tuple are parted by x."""
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _as_type_of(default: Any, text: str) -> Any:
    """Reads a value that was written into a file by `as_text`."""
    if isinstance(default, tuple):
        return tuple(type(default[0])(part) for part in text.split("x"))
    return text == "True" if isinstance(default, bool) else type(default)(text)


def _skip(cell: nn.Cell, ids: set[int]) -> nn.Cell | None:
    return _Skipped() if id(cell) in ids else None


def _exactly(names: Any) -> str:
    """A regular expression that matches these names and no others."""
    return "^(?:" + "|".join(re.escape(name) for name in names) + ")$"


@functools.cache
def _hooks() -> set[str]:
    """Names that a network's class may say something by."""
    own = set(dir(ImageClassifier)) - set(dir(nn.Cell))
    return {name for name in own if not name.startswith("_")} | {"construct", "forward_stages"}
