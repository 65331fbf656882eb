"""Old spellings: keys and values of MindCV's earlier versions and of other ResNeXt scripts, read as today's keys.

Which key an old spelling belongs to stands with the key in `schema.py`; here are the values that need translation, and
the keys that are accepted without effect. Each use gives one note that names today's key.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from ..utils.fs import local_path
from ..utils.registry import suggest
from .schema import KEYS

# Accepted without effect, with what to know instead.
UNUSED: dict[str, str] = {
    "multi_data_url": "set data_url",
    "config_path": "a recipe cannot name another one; give it with -c",
    "log_path": "logs are written into ckpt_save_dir",
    "save_checkpoint": "checkpoints are always saved, every ckpt_save_interval epochs",
    "rank_save_ckpt_flag": "set ckpt_save_on: master or all",
    "rank": "msrun gives each worker its rank",
    "group_size": "msrun says how many workers there are",
    "addr": "give msrun --master_addr",
    "device_list": "give msrun --worker_num, and choose devices by ASCEND_RT_VISIBLE_DEVICES or CUDA_VISIBLE_DEVICES",
    "file_name": "it belongs to the export",
    "file_format": "it belongs to the export",
    "mixup_prob": "set cutmix_prob, the probability that a batch is mixed",
    "mixup_mode": "mixing is by batch",
}

# MindCV stopped reading these but left them in recipes, so today's key wins over them in the same file.
_LEFTOVERS = ("filter_bias_and_bn", "dynamic_loss_scale", "smooth_factor", "use_ema", "use_clip_grad")
# Recipes that have both mean this one for training (`batch_size: 1` was their export's).
_STRONGER = ("per_batch_size",)

_SCHEDULERS = {"cosine_annealing": "cosine_decay", "cosineannealing": "cosine_decay"}
# The model zoo's names of networks, in small letters.
_MODELS = {"resnext50": "resnext50_32x4d", "se_resnext50": "seresnext50_32x4d"}
_SWITCH_WORDS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
# Old keys that are switched on by standing alone on the command line.
SWITCHES = ("amp", "label_smooth", "is_dynamic_loss_scale", "dynamic_loss_scale", "filter_bias_and_bn")
# What apex starts a dynamic loss scale from.
_FIRST_DYNAMIC_SCALE = 65536.0
_LONGEST_SHOWN = 200
# The strength that scripts with `label_smooth: 1` used when they were given none.
_USUAL_SMOOTHING = 0.1


@dataclass(frozen=True)
class Setting:
    """One key with its value, as it was given.

    Args:
        key: The key; after `translate`, today's.
        value: What was given.
        written: The key as it was written, without leading dashes, for messages.
        source: `file:line`, or `command line`.
        rank: A setting of a higher rank wins: 0 recipe, 1 command line.
    """

    key: str
    value: Any
    written: str
    source: str
    rank: int


def shown(value: Any) -> str:
    """Returns a value as a message quotes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def is_switch(name: str) -> bool:
    """Whether a key, today's or an old spelling, is one that is on or off."""
    return name in SWITCHES or name == "is_save_on_master" or KEYS[NEW_KEYS.get(name, name)].is_switch


def _switch(setting: Setting) -> bool:
    """Reads on or off.

    Raises:
        ValueError: It is neither.
    """
    word = str(setting.value).strip().lower()
    if word not in _SWITCH_WORDS:
        raise ValueError(f"{setting.source}: {setting.written}: got {shown(setting.value)}; allowed: True or False")
    return _SWITCH_WORDS[word]


def current_model_name(name: str) -> str:
    """Returns today's name of a network of the model zoo; any other name as it is."""
    return _MODELS.get(name.lower().replace("-", "_"), name)


# Old keys whose value means something else than the new key's.
_VALUES: dict[str, Callable[[Setting], Any]] = {
    "filter_bias_and_bn": lambda setting: "norm_and_bias" if _switch(setting) else "disable",
    "dynamic_loss_scale": lambda setting: "dynamic" if _switch(setting) else "fixed",
    "is_save_on_master": lambda setting: "master" if _switch(setting) else "all",
    "is_dynamic_loss_scale": lambda setting: "dynamic" if _switch(setting) else "fixed",
    **dict.fromkeys(("backbone", "arch", "network"), lambda setting: current_model_name(str(setting.value))),
}

NEW_KEYS: dict[str, str] = {old: name for name, key in KEYS.items() for old in key.old}


def _smoothing(given: dict[str, Setting]) -> None:
    """`label_smooth` switches on what `label_smooth_factor` says how strongly."""
    switch = given.pop("label_smooth", None)
    if switch is None:
        return
    factor = given.pop("label_smooth_factor", None)
    on = _switch(switch)
    value = (factor.value if factor else _USUAL_SMOOTHING) if on else 0.0
    rank = max(switch.rank, factor.rank) if factor else switch.rank
    given["label_smooth_factor"] = replace(switch, key="label_smooth_factor", value=value, rank=rank)


