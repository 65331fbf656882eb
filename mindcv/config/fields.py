"""How a key is declared: its type and range, `key`, the base of all sections, and what is said of it."""

import contextlib
import itertools
import re
import types
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.fields import FieldInfo

_NONE_WORDS = ("", "none", "null", "~")
_BRACKETS = "[]() \t"


@dataclass(frozen=True)
class Words:
    """What a type allows, in words, where its annotation does not say it well."""

    text: str


def split_list(value: Any) -> Any:
    """Turns the text forms of a list, `0.08,1.0`, `[0.08, 1.0]` and `0.08 1.0`, into a list; anything else stays."""
    if not isinstance(value, str):
        return value
    return [part for part in re.split(r"[,\s]+", value.strip(_BRACKETS)) if part]


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError("not ascending")
    return value


def _strictly_ascending(value: tuple[int, ...]) -> tuple[int, ...]:
    if any(later <= earlier for earlier, later in itertools.pairwise(value)):
        raise ValueError("not ascending")
    return value


def _one_side_if_square(value: Any) -> Any:
    """Reads `[224, 224]`, as recipes for other scripts have it, as 224."""
    sides = split_list(value)
    if isinstance(sides, (list, tuple)) and len(sides) in (1, 2) and len({str(side) for side in sides}) == 1:
        return sides[0]
    return sides


def _number_or_name(value: Any) -> Any:
    """Turns text that is a number into one."""
    try:
        return float(value) if isinstance(value, (str, int)) else value
    except ValueError:
        return value


def _first_and_last(value: Any) -> Any:
    """Reads `10:20`."""
    return value.split(":") if isinstance(value, str) else value


def _jitter_strengths(value: Any) -> Any:
    if isinstance(value, tuple) and len(value) not in (3, 4):
        raise ValueError("wrong length")
    return value


# Every number has a range, so that what no run can mean is refused here and not in somebody else's words.
MOST_EPOCHS = 100_000
MOST_STEPS = 1_000_000_000
MOST_SAMPLES = 2_000_000_000
MOST_IMAGES_IN_A_STEP = 1_000_000
LARGEST_SIDE = 16384

# Datasets that come with the package and have no folder.
PACKAGED_DATASETS = ("digits",)

# That of the paper (arXiv 2102.06171) for batches of 4,096 images; the default of clip_value would never clip.
AGC_CLIP_VALUE = 0.01

Probability = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0, le=1000)]
NotNegative = Annotated[float, Field(ge=0, le=1000)]
Epoch = Annotated[int, Field(ge=1, le=MOST_EPOCHS)]
Step = Annotated[int, Field(ge=1, le=MOST_STEPS)]
# A mean or deviation of pixels of up to 16 bits.
PixelMean = Annotated[float, Field(ge=-65535, le=65535)]
PixelDeviation = Annotated[float, Field(gt=0, le=65535)]
PixelValue = Annotated[int, Field(ge=0, le=255)]
Range = Annotated[
    tuple[Positive, Positive], AfterValidator(_ascending), Words("2 numbers > 0 and <= 1000, the smaller first")
]
Channels = Annotated[
    tuple[PixelMean, ...], Field(min_length=1), Words("a number for each channel, from -65535 to 65535")
]
Deviations = Annotated[
    tuple[PixelDeviation, ...], Field(min_length=1), Words("a number > 0 and <= 65535 for each channel")
]
Milestones = Annotated[
    tuple[Epoch, ...], AfterValidator(_strictly_ascending), Words(f"integers >= 1 and <= {MOST_EPOCHS}, ascending")
]
Steps = Annotated[
    tuple[Step, Step],
    BeforeValidator(_first_and_last),
    AfterValidator(_ascending),
]
Side = Annotated[int, Field(ge=1, le=LARGEST_SIDE)]
ImageSize = Annotated[
    Side | tuple[Side, Side],
    BeforeValidator(_one_side_if_square),
    Words(f"an integer >= 1 and <= {LARGEST_SIDE}, or two of them: height, width"),
]
Jitter = Annotated[
    NotNegative | tuple[NotNegative, ...] | None,
    AfterValidator(_jitter_strengths),
    Words("a number >= 0 and <= 1000, 3 or 4 of them (brightness, contrast, saturation, hue), or None"),
]
ErasedValue = Annotated[
    PixelValue | tuple[PixelValue, PixelValue, PixelValue] | Literal["random"],
    Words("an integer from 0 to 255, 3 of them (R, G, B), or random"),
]
Modules = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*$")], ...],
    Words("names of Python modules, such as my_package.my_models"),
]
HeldOutShare = Annotated[float, Field(gt=0, lt=1)]
ValSplit = Annotated[
    str | HeldOutShare,
    BeforeValidator(_number_or_name),
    Words("text, or a number > 0 and < 1, the share of train_split that is held out"),
]
AmpLevel = Literal["O0", "O1", "O2", "O3"]

_SWITCH = TypeAdapter(bool)


