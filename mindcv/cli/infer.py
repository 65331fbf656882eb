"""`mindcv infer`: what is in these images."""

import argparse
import contextlib
import glob
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from mindcv.utils.fs import atomic_write, is_remote, local_path
from mindcv.utils.log import show_notes
from mindcv.utils.text import csv_line, escaped, harmless, json_text, lines_of, names_in

from ._model_options import add_model_options, say_runtime

if TYPE_CHECKING:
    from mindcv.export import Prediction

HELP = "classify images with an exported file, a checkpoint or a published model"

EXIT_BAD_FILES = 3
_LIST_SUFFIX = ".txt"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's options."""
    add_model_options(parser)
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="image, folder, glob, .txt file with one path a line, or - for stdin"
    )
    parser.add_argument("--top_k", "--top-k", type=int, default=5, metavar="K", help="classes an image (default: 5)")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="least probability of a label that is told, for several labels an image (default: the exported file's)",
    )
    parser.add_argument("--batch_size", type=int, default=16, metavar="N", help="images that run at once (default: 16)")
    parser.add_argument("--workers", type=int, metavar="N", help="threads that decode (default: cores, at most 4)")
    parser.add_argument(
        "--output_format",
        "--output-format",
        choices=sorted(_WRITERS),
        default="table",
        help="table, one JSON object a line, or CSV (default: table)",
    )
    parser.add_argument(
        "--tta",
        choices=("flip", "five_crop", "ten_crop", "scales"),
        help="average over views of each image: mirrored, centre and corners, these mirrored, or three sizes",
    )
    parser.add_argument("--out", metavar="FILE", help="write there in place of stdout")


def run(args: argparse.Namespace) -> int:
    """Classifies and returns 0, or 3 when some of the files could not be classified.

    Raises:
        FileNotFoundError: The model, a folder or a list is not there.
        ValueError: There are no images, or options are wrong.
    """
    if args.top_k < 1:
        raise ValueError(f"--top_k: got {args.top_k}; give a number from 1")
    if args.workers is not None and args.workers < 1:
        raise ValueError(f"--workers: got {args.workers}; give a number from 1")
    paths = expand_inputs(args.inputs, stdin_lines())
    from tqdm import tqdm

    from mindcv.data import read_class_names
    from mindcv.data.preprocess import check_channels
    from mindcv.engine import setup_run
    from mindcv.export import Classifier
    from mindcv.export.runtime import read_key

    setup_run(args.device_target, 0, None, False, 0)
    show_notes("mindcv.data.preprocess")
    classifier = Classifier(
        args.model,
        args.config,
        class_names=read_class_names(args.class_names) if args.class_names else None,
        batch_size=min(args.batch_size, len(paths)),
        workers=args.workers,
        pretrained=args.pretrained,
        key=read_key(args.key_file) if args.key_file else None,
        runtime=args.runtime or "auto",
        precision=args.precision or "fp32",
        threshold=args.threshold,
        tta=args.tta,
    )
    say_runtime(classifier.runtime, bool(args.runtime or args.precision))
    check_channels(len(classifier.preprocess.mean))
    num_bad = 0

    def counted() -> Iterator["Prediction"]:
        nonlocal num_bad
        results = classifier.predict_each(paths, args.top_k)
        for prediction in tqdm(results, "Classifying", len(paths), unit="img", disable=not sys.stderr.isatty()):
            if prediction.error is not None:
                num_bad += 1
                tqdm.write(f"mindcv: {escaped(prediction.image)}: {escaped(prediction.error)}", file=sys.stderr)
            yield prediction

    with _output(args.out) as write:
        width = max(len(escaped(path)) for path in paths)
        for line in _WRITERS[args.output_format](counted(), width):
            write(line)
    if num_bad:
        print(f"mindcv: {num_bad} of {len(paths)} files could not be classified", file=sys.stderr)
    return EXIT_BAD_FILES if num_bad else 0


