"""`mindcv benchmark train` and `table`: what is measured, on which data, and what is said where there is nothing."""

import json

import pytest

from mindcv import build
from mindcv.cli import _benchmark_table, main
from mindcv.cli._benchmark_train import _made_up_batch
from mindcv.config import read_config
from mindcv.data import epoch_batches

SMALL = ["--image_resize=16", "--batch_size=4", "--num_samples=8", "--mode=1", "--device_target=CPU"]
TRAIN = ["benchmark", "train", "-c", "resnet/resnet18_cpu.yaml", *SMALL]


@pytest.mark.parametrize("data", ["digits", "synthetic"])
def test_figures_on_stdout(data, capfd, tmp_path):
    # 4 steps are 2 epochs of the digits.
    words = ["--steps", "3", "--warmup_steps", "1", "--epoch_size=1", "--warmup_epochs=0", "--decay_epochs=1"]
    words += ["--synthetic"] if data == "synthetic" else []
    assert main([*TRAIN, *words, "--json", "-"]) == 0
    figures = json.loads(capfd.readouterr().out)
    expected = {"model": "resnet18", "data": data, "device": "CPU", "cards": 1, "batch_size": 4, "steps": 3}
    expected |= {"resolution": "16x16", "mode": "pynative", "jit_level": "default", "graph_compile_s": None}
    assert {key: figures[key] for key in expected} == expected
    assert figures["params_m"] == 11.18  # 11.18e6 with 10 classes
    assert figures["img_per_s"] == pytest.approx(4 * 1000 / figures["ms_per_step"], rel=1e-2)
    assert figures["data_wait_share"] < 0.01 if data == "synthetic" else 0 < figures["data_wait_share"] < 1
    assert figures["host_peak_mb"] > 100
    assert figures["first_step_s"] > 0


def test_table_of_figures_and_file(capsys, tmp_path):
    out = tmp_path / "figures.json"
    assert main([*TRAIN, "--synthetic", "--mode=0", "--steps=1", "--warmup_steps=2", "--json", str(out)]) == 0
    figures = json.loads(out.read_text())
    assert figures["mode"] == "graph"
    assert 0 < figures["graph_compile_s"] < figures["first_step_s"]
    lines = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert lines["FPS"] == f"{figures['img_per_s']:.2f} img/s"
    assert lines["step"] == f"{figures['ms_per_step']:.2f} ms"
    assert lines["data"] == "wait      0.0%"
    assert lines["graph"].endswith(" s")
    assert lines["peak"].endswith("MiB")