def key(
    default: Any,
    help: str,
    *,
    unit: str = "",
    keyword: str = "",
    old: tuple[str, ...] = (),
    may_change: bool = False,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> Any:
    """Declares a key.

    Args:
        default: The value when neither the recipe nor the command line has the key.
        help: One sentence for `--help` and the reference page.
        unit: What the number counts.
        keyword: The factory's name for it, where it differs.
        old: Spellings of other scripts that are read as this key.
        may_change: Whether a run can be resumed with another value and still be the same run.
        ge, gt, le, lt: The range of a number.
    """
    facts: dict[str, Any] = {"unit": unit, "keyword": keyword, "old_spellings": list(old), "may_change": may_change}
    extra = {name: fact for name, fact in facts.items() if fact}
    return Field(default, description=help, json_schema_extra=extra, ge=ge, gt=gt, le=le, lt=lt)


class Section(BaseModel):
    """Keys that belong together. `factory` is the function that takes all of them, where there is one."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    title: ClassVar[str] = ""
    factory: ClassVar[str] = ""

    @field_validator("*", mode="before")
    @classmethod
    def _read(cls, value: Any, info: ValidationInfo) -> Any:
        """Reads the spellings that YAML, the command line and upstream's recipes use for one and the same value."""
        field = cls.model_fields[str(info.field_name)]
        members = _members(field.annotation)
        choices = [choice for member in members if get_origin(member) is Literal for choice in get_args(member)]
        if isinstance(value, str) and type(None) in members and value.strip().lower() in _NONE_WORDS:
            return None
        if value is None and str in members and field.default == "":
            return ""
        if isinstance(value, bool) and bool not in members:
            raise ValueError("a switch where a value belongs")
        if isinstance(value, str) and bool in members:
            with contextlib.suppress(ValidationError):
                return _SWITCH.validate_python(value.strip())
        for choice in choices:
            if str(value).strip().lower() == str(choice).lower():
                return choice
        if any(get_origin(member) is tuple for member in members) and isinstance(value, str):
            parts = split_list(value)
            return value if len(parts) == 1 and len(members) > 1 else parts
        return value


@dataclass(frozen=True)
class Key:
    """What the schema says of one key.

    Args:
        name: The key.
        default: Its value when nothing is given.
        help: One sentence.
        unit: What the number counts, or empty.
        keyword: The factory's name for it; the key's own where they are the same.
        old: Spellings of other scripts that are read as this key.
        allowed: Type with range, or choices, in words.
        choices: The names to choose from, or empty.
        is_switch: Whether it is on or off.
        is_list: Whether several values are allowed.
        may_change: Whether a run can be resumed with another value of it.
    """

    name: str
    default: Any
    help: str
    unit: str
    keyword: str
    old: tuple[str, ...]
    allowed: str
    choices: tuple[str, ...]
    is_switch: bool
    is_list: bool
    may_change: bool


def _members(annotation: Any) -> list[Any]:
    """Returns the types of a union without their constraints: `float | None` gives `[float, NoneType]`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def limits(metadata: list[Any]) -> dict[str, float]:
    """Returns the range that constraints set, such as `{"ge": 0, "lt": 1}`."""
    parts = [part for item in metadata for part in getattr(item, "metadata", [item])]
    return {
        name: getattr(part, name)
        for name in ("ge", "gt", "le", "lt")
        for part in parts
        if getattr(part, name, None) is not None
    }


def _allowed(annotation: Any, metadata: list[Any]) -> str:
    """What a type allows, in words."""
    for item in metadata:
        if isinstance(item, Words):
            return item.text
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *more = get_args(annotation)
        return _allowed(inner, [*metadata, *more])
    if origin in (Union, types.UnionType):
        return " or ".join(_allowed(part, metadata) for part in get_args(annotation))
    if origin is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(annotation))
    if annotation is type(None):
        return "None"
    if annotation is bool:
        return "True or False"
    word = {int: "an integer", float: "a number", str: "text"}[annotation]
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    limit = " and ".join(
        f"{signs[name]} {value if annotation is int else format(value, 'g')}"
        for name, value in limits(metadata).items()
    )
    return f"{word} {limit}".strip()


def describe(name: str, field: FieldInfo) -> Key:
    """Returns what a section's field says of its key."""
    extra = field.json_schema_extra
    facts: dict[str, Any] = extra if isinstance(extra, dict) else {}
    members = _members(field.annotation)
    return Key(
        name=name,
        default=field.default,
        help=field.description or "",
        unit=facts.get("unit", ""),
        may_change=facts.get("may_change", False),
        keyword=facts.get("keyword", name),
        old=tuple(facts.get("old_spellings", ())),
        allowed=_allowed(field.annotation, field.metadata),
        choices=tuple(
            str(choice) for member in members if get_origin(member) is Literal for choice in get_args(member)
        ),
        is_switch=bool in members,
        is_list=any(get_origin(member) is tuple for member in members),
    )