def expand_inputs(inputs: Sequence[str], stdin: Iterable[str]) -> list[str]:
    """Returns the paths that inputs stand for. A path that is named itself is kept even when there is no such file.

    Args:
        inputs: Images, folders (searched with all that is in them), globs, .txt files with one path a line, or `-`.
        stdin: Lines of paths, read when `-` is among the inputs.

    Raises:
        FileNotFoundError: There is no such list.
        ValueError: A folder or a glob has no images, or there are none at all.
    """
    paths: list[str] = []
    for name in inputs:
        if name == "-":
            paths += [path for text in stdin for path in lines_of(text)]
        elif is_remote(name):
            paths.append(name)
        elif local_path(name).is_dir():
            paths += _found(name, is_folder=True)
        elif name.lower().endswith(_LIST_SUFFIX):
            if not local_path(name).is_file():
                raise FileNotFoundError(f"{name}: there is no such list of paths")
            paths += names_in(local_path(name).read_bytes())
        elif glob.has_magic(name) and not local_path(name).exists():
            paths += _found(name, is_folder=False)
        else:
            paths.append(name)
    if not paths:
        raise ValueError("no images: the inputs name none")
    return paths


def stdin_lines() -> Iterator[str]:
    """What comes on stdin, read when it is asked for; Python would end a line at a lone carriage return too."""
    yield sys.stdin.buffer.read().decode("utf-8", "surrogateescape")


def _found(name: str, is_folder: bool) -> list[str]:
    """The images in a folder or of a glob; what is left out is counted on stderr."""
    from mindcv.data.images.image_formats import IMAGE_SUFFIXES, LeftOut, images_among, images_below

    left_out = LeftOut()
    if is_folder:
        paths = sorted(images_below(name, left_out))
    else:
        paths = sorted(images_among(glob.glob(name, recursive=True), left_out))
    if not paths:
        others = f", only {left_out}" if left_out else ""
        raise ValueError(f"{name}: no images there ({' '.join(IMAGE_SUFFIXES)}){others}")
    if left_out:
        print(f"mindcv: {escaped(name)}: left out: {escaped(str(left_out))}", file=sys.stderr)
    return paths


@contextlib.contextmanager
def _output(path: str | None) -> Iterator[Callable[[str], None]]:
    """Gives what writes a line. Bytes of a name that is not UTF-8 come out as they went in, but on a terminal."""
    if path is not None:
        with atomic_write(path) as file:
            yield lambda line: file.write(f"{line}\n".encode("utf-8", "surrogateescape"))
        return
    sys.stdout.flush()
    is_terminal = sys.stdout.isatty()

    def write(line: str) -> None:
        if is_terminal:
            line = harmless(line)
        try:
            data = f"{line}\n".encode(sys.stdout.encoding or "utf-8", "surrogateescape")
        except UnicodeEncodeError:  # a terminal of another encoding
            data = f"{line}\n".encode(sys.stdout.encoding, "backslashreplace")
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    yield write


def _table(predictions: Iterable["Prediction"], width: int) -> Iterator[str]:
    for prediction in predictions:
        if prediction.error is None:
            labels = "  ".join(f"{escaped(label.name)} {label.probability:.4f}" for label in prediction.labels)
            yield f"{escaped(prediction.image):<{width}}  {labels}"


def _json_lines(predictions: Iterable["Prediction"], width: int) -> Iterator[str]:
    for prediction in predictions:
        entry: dict[str, object] = {"image": prediction.image}
        if prediction.error is not None:
            entry["error"] = prediction.error
        else:
            entry["predictions"] = [
                {"index": label.index, "class": label.name, "probability": label.probability}
                for label in prediction.labels
            ]
        yield json_text(entry)


def _csv(predictions: Iterable["Prediction"], width: int) -> Iterator[str]:
    yield csv_line("image", "rank", "index", "class", "probability", "error")
    for prediction in predictions:
        if not prediction.labels:
            yield csv_line(prediction.image, "", "", "", "", prediction.error or "")
        for rank, label in enumerate(prediction.labels, 1):
            yield csv_line(prediction.image, rank, label.index, label.name, label.probability, "")


_WRITERS: dict[str, Callable[[Iterable["Prediction"], int], Iterator[str]]] = {
    "table": _table,
    "jsonl": _json_lines,
    "csv": _csv,
}