def _mixed_precision(given: dict[str, Setting]) -> None:
    """`amp` switches on what `opt_level` says how far; scripts that had it meant O2 without one."""
    switch = given.pop("amp", None)
    if switch is None:
        return
    levels = [given[name] for name in ("opt_level", "amp_level") if name in given]
    if not _switch(switch):
        given.pop("opt_level", None)
        given["amp"] = replace(switch, value="O0")
    elif not any(level.rank >= switch.rank for level in levels):
        given["amp"] = replace(switch, value="O2")


def _loss_scale(given: dict[str, Setting]) -> None:
    """A `loss_scale` that is `dynamic`, as apex has it, names the type."""
    setting = given.get("loss_scale")
    if setting is None or str(setting.value).strip().lower() != "dynamic":
        return
    given["loss_scale"] = replace(setting, value=_FIRST_DYNAMIC_SCALE)
    kind = given.get("loss_scale_type")
    if kind is None or kind.rank <= setting.rank:
        given["loss_scale_type"] = replace(setting, key="loss_scale_type", value="dynamic")


def _schedule(given: dict[str, Setting]) -> None:
    """`exponential` multiplied by `lr_gamma` at each of `lr_epochs`; without those it is a plain exponential."""
    for name in ("scheduler", "lr_scheduler"):
        if name in given:
            word = str(given[name].value).strip().lower()
            if word == "exponential":
                steps = "lr_epochs" in given or "multi_step_decay_milestones" in given
                word = "multi_step_decay" if steps else "exponential_decay"
            given[name] = replace(given[name], value=_SCHEDULERS.get(word, word))


def _weights(given: dict[str, Setting]) -> None:
    """An empty `pretrained` is off."""
    setting = given.get("pretrained")
    if setting is not None and isinstance(setting.value, str) and not setting.value.strip():
        del given["pretrained"]


def _is_tag(value: Any) -> bool:
    """Whether a `pretrained` is the tag of published weights."""
    is_word = isinstance(value, str) and bool(re.fullmatch(r"\w+", value)) and value.lower() not in _SWITCH_WORDS
    return is_word and not local_path(value).is_file()


def is_weight_file(value: Any) -> bool:
    """Whether a `pretrained` is the path or the address of a weight file."""
    return isinstance(value, str) and value.strip().lower() not in (*_SWITCH_WORDS, "") and not _is_tag(value)


def _one_source(found: dict[str, Setting], notes: list[str]) -> None:
    """`ckpt_path` and a `pretrained` that is a file both name the weights; the one of the higher rank counts.

    Raises:
        ValueError: Both stand in the same place.
    """
    given, file = found.get("ckpt_path"), found.get("pretrained")
    if given is None or file is None or not given.value or not is_weight_file(file.value):
        return
    if given.rank == file.rank:
        raise ValueError(
            f"{file.source}: {file.written}: got {shown(file.value)}, but ckpt_path is {shown(given.value)} and both "
            "name the weights; remove one: pretrained fits them to other classes, ckpt_path takes them as they are"
        )
    weaker, winner = (given, file) if file.rank > given.rank else (file, given)
    del found[weaker.key]
    notes.append(f"{weaker.source}: {weaker.written}: {weaker.value} has no effect beside {winner.written}")


def _tag(found: dict[str, Setting], notes: list[str]) -> None:
    """A tag becomes part of the model's name, since the network is the tag's with every checkpoint.

    Raises:
        ValueError: The model's name has another tag.
    """
    setting = found.get("pretrained")
    if setting is None or not _is_tag(setting.value):
        return
    model = found.get("model", replace(setting, key="model", value=KEYS["model"].default))
    name, _, tag = str(model.value).partition(".")
    if tag not in ("", setting.value):
        raise ValueError(
            f"{setting.source}: {setting.written}: got {shown(setting.value)}, but model is {shown(model.value)}; "
            "remove one"
        )
    found["model"] = replace(model, value=f"{name}.{setting.value}")
    found["pretrained"] = replace(setting, value=True)
    notes.append(f"{setting.source}: {setting.written}: {setting.value} is read as model: {found['model'].value}")


def _counted_from_start(found: dict[str, Setting], notes: list[str]) -> None:
    """The scripts that say `lr_epochs` and `T_max` count both from the start of the run, with the warm-up."""
    for name, old in (("multi_step_decay_milestones", "lr_epochs"), ("decay_epochs", "T_max")):
        setting = found.get(name)
        if setting and setting.written.replace("-", "_") == old and "warmup_prefix" not in found:
            found["warmup_prefix"] = replace(setting, key="warmup_prefix", value=False)
            notes.append(
                f"{setting.source}: {setting.written} counts from the start of the run, so warmup_prefix: False is set"
            )


