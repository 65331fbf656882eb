"""Comparing a file's arrays with a model's parameters: what fits, what is missing, unexpected or of another shape."""

import dataclasses
import difflib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence

__all__ = ["LoadReport", "OtherClasses", "class_counts"]

_LISTED = 10

Shape = tuple[int, ...]


class OtherClasses(ValueError):  # noqa: N818 (it is the reason, as in BadWeightFile)
    """A file and a model differ in the number of classes, and in nothing else.

    Attributes:
        given: The file's number of classes.
        wanted: The model's.
    """

    def __init__(self, source: str, given: int, wanted: int, names: Sequence[str]) -> None:
        super().__init__(
            f"{source}: the file has {given} classes, the model {wanted}: {' and '.join(names[:2])} do not fit; "
            "for other classes take its weights without the classifier (--pretrained FILE)"
        )
        self.given, self.wanted = given, wanted


def class_counts(mismatched: Sequence[tuple[str, Shape, Shape]]) -> tuple[int, int] | None:
    """Returns (the model's, the file's) number of classes where that is all that differs, else None.

    Args:
        mismatched: Name, shape in the model and in the file of all entries that do not fit.
    """
    pairs = {(wanted[:1], given[:1]) for _, wanted, given in mismatched}
    is_all = all(wanted[1:] == given[1:] and wanted and given for _, wanted, given in mismatched)
    # Any other layer's width is an input of the next one too.
    if len(pairs) != 1 or not is_all or all(len(wanted) < 2 for _, wanted, _ in mismatched):
        return None
    ((wanted, given),) = pairs
    return wanted[0], given[0]


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What became, or would become, of every name in a file and in a model.

    `str()` of it is a table: the first ten names of each kind of fault, with the closest name on the other side.

    Attributes:
        loaded: Parameters that the file has, in the model's order.
        missing: Parameters that the file does not have.
        unexpected: Entries of the file that the model does not have.
        mismatched: Parameters that the file has with another shape: (name, the model's shape, the file's).
    """

    loaded: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[tuple[str, Shape, Shape], ...] = ()

    @classmethod
    def compare(cls, model: Mapping[str, Shape], file: Mapping[str, Shape]) -> "LoadReport":
        """Compares the shapes of a model's parameters with those of a file's arrays.

        Args:
            model: Shapes by parameter name.
            file: Shapes by name, under the model's names.
        """
        model = {name: tuple(shape) for name, shape in model.items()}
        file = {name: tuple(shape) for name, shape in file.items()}
        both = [name for name in model if name in file]
        return cls(
            loaded=tuple(name for name in both if model[name] == file[name]),
            missing=tuple(name for name in model if name not in file),
            unexpected=tuple(name for name in file if name not in model),
            mismatched=tuple((name, model[name], file[name]) for name in both if model[name] != file[name]),
        )

    @property
    def is_complete(self) -> bool:
        """Whether the file and the model fit exactly."""
        return not (self.missing or self.unexpected or self.mismatched)

    def raise_if_incomplete(
        self, model: str = "the model", source: str | os.PathLike[str] = "the weights", may_miss: Collection[str] = ()
    ) -> None:
        """Raises unless everything fits.

        Args:
            model: The model's name, for the message.
            source: Where the arrays come from, for the message.
            may_miss: Parameters that need not be in the file.

        Raises:
            ValueError: Something else is missing, or anything is unexpected or mismatched; one line.
        """
        report = dataclasses.replace(self, missing=tuple(name for name in self.missing if name not in may_miss))
        classes = class_counts(report.mismatched)
        if classes and not (report.missing or report.unexpected):
            names = [name for name, _, _ in report.mismatched]
            raise OtherClasses(os.fspath(source), classes[1], classes[0], names)
        if not report.is_complete:
            kinds = "; ".join(f"{title}: {', '.join(lines)}" for title, lines in report._sections())
            raise ValueError(f"{os.fspath(source)}: does not fit {model}; {kinds}")

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.missing) + len(self.mismatched)
        rows = [f"{len(self.loaded)} of {total} parameters fit"]
        for title, lines in self._sections():
            rows += [title, *(f"  {line}" for line in lines)]
        return "\n".join(rows)

    def _sections(self) -> Iterator[tuple[str, list[str]]]:
        """Yields a title and the lines of each kind of fault that there is."""
        if self.missing:
            yield f"{len(self.missing)} missing in the file", _list_names(self.missing, self.unexpected)
        if self.unexpected:
            yield f"{len(self.unexpected)} unexpected in the file", _list_names(self.unexpected, self.missing)
        if self.mismatched:
            lines = [
                f"{name} is {wanted} in the model but {given} in the file" for name, wanted, given in self.mismatched
            ]
            yield f"{len(self.mismatched)} of another shape", _first(lines)


def _list_names(names: Sequence[str], others: Sequence[str]) -> list[str]:
    lines = []
    for name in names[:_LISTED]:
        matches = difflib.get_close_matches(name, others, n=1, cutoff=0.5)
        lines.append(f"{name} (closest: {matches[0]})" if matches else name)
    return lines + _more(len(names))


def _first(lines: list[str]) -> list[str]:
    return lines[:_LISTED] + _more(len(lines))


def _more(count: int) -> list[str]:
    return [f"and {count - _LISTED} more"] if count > _LISTED else []
