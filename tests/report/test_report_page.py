"""The page of a run, of several, of damaged ones: what it says, that it is whole, that no text of others acts in it."""

import base64
import html.parser
import io
import json
import logging
import os
import re

import numpy as np
import pytest
from evaluations import Samples, evaluate, scores_of
from PIL import Image
from runs import STEPS, write_run

from mindcv.cli import main
from mindcv.report import points_of_schedule, report_of_run, write_report
from mindcv.report.charts import Line, line_chart, overview_chart, thinned
from mindcv.report.page import metric_name
from mindcv.report.run import Series, read_run

pytestmark = pytest.mark.no_mindspore


class Page(html.parser.HTMLParser):
    """A page's tags and texts, and that each tag is closed."""

    VOID = ("meta", "img", "br")

    def __init__(self, path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags, self.texts, self.open = [], [], []
        self.feed(self.source)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip() and self.open[-1:] != ["style"]:
            self.texts.append(" ".join(data.split()))

    def has(self, *texts):
        return [text for text in texts if text not in self.texts] == []

    @property
    def titles(self):
        """Headings of the charts and sections."""
        return [self.texts[self.texts.index(text)] for text in self.texts]


def page_of(*folders, path):
    notes = write_report(list(folders), path)
    return Page(path), notes


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A run with an evaluation in it, and its page."""
    folder = write_run(tmp_path_factory.mktemp("runs") / "first")
    labels = np.random.default_rng(0).integers(0, 10, 200)
    evaluate(folder / "evaluation", labels, scores_of(labels, 10, strength=1.5), class_names=list("abcdefghij"))
    page, notes = page_of(folder, path=folder / "report.html")
    assert notes == []
    return folder, page


def test_page_shows_all_of_a_run(evaluated):
    _, page = evaluated
    for title in ("Loss", "Validation accuracy", "Learning rate", "Images a second", "Data wait"):
        assert page.has(title), title
    assert page.has("80.00 %", "epoch 3", "3 of 12", "complete", "104.0", "5.0 %", "36 s")
    assert page.has("Environment", "3.11.7", "ranks", "2", "800 MB")
    assert page.has(f"resnet18-3_{STEPS}.ckpt", "3.0")
    assert not page.has("optim_resnet18.ckpt")
    assert sum(tag == "svg" for tag, _ in page.tags) == 7
    assert {attrs["aria-label"] for tag, attrs in page.tags if tag == "svg"} >= {"Loss", "Confusion matrix"}


def test_page_shows_what_differs_from_the_recipe(tmp_path):
    folder = write_run(tmp_path / "run", "--lr", "0.25", "--label_smoothing", "0.05")
    page, _ = page_of(folder, path=tmp_path / "page.html")
    start = page.texts.index("What differs from the recipe")
    part = page.texts[start : page.texts.index("All keys")]
    assert part[2:5] == ["key", "recipe", "this run"]
    rows = [tuple(part[start : start + 3]) for start in range(5, len(part), 3)]
    assert ("lr", "0.001", "0.25") in rows
    assert {name for name, _, _ in rows} == {"lr", "label_smoothing"}


def test_page_shows_the_evaluation(evaluated):
    folder, page = evaluated
    saved = json.loads((folder / "evaluation/evaluation.json").read_text())
    assert page.has(f"{100 * saved['top_1_accuracy']:.2f} %", f"{100 * saved['macro']['f1']:.2f} %")
    assert page.has(f"{100 * saved['expected_calibration_error']:.2f} %", "Worst images")
    for row in saved["classes"]:
        assert page.has(f"{100 * row['recall']:.1f} %")
    pictures = [attrs["src"] for tag, attrs in page.tags if tag == "img"]
    shown = [*saved["worst"], *(image for pair in saved["confused"] for image in pair["images"])]
    assert len(pictures) == len(shown) > 20
    prefix = "data:image/jpeg;base64,"
    with Image.open(io.BytesIO(base64.b64decode(pictures[0].removeprefix(prefix)))) as picture:
        assert picture.size == (160, 120)
    assert shown[0]["path"] in page.texts


def test_page_needs_nothing_from_elsewhere(evaluated):
    _, page = evaluated
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe", "object", "base", "form")]
    addresses = [
        value
        for _, attrs in page.tags
        for name, value in attrs.items()
        if name in ("src", "href", "xlink:href", "srcset", "data", "action")
    ]
    assert addresses
    assert not [value for value in addresses if not value.startswith(("data:image/", "#"))]
    assert "url(" not in re.sub(r"url\(#\w+\)", "", page.source)
    assert "@import" not in page.source
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none';")


def test_charts_take_the_pages_colours(evaluated):
    _, page = evaluated
    assert "prefers-color-scheme: dark" in page.source
    assert "@media print" in page.source
    assert not re.search(r"#0[0-9a]0[0-9a]0\d", page.source)
    defined = set(re.findall(r"(--[a-z0-9-]+):", page.source))
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", page.source))
    assert used - defined - {"--v", "--c"} == set()
    assert "--series-1" in used


def test_several_runs_side_by_side(tmp_path):
    folders = [
        write_run(tmp_path / "a" / "run", "--lr", "0.1", top=0.4),
        write_run(tmp_path / "b" / "run", "--lr", "0.2", "--opt", "lion", epochs=2, end=False),
        write_run(tmp_path / "c", "--lr", "0.1", epochs=1, metrics=False),
    ]
    page, notes = page_of(*folders, path=tmp_path / "page.html")
    names = [str(tmp_path / "a/run"), str(tmp_path / "b/run"), str(tmp_path / "c")]
    assert page.has("3 runs side by side", *names)
    start = page.texts.index("Keys that differ")
    part = page.texts[start : page.texts.index("Training")]
    assert part[1:5] == ["key", *names]
    rows = {part[start]: part[start + 1 : start + 4] for start in range(5, len(part), 4)}
    assert rows == {"opt": ["adamw", "lion", "adamw"], "lr": ["0.1", "0.2", "0.1"]}
    assert page.has("Training loss", "Validation loss", "Validation: top-1", "Learning rate")
    assert page.has("70.00 %", "2 of 12, not complete")
    assert any("it was not evaluated while it trained" in note and note.startswith(names[2]) for note in notes)


def test_a_run_of_which_only_the_result_log_is_left(tmp_path):
    """As MindCV's runs have it."""
    (tmp_path / "result.log").write_text(
        "Epoch     TrainLoss  Top_1_Accuracy  TrainTime  EvalTime  TotalTime\n"
        "1         2.5        0.25            10.00      1.00      11.00\n"
        "2         1.5        -               10.00      0.00      10.00\n"
        "3         1.0        0.75\n"
        "4         0.5        0.85            10.00      1.00      11.00\n"
    )
    page, notes = page_of(tmp_path, path=tmp_path / "page.html")
    assert page.has("Loss", "Validation accuracy", "85.00 %", "epoch 4", "32 s")
    assert f"{tmp_path}: result.log: a line is damaged and left out" in notes


def test_an_evaluation_alone(tmp_path):
    labels = np.array([0, 1, 2, 0])
    evaluate(tmp_path / "found", labels, scores_of(labels, 3, strength=30.0))
    page, notes = page_of(tmp_path / "found", path=tmp_path / "page.html")
    assert notes == []
    assert page.has("Evaluation", "100.00 %", "Not one image is wrong.")
    assert not page.has("Training")


NOTHING = [
    (lambda folder: None, FileNotFoundError, "there is no such folder"),
    (lambda folder: folder.write_text("x"), FileNotFoundError, "there is no such folder"),
    (
        lambda folder: folder.mkdir(),
        ValueError,
        "there is no run (log.jsonl, result.log or config.yaml) and no evaluation",
    ),
]


@pytest.mark.parametrize(("make", "kind", "message"), NOTHING)
def test_where_there_is_nothing(tmp_path, make, kind, message):
    make(tmp_path / "run")
    with pytest.raises(kind, match=re.escape(message)) as found:
        write_report([tmp_path / "run"], tmp_path / "page.html")
    assert "\n" not in str(found.value)
    assert not (tmp_path / "page.html").exists()


def cut(path, keep):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


def spoil_evaluation(folder):
    labels = np.array([0, 1])
    evaluate(folder / "evaluation", labels, np.float32([[0, 1], [1, 0]]))
    cut(folder / "evaluation/evaluation.json", 0.5)


def make_log_a_folder(folder):
    (folder / "log.jsonl").unlink()
    (folder / "log.jsonl").mkdir()


SPOILED = [
    (lambda folder: cut(folder / "log.jsonl", 0.5), "log.jsonl is cut in the middle of its last line"),
    (
        lambda folder: (folder / "log.jsonl").write_text("what\n[1]\n" * 2),
        "log.jsonl: 4 lines are damaged and left out",
    ),
    (lambda folder: (folder / "log.jsonl").write_bytes(b""), "log.jsonl has no steps: there is nothing to draw"),
    (lambda folder: (folder / "log.jsonl").write_text("[" * 100_000 + "\n"), "log.jsonl: 1 lines are damaged"),
    (make_log_a_folder, "there is no log.jsonl"),
    (lambda folder: (folder / "config.yaml").unlink(), "there is no config.yaml"),
    (lambda folder: (folder / "config.yaml").write_text("lr: [1"), "config.yaml:1: is not valid YAML"),
    (
        lambda folder: (folder / "config.yaml").write_text("new_key: 5\n"),
        "keys or values that this version does not know",
    ),
    (
        lambda folder: (folder / "config.yaml").write_text("config: /gone.yaml\n"),
        "its recipe /gone.yaml cannot be read",
    ),
    (lambda folder: (folder / "checkpoints.json").write_text("{"), "checkpoints.json cannot be read"),
    (spoil_evaluation, "evaluation.json: it cannot be read"),
]


@pytest.mark.parametrize(("spoil", "message"), SPOILED)
def test_what_is_damaged_is_one_line_and_the_rest_is_drawn(tmp_path, spoil, message):
    folder = write_run(tmp_path / "run")
    spoil(folder)
    page, notes = page_of(folder, path=tmp_path / "page.html")
    assert len([note for note in notes if message in note]) == 1, notes
    assert not any("\n" in note for note in notes)
    assert any(message in text for text in page.texts)
    assert page.has(f"resnet18-3_{STEPS}.ckpt")


def test_epochs_of_the_result_log_where_the_other_log_is_lost(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "log.jsonl").write_bytes(b"")
    (folder / "result.log").write_text(
        "Epoch TrainLoss Top_1_Accuracy TrainTime EvalTime\n1 2.5 0.25 3 1\n2 1.5 0.5 3 1\n"
    )
    run = read_run(folder)
    assert [row["Top_1_Accuracy"] for row in run.epochs] == [0.25, 0.5]
    assert "its epochs are those of result.log" in run.notes
    assert not any("was not evaluated" in note for note in run.notes)


def test_events_that_make_no_sense_are_passed_over(tmp_path):
    folder = write_run(tmp_path / "run")
    odd = [
        {"event": "epoch", "epoch": "<b>", "loss": "much", "Top_1_Accuracy": 10**400},
        {"event": "epoch", "epoch": float("nan"), "loss": None},
        {"event": "train", "global_step": float("inf"), "loss": float("nan")},
        {"event": "train", "loss": [1]},
        {"event": "train", "global_step": 7, "loss": 1e308, "lr": -1e308},
        {"event": "run_begin", "steps_per_epoch": "x", "environment": [1], "schedule": [[1], "x", [None, 2]]},
        {"event": ["x"]},
    ]
    with (folder / "log.jsonl").open("a") as file:
        file.write("".join(json.dumps(event) + "\n" for event in odd))
    run = read_run(folder)
    assert len(run.epoch_curve("loss")) == 3
    assert len(run.step_curve("loss")) == 3 * STEPS // 2
    assert run.schedule().y.size == 0
    page, _ = page_of(folder, path=tmp_path / "page.html")
    assert page.has("Loss", "80.00 %")


def test_a_recipe_that_a_run_names_is_not_shown(tmp_path):
    """A run may come from elsewhere, and name any file of ours."""
    secret = tmp_path / "secret.txt"
    secret.write_text("nobody:x:0:0\npassword: hunter2\n")
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(f"config: {secret}\nlr: 0.5\n")
    page, notes = page_of(folder, path=tmp_path / "page.html")
    assert "hunter2" not in page.source
    assert not any("hunter2" in note or "nobody" in note for note in notes)


HOSTILE = "<script>alert(1)</script>\"'&$x^2$\x1b[31m"


def test_names_of_others_act_nowhere(tmp_path):
    folder = write_run(tmp_path / "<img src=x onerror=alert(1)>", "--model", "resnet18")
    log = folder / "log.jsonl"
    hostile_metric = json.dumps(HOSTILE)
    log.write_text(
        log.read_text().replace('"Top_1_Accuracy"', hostile_metric).replace('"3.11.7"', json.dumps(f"{HOSTILE} python"))
    )
    labels = np.array([0, 1, 2, 0])
    samples = Samples(labels)
    samples.name = lambda index: f"{HOSTILE}{index}.jpg"
    scores = np.float32([[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    evaluate(folder / "evaluation", labels, scores, samples=samples, class_names=[HOSTILE, "a$b$", "</svg></style>"])
    second = write_run(tmp_path / "javascript:alert(1)")
    page, _ = page_of(folder, second, path=tmp_path / "page.html")
    assert not [tag for tag, _ in page.tags if tag == "script"]
    assert not [attrs for _, attrs in page.tags if any(name.startswith("on") for name in attrs)]
    assert "<script" not in page.source
    assert "\x1b" not in page.source
    assert page.has("<script>alert(1)</script>\"'&$x^2$\\x1b[31m", "</svg></style>")
    assert {tag for tag, _ in page.tags if tag == "img"} == {"img"}
    assert all(attrs["src"].startswith("data:image/jpeg;base64,") for tag, attrs in page.tags if tag == "img")


def test_copies_that_are_missing_or_are_no_images_are_left_out(tmp_path):
    folder = tmp_path / "found"
    labels = np.array([0, 1, 0])
    evaluate(folder, labels, np.float32([[0, 1], [1, 0], [0, 1]]))
    (folder / "images/0.jpg").unlink()
    (folder / "images/1.jpg").write_bytes(b"<svg onload='alert(1)'/>")
    page, _ = page_of(folder, path=tmp_path / "page.html")
    assert page.texts.count("its copy is missing") == 4
    assert len([tag for tag, _ in page.tags if tag == "img"]) == 2


def test_a_thousand_classes_are_drawn_so_that_one_sees_something(tmp_path):
    """Classes of 10 are confused among each other, and stand nowhere near each other by number."""
    rng = np.random.default_rng(0)
    group = rng.permutation(1000) % 100
    labels = rng.integers(0, 1000, 6000)
    others = np.array([rng.choice(np.flatnonzero(group == group[label])) for label in labels])
    scores = np.zeros((6000, 1000), np.float32)
    scores[np.arange(6000), others] = 5
    found = evaluate(tmp_path / "found", labels, scores, batch_size=6000)
    page, _ = page_of(tmp_path / "found", path=tmp_path / "page.html")
    assert page.has("All classes, errors only", "The classes that are confused most often")
    assert page.has("800 classes more are in classes.csv.")
    assert len(page.source) < 2_000_000
    # The overview is one picture, in which nearly all errors lie beside the diagonal.
    from mindcv.report.figures import neighbours

    cells = np.array(found.confusion)
    chart = overview_chart("x", cells, neighbours(cells, 1000))
    data = base64.b64decode(re.search(r'xlink:href="data:image/png;base64,([^"]+)"', chart)[1])
    with Image.open(io.BytesIO(data)) as picture:
        strength = np.asarray(picture)[..., 3].astype(float)
    assert strength.shape == (143, 143)
    away = np.abs(np.subtract.outer(np.arange(143), np.arange(143)))
    assert strength.sum() > 0
    assert strength[away <= 2].sum() > 0.99 * strength.sum()


def test_thinned_curve_keeps_mean_and_range():
    series = Series(np.arange(10_000.0), np.random.default_rng(0).standard_normal(10_000))
    x, y, low, high = thinned(series)
    assert len(x) == 400
    assert y.mean() == pytest.approx(series.y.mean())
    assert (low.min(), high.max()) == (series.y.min(), series.y.max())
    assert (low <= y).all()
    assert (y <= high).all()


def test_lines_are_labelled_and_long_ones_stay_small():
    series = Series(np.arange(1e5), np.ones(100_000))
    chart = line_chart("Loss", [Line("training & more", series)])
    assert "training &amp; more" in chart
    assert len(chart) < 60_000
    assert line_chart("Loss", [Line("nothing", Series.of([]))]) == ""
    assert "<svg" in line_chart("Loss", [Line("one", Series.of([(1.0, 2.0), (2.0, float("nan"))]))])


def test_points_of_schedule_keep_both_ends():
    rates = [0.1 / (step + 1) for step in range(5000)]
    points = points_of_schedule(rates, 0.01)
    assert len(points) == 200
    assert points[0] == (0.01, 0.1)
    assert points[-1] == (50.0, rates[-1])
    assert points_of_schedule([0.5], 0.25) == [(0.25, 0.5)]  # as the log has this rate


def test_command(tmp_path, capsys, monkeypatch):
    folder = write_run(tmp_path / "run")
    assert main(["report", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out == f"{folder}/report.html\n"
    assert err.count("\n") == 1
    assert "there is no evaluation in it" in err
    assert Page(folder / "report.html").has("Loss")
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(folder), str(write_run(tmp_path / "other"))]) == 0
    assert capsys.readouterr().out == "report.html\n"
    assert Page(tmp_path / "report.html").has("2 runs side by side")
    assert main(["report", str(folder), "--out", str(tmp_path / "no/page.html")]) == 2
    assert capsys.readouterr().err.startswith("mindcv: error: ")
    assert main(["report", str(tmp_path / "gone")]) == 2
    assert "there is no such folder" in capsys.readouterr().err


def test_without_the_packages_the_command_says_what_to_install(tmp_path, capsys, monkeypatch):
    folder = write_run(tmp_path / "run")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["report", str(folder)]) == 2
    assert capsys.readouterr().err == "mindcv: error: a report needs jinja2; pip install 'mindcv[report]'\n"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ImportError("jinja2"), "No report.html: pip install 'mindcv[report]' draws one"),
        (RuntimeError("no ink\nat all"), "the report could not be written (RuntimeError: no ink)"),
        (OSError(28, "No space left on device"), "the report could not be written (OSError: [Errno 28] No space"),
    ],
)
def test_a_report_that_fails_fails_no_run(tmp_path, monkeypatch, caplog, error, message):
    def fail(*_):
        raise error

    monkeypatch.setattr("mindcv.report.page._render", fail)
    with caplog.at_level(logging.INFO, "mindcv.report.page"):
        report_of_run(write_run(tmp_path / "run"))
    assert [record.getMessage().startswith(message) for record in caplog.records] == [True]
    assert not os.path.exists(tmp_path / "run/report.html")


def test_earlier_page_stays_when_a_new_one_cannot_be_written(tmp_path, monkeypatch):
    folder = write_run(tmp_path / "run")
    report_of_run(folder)
    before = (folder / "report.html").read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    report_of_run(folder)
    assert (folder / "report.html").read_bytes() == before
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.parametrize(("name", "shown"), [("mAP", "mAP"), ("Top_1_Accuracy", "top-1 accuracy"), ("loss", "loss")])
def test_names_of_metrics(name, shown):
    assert metric_name(name) == shown