def _precedence(setting: Setting) -> int:
    """How strongly a spelling counts against another of the same key in the same source."""
    name = setting.written.replace("-", "_")
    if name in _LEFTOVERS or setting.value in ("", None):
        return 0
    return 2 if name in _STRONGER else 1


def _winner(candidates: list[Setting]) -> Setting:
    """Which of several settings of one key counts.

    Raises:
        ValueError: Two from one source differ, and neither spelling is the stronger.
    """
    best = max(candidates, key=lambda setting: (setting.rank, _precedence(setting)))
    for other in candidates:
        equals = (other.rank, _precedence(other)) == (best.rank, _precedence(best))
        if equals and str(other.value).lower() != str(best.value).lower():
            raise ValueError(
                f"{other.source}: {other.written}: got {shown(other.value)}, but {best.written} is {shown(best.value)} "
                f"and both mean {best.key}; remove one"
            )
    return best


def _notes(candidates: list[Setting], winner: Setting, originals: dict[str, Any]) -> list[str]:
    """One line for each old spelling among settings of one key."""
    notes = []
    for setting in candidates:
        original = originals[setting.written]
        if setting is winner and (setting.written, setting.value) != (setting.key, original):
            notes.append(f"{setting.source}: {setting.written}: {original} is read as {setting.key}: {setting.value}")
        elif setting is not winner and setting.rank == winner.rank and setting.value not in ("", None):
            notes.append(f"{setting.source}: {setting.written}: {original} has no effect beside {winner.written}")
    return notes


def translate(settings: Iterable[Setting]) -> tuple[dict[str, Setting], list[str], list[str]]:
    """Brings settings to today's keys.

    Args:
        settings: What recipe and command line gave.

    Returns:
        The settings that count, by today's key; notes, one line for each old spelling; problems, one line for each.
    """
    given: dict[str, Setting] = {}
    for setting in sorted(settings, key=lambda setting: setting.rank):
        plain = setting.key.replace("-", "_")
        given[plain] = replace(setting, key=plain)
    originals = {setting.written: setting.value for setting in given.values()}
    notes: list[str] = []
    problems: list[str] = []
    for first_rule in (_smoothing, _mixed_precision, _loss_scale, _schedule, _weights):
        try:
            first_rule(given)
        except ValueError as error:
            problems.append(str(error))

    candidates: dict[str, list[Setting]] = {}
    for name, setting in given.items():
        new_key = setting.key if setting.key in KEYS else NEW_KEYS.get(setting.key)
        if name in UNUSED:
            notes.append(f"{setting.source}: {setting.written} has no effect: {UNUSED[name]}")
        elif new_key is None:
            problems.append(_unknown(setting))
        elif name == "outputs_dir" and not str(setting.value).strip():
            notes.append(f"{setting.source}: {setting.written} is empty, so {new_key} stays {KEYS[new_key].default!r}")
        else:
            try:
                value = _VALUES[name](setting) if name in _VALUES else setting.value
            except ValueError as error:
                problems.append(str(error))
            else:
                candidates.setdefault(new_key, []).append(replace(setting, key=new_key, value=value))

    found: dict[str, Setting] = {}
    for name, alternatives in candidates.items():
        try:
            found[name] = _winner(alternatives)
        except ValueError as error:
            problems.append(str(error))
        else:
            notes.extend(_notes(alternatives, found[name], originals))
    _counted_from_start(found, notes)
    for rule in (_tag, _one_source):
        try:
            rule(found, notes)
        except ValueError as error:
            problems.append(str(error))
    return found, notes, problems


# What other libraries call a key that has no similar name here.
_ELSEWHERE = {
    "checkpoint": "ckpt_path",
    "epoch": "epoch_size",
    "gpus": "distribute",
    "img_size": "image_resize",
    "learning_rate": "lr",
    "max_epochs": "epoch_size",
    "model_name": "model",
    "num_epochs": "epoch_size",
    "num_workers": "num_parallel_workers",
    "optim": "opt",
    "optimizer": "opt",
    "save_dir": "ckpt_save_dir",
    "sched": "scheduler",
    "wd": "weight_decay",
    "weights": "ckpt_path",
}


def _unknown(setting: Setting) -> str:
    meant = _ELSEWHERE.get(setting.key)
    near = f"; did you mean {meant!r}?" if meant else suggest(setting.key, [*KEYS, *NEW_KEYS])
    hint = near or "; --help lists all keys"
    return f"{setting.source}: unknown key {shown(setting.written)} (got {shown(setting.value)}){hint}"