@pytest.mark.parametrize(
    "keys",
    [
        (),
        ("--mixup=0.8",),
        ("--cutmix=1",),
        ("--loss=jsd", "--aug_splits=3", "--auto_augment=augmix"),
        ("--mixup=0.8", "--cutmix_prob=0"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("on_device", [False, True], ids=["host", "device"])
def test_made_up_data_has_the_form_of_the_real(keys, on_device):
    cfg = read_config(["-c", "resnet/resnet18_cpu.yaml", *SMALL, *keys, f"--normalize_on_device={on_device}"])
    loader, num_classes = build.build_train_loader(cfg)
    real = next(epoch_batches(loader, 0))
    made_up = _made_up_batch(cfg, num_classes)
    assert [(x.shape, x.dtype) for x in made_up] == [(x.shape, x.dtype) for x in real]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--steps", "0"], "--steps: got 0; give a number from 1"),
        (["--warmup_steps", "0"], "--warmup_steps: got 0; give a number from 1"),
        (["--lable_smoothing", "0.1"], "unknown key 'lable_smoothing' (got '0.1'); did you mean 'label_smoothing'?"),
        (["--dataset=imagenet", "--data_dir=/nowhere"], "--synthetic measures without data"),
    ],
)
def test_errors_in_one_line(words, message, capsys):
    assert main([*TRAIN, *words]) == 2
    err = capsys.readouterr().err
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err


FIGURES = {
    "model": "resnet18",
    "params_m": 11.18,
    "cards": 1,
    "batch_size": 32,
    "resolution": "32x32",
    "device": "CPU",
    "jit_level": "default",
    "graph_compile_s": 8.71,
    "ms_per_step": 200.0,
    "img_per_s": 160.0,
    "mode": "graph",
    "data": "digits",
    "mindspore": "2.10.0",
}


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    monkeypatch.setattr(_benchmark_table, "_measure", lambda recipe, args: FIGURES)
    path = tmp_path / "recipe.yaml"
    path.write_text(f"model: resnet18\ndataset: digits\nimage_resize: 32\nckpt_save_dir: {tmp_path}/run\n")
    return path


def cells(capsys):
    head, _, row = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    return dict(zip(*[[cell.strip() for cell in line.strip("|").split("|")] for line in (head, row)], strict=True))


@pytest.mark.no_mindspore
def test_result_table_without_a_training(recipe, capsys):
    assert main(["benchmark", "table", "-c", str(recipe)]) == 0
    assert cells(capsys) == {
        "model name": "resnet18",
        "params(M)": "11.18",
        "cards": "1",
        "batch size": "32",
        "resolution": "32x32",
        "jit level": "default",
        "graph compile": "8.7s",
        "ms/step": "200.00",
        "img/s": "160.00",
        "acc@top1": "not measured here",
        "acc@top5": "not measured here",
        "recipe": f"[yaml]({recipe})",
        "weight": "-",
    }


@pytest.mark.no_mindspore
@pytest.mark.parametrize("is_same", [True, False], ids=["its training", "another network's training"])
def test_accuracies_are_those_of_the_recipes_training(recipe, capsys, tmp_path, is_same):
    run = tmp_path / "run"
    run.mkdir()
    text = recipe.read_text()
    (run / "config.yaml").write_text(text if is_same else text.replace("resnet18", "resnet34"))
    events = [{"event": "run_begin"}, *({"event": "epoch", "Top_1_Accuracy": top} for top in (0.5, 0.9, 0.7))]
    events[2]["Top_5_Accuracy"] = 0.99
    (run / "log.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in events))
    (run / "resnet18_best.ckpt").touch()
    assert main(["benchmark", "table", "-c", str(recipe), "--json", str(tmp_path / "rows.json")]) == 0
    row = cells(capsys)
    found = (row["acc@top1"], row["acc@top5"], row["weight"])
    nothing = ("not measured here", "not measured here", "-")
    assert found == (("90.00", "99.00", f"[weights]({run}/resnet18_best.ckpt)") if is_same else nothing)
    saved = json.loads((tmp_path / "rows.json").read_text())
    assert ("top1" in saved["results"][0]) == is_same
    assert "CPU, host with" in saved["setup"]


@pytest.mark.no_mindspore
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-c", "resnet19"], "no packaged recipe of 'resnet19' for cpu; did you mean 'resnet18'?"),
        (["-c", "nothing.yaml"], "recipe 'nothing.yaml' does not exist"),
        (["-c", "resnet18", "--lr", "fast"], "lr: got 'fast'; allowed: a number"),
    ],
)
def test_table_errors_come_before_anything_is_measured(words, message, capsys, monkeypatch):
    monkeypatch.setattr(_benchmark_table, "_measure", lambda recipe, args: pytest.fail("measured"))
    assert main(["benchmark", "table", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.no_mindspore
@pytest.mark.parametrize(
    ("device", "keys", "resnet"),
    [("ascend", [], "resnet_18_ascend"), ("gpu", ["--device_target", "GPU"], "resnet_18_gpu")],
)
def test_a_models_name_means_its_packaged_recipe(device, keys, resnet, monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(_benchmark_table, "_measure", lambda recipe, args: asked.append((recipe, args.keys)) or FIGURES)
    assert main(["benchmark", "table", "-c", "resnet18", "seresnet18", "--device", device, "--json", "-"]) == 0
    assert [keys for _, keys in asked] == [keys] * 2
    assert [path.split("configs/")[1] for path, _ in asked] == [
        f"resnet/{resnet}.yaml",
        "senet/seresnet18_ascend.yaml",
    ]
    assert len(json.loads(capsys.readouterr().out)["results"]) == 2
