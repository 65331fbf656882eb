"""Finding a model's weights in what a training saved: torch's nested dictionaries, MindSpore's flat list of names."""

from collections.abc import Mapping

from ._arrays import BadWeightFile, LazyArray, Tree

_RAW_KEYS = ("state_dict", "model", "model_state_dict", "model_state", "network", "net")
_EMA_KEYS = ("state_dict_ema", "model_ema", "ema_state_dict", "ema")
_MAX_DEPTH = 5
_WRAPPER_PREFIXES = ("module.", "_orig_mod.")
"""Put before every name by torch's DataParallel and torch.compile."""

_EMA_PREFIX = "ema."
_SLOT_PREFIXES = frozenset(
    (
        *(
            "moments",
            "moment",
            "moment1",
            "moment2",
            "moment3",
            "moments1",
            "moments2",
            "accum",
            "accum_update",
            "stat",
        ),
        *("mean_grad", "mean_square", "square_avg", "exp_avg", "exp_avg_sq", "exp_avg_diff", "max_exp_avg_sq", "vhat"),
        *("adam_m", "adam_v", "nadam_m", "nadam_v", "lamb_m", "lamb_v", "lion_m", "linear", "step_size"),
        *("prev", "prev_grad", "prev_gradient", "pre_grad", "grad_accum", "grad_accumulation", "accumulated_grads"),
        "kept_statistics",
    )
)
"""What optimizers put before a parameter's name to name its slot (MindSpore's, MindCV's and ours)."""

_STATE_NAMES = frozenset(
    (
        *(
            "global_step",
            "learning_rate",
            "lr",
            "momentum",
            "weight_decay",
            "beta1_power",
            "beta2_power",
            "mu_schedule",
        ),
        *("epoch", "epoch_num", "cur_epoch", "step", "step_num", "cur_step", "accum_step", "cur_accum_step", "updates"),
        *("loss_scale", "scale_sense", "current_iterator_step", "last_overflow_iterator_step", "accumulated_batches"),
        *(
            "good_updates",
            "skipped_updates",
            "ema_updates",
            "dropout_step",
            "n_averaged",
            "train_state",
            "model_outputs",
        ),
    )
)
"""Names of a training's state beside the model: counters, schedules, loss scale."""


def select_weights(tree: Tree, *, ema: bool = False) -> dict[str, LazyArray]:
    """Picks the model's arrays out of a file's contents: no wrappers, no optimizer slots, no counters.

    Args:
        tree: Contents of a file.
        ema: Whether to take the averaged weights.

    Raises:
        BadWeightFile: There are no weights, or none of the wanted kind.
    """
    folder, is_ema = _unwrap(tree, ema)
    arrays = {
        name: value
        for name, value in folder.items()
        if isinstance(name, str) and isinstance(value, LazyArray) and not value.is_text
    }
    arrays = _strip_prefixes(arrays)
    averaged = {
        name[len(_EMA_PREFIX) :]: array
        for name, array in arrays.items()
        if name.startswith(_EMA_PREFIX) and not _is_slot(name[len(_EMA_PREFIX) :], arrays)
    }
    raw = {
        name: array
        for name, array in arrays.items()
        if not name.startswith(_EMA_PREFIX) and name not in _STATE_NAMES and not _is_slot(name, arrays)
    }
    if not raw and not averaged:
        raise BadWeightFile(f"holds no weights; its entries are: {_list(tree)}")
    if ema and not is_ema and not averaged:
        raise BadWeightFile("holds no averaged (EMA) weights; load it without ema")
    if not ema and not raw:
        raise BadWeightFile("holds only averaged (EMA) weights; load it with ema")
    return {**raw, **averaged} if ema else raw


def _unwrap(tree: Tree, ema: bool) -> tuple[Tree, bool]:
    """Descends into wrappers; returns the folder and whether it is one of averaged weights."""
    is_ema = False
    for _ in range(_MAX_DEPTH):
        raw_key = next((key for key in _RAW_KEYS if isinstance(tree.get(key), Mapping)), None)
        ema_key = next((key for key in _EMA_KEYS if isinstance(tree.get(key), Mapping)), None)
        if ema and ema_key is not None:
            tree, is_ema = tree[ema_key], True
        elif raw_key is not None:
            tree = tree[raw_key]
        elif ema_key is not None:
            raise BadWeightFile(f"holds only averaged (EMA) weights, {ema_key!r}; load it with ema")
        else:
            return tree, is_ema
    raise BadWeightFile(f"its weights are wrapped more than {_MAX_DEPTH} times")


def _strip_prefixes(arrays: dict[str, LazyArray]) -> dict[str, LazyArray]:
    """Takes wrapper prefixes off, where every name but a counter's has them."""
    for prefix in _WRAPPER_PREFIXES:
        names = [name for name in arrays if name not in _STATE_NAMES]
        if names and all(name.startswith(prefix) for name in names):
            arrays = {name.removeprefix(prefix): array for name, array in arrays.items()}
    return arrays


def _is_slot(name: str, names: Mapping[str, LazyArray]) -> bool:
    """Whether a name is an optimizer's slot: a slot's prefix before the name of another entry."""
    prefix, _, parameter = name.partition(".")
    return prefix in _SLOT_PREFIXES and parameter in names


def _list(tree: Tree) -> str:
    names = [str(name) for name in tree]
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
