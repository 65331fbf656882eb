"""The model zoo's `default_config.yaml` as a recipe."""

from dataclasses import replace

from ..utils.registry import suggest
from ..utils.text import escaped
from .compat import NEW_KEYS, UNUSED, Setting, is_weight_file
from .parse import COMMAND_LINE, build_config
from .recipe_file import read_settings
from .render import to_yaml
from .schema import KEYS

__all__ = ["import_recipe"]

# Keys of the model zoo that nothing here corresponds to, with what to know instead.
_WITHOUT_USE = {
    "enable_profiling": "set profile to the steps to record",
    "output_path": "set ckpt_save_dir",
    "load_path": "set ckpt_path",
    "checkpoint_path": "set ckpt_path, for validate, export and infer",
    "device_id": "choose devices by mindcv launch --devices, or ASCEND_RT_VISIBLE_DEVICES",
    "width": "set image_resize",
    "height": "set image_resize",
    "result_path": "give mindcv infer --out",
    "label_path": "give mindcv export --class_names",
}
# What its scripts do without a key.
_BUILT_IN = {"opt": "momentum", "weight_decay_filter": "norm_and_bias", "amp_level": "O2"}
# The network of the document that this form of file comes from.
_MODEL = "seresnext50_32x4d"


def import_recipe(path: str, model: str | None = None) -> tuple[str, list[str]]:
    """Turns a YAML file of the model zoo into a recipe.

    The file may have the zoo's further documents after `---`, which describe the keys. They are left out.

    Args:
        path: The file.
        model: Name of the model; None takes the file's `network`.

    Returns:
        The recipe, and notes: one line for each key that was renamed, that has no use here, or that was added.

    Raises:
        ConfigError: The file cannot be read, or a value is not allowed; all such values are in the message.
    """
    used: list[Setting] = []
    notes: list[str] = []
    for setting in read_settings(path, documents=True):
        reason = _why_not(setting)
        if setting.key == "pretrained" and is_weight_file(setting.value):
            setting = replace(setting, key="ckpt_path")  # what its scripts start from or test, as it is
        if reason is None:
            used.append(setting)
        else:
            notes.append(f"{setting.source}: {setting.written} has no effect: {reason}")
    if model is not None:
        used.append(Setting("model", model, "model", COMMAND_LINE, rank=1))
    given = build_config(used, [], "")[0].model_fields_set
    for key, value in {**_BUILT_IN, "model": _MODEL}.items():
        if key not in given:
            used.append(Setting(key, value, key, path, rank=0))
            why = "it names no network; --model changes that" if key == "model" else "its script does so without a key"
            notes.append(f"{path}: {key}: {value} is added: {why}")
    config, translations = build_config(used, [], "")
    notes = sorted([*translations, *notes], key=lambda note: _line(note, path))
    written = [key for key in KEYS if key in config.model_fields_set and key != "config"]
    header = [f"Made from {path} by: mindcv config import", "", *notes]
    comment = "\n".join(f"# {escaped(line)}".rstrip() for line in header)
    return f"{comment}\n\n{to_yaml(config, written)}", notes


def _line(note: str, path: str) -> float:
    """The line that a note is about; notes about no line come last."""
    line = note.removeprefix(f"{path}:").partition(":")[0]
    return int(line) if line.isdecimal() else float("inf")


def _why_not(setting: Setting) -> str | None:
    """Says why a key of the file is left out, or None for one that counts or of which `translate` says why not."""
    name = setting.key.replace("-", "_")
    if name in _WITHOUT_USE:
        return _WITHOUT_USE[name]
    if name not in KEYS and name not in NEW_KEYS and name not in UNUSED:
        return f"there is no such key here{suggest(name, [*KEYS, *NEW_KEYS])}"
    return "it is empty" if setting.value in ("", None) else None
