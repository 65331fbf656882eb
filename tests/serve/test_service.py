"""The service's answers, limits and refusals, through its application as clients see it."""

import asyncio
import io
import struct
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from time_limits import LIMIT_S, wait_until

from mindcv.data import EvalPreprocess
from mindcv.export import Classifier, export_model
from mindcv.export.images import ImageReader
from mindcv.models import create_model
from mindcv.serve import Busy, Service, create_app
from mindcv.serve.bodies import Bodies, Refused
from mindcv.serve.service import sizes_up_to

PHOTOS = Path(__file__).parents[1] / "data" / "photos"
CHINA, FLOWER = (PHOTOS / "china.jpg").read_bytes(), (PHOTOS / "flower.jpg").read_bytes()
TEXT = b"These are words and no picture."
NAMES = ("tench", "cat", "dog", "<b>bold</b>", "größe")


@pytest.fixture(scope="module")
def network():
    return create_model("squeezenet1_1", num_classes=len(NAMES)).set_train(False)


@pytest.fixture(scope="module")
def onnx(network, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("serve") / "tiny.onnx"
    preprocess = EvalPreprocess(32, interpolation="bicubic")
    export_model(network, path, batch_size="dynamic", preprocess=preprocess, class_names=NAMES, model_name="tiny")
    return str(path)


@pytest.fixture
def classifier(onnx) -> Classifier:
    return Classifier(onnx)


@pytest.fixture
def serve():
    """Makes a service and a client of its application, and closes them."""
    clients = []

    def make(classifier: Classifier, *, max_body_bytes=2_000_000, token=None, hosts=(), **options):
        service = Service(classifier, **options)
        service.warm_up()
        app = create_app(service, max_body_bytes=max_body_bytes, token=token, hosts=hosts)
        client = TestClient(app, base_url="http://localhost", raise_server_exceptions=False)
        client.__enter__()
        clients.append(client)
        return service, client

    yield make
    for client in clients:
        client.__exit__(None, None, None)


class Gate:
    """Holds the network back until it is opened, and notes the sizes of batches."""

    def __init__(self, classifier: Classifier, monkeypatch) -> None:
        self.opened, self.sizes = threading.Event(), []
        run = classifier.probabilities

        def probabilities(inputs):
            self.sizes.append(len(inputs))
            assert self.opened.wait(LIMIT_S)
            return run(inputs)

        monkeypatch.setattr(classifier, "probabilities", probabilities)


def files(*images: bytes) -> list:
    return [("image", (f"{index}.jpg", image)) for index, image in enumerate(images)]


def png_that_claims(width: int, height: int) -> bytes:
    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"\0" * 9)) + part(b"IEND", b"")


def jpeg_that_claims(width: int, height: int) -> bytes:
    data = encoded(Image.new("RGB", (8, 8)), "JPEG")
    frame = data.index(b"\xff\xc0") + 5
    return data[:frame] + struct.pack(">HH", height, width) + data[frame + 4 :]


def tiff_that_claims(width: int, height: int) -> bytes:
    data = encoded(Image.new("RGB", (7, 9)), "TIFF")
    for tag, old, new in ((256, 7, width), (257, 9, height)):
        entries = [struct.pack("<HHI", tag, kind, 1) + struct.pack("<I", old) for kind in (3, 4)]
        found = next(entry for entry in entries if entry in data)
        data = data.replace(found, struct.pack("<HHII", tag, 4, 1, new))
    return data


def encoded(image: Image.Image, file_format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def test_answers_are_the_classifiers(classifier, serve):
    _, client = serve(classifier)
    expected = classifier.predict([CHINA, FLOWER], top_k=3)
    answer = client.post("/predict?top_k=3", files=files(CHINA, FLOWER))
    assert answer.status_code == 200
    assert answer.json()["model"] == "tiny"
    for result, prediction in zip(answer.json()["results"], expected, strict=True):
        assert [(p["index"], p["class"]) for p in result["predictions"]] == [
            (label.index, label.name) for label in prediction.labels
        ]
        np.testing.assert_allclose(
            [p["probability"] for p in result["predictions"]], [label.probability for label in prediction.labels], 1e-5
        )
    assert [result["image"] for result in answer.json()["results"]] == ["0.jpg", "1.jpg"]
    # raw bytes, whatever the type that curl says; top_k of the form
    raw = client.post("/predict", content=CHINA, headers={"content-type": "application/x-www-form-urlencoded"})
    assert [p["class"] for p in raw.json()["results"][0]["predictions"]][:3] == [e.name for e in expected[0].labels]
    assert len(raw.json()["results"][0]["predictions"]) == len(NAMES)
    formed = client.post("/predict", files=files(CHINA), data={"top_k": "1"})
    assert len(formed.json()["results"][0]["predictions"]) == 1


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (TEXT, "this is no image file (it begins with b'These ar')"),
        (CHINA[:300], "ends, or is damaged, before its picture begins"),
        (CHINA[:90_000], "this JPEG is cut off"),
        (b"", "there is no image"),
    ],
    ids=["text", "headless", "cut", "empty"],
)
def test_what_is_no_image_is_refused(image, reason, classifier, serve):
    _, client = serve(classifier)
    answer = client.post("/predict", content=image)
    assert answer.status_code == 422
    assert reason in (answer.json().get("error") or answer.json()["results"][0]["error"])


def test_bad_images_do_not_spoil_good_ones(classifier, serve):
    _, client = serve(classifier)
    answer = client.post("/predict", files=files(TEXT, FLOWER, CHINA[:300]))
    assert answer.status_code == 200
    assert ["error" in result for result in answer.json()["results"]] == [True, False, True]
    assert client.post("/predict", files=files(TEXT, TEXT)).status_code == 422


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "9" * 30, "٣"])
def test_wrong_options(value, classifier, serve):
    _, client = serve(classifier)
    answer = client.post("/predict", params={"top_k": value}, content=FLOWER)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("top_k is ")
    assert answer.json()["error"].endswith("give a number from 1")


def test_large_bodies(classifier, serve):
    _, client = serve(classifier, max_body_bytes=len(CHINA))
    assert client.post("/predict", content=CHINA).status_code == 200
    told = client.post("/predict", content=CHINA + b"x")
    # without a Content-Length it is cut when it has come to the limit
    streamed = client.post("/predict", content=iter([CHINA, b"x"]))
    for answer in (told, streamed):
        assert answer.status_code == 413
        assert answer.json()["error"] == f"the body is larger than the {len(CHINA) / 1e6:g} MB that are allowed"


def test_pictures_that_would_burst_memory_are_not_decoded(classifier, serve, monkeypatch):
    _, client = serve(classifier, max_pixels=4_000_000)
    allowed = "allowed are 1 to 4000000 in all"
    bomb = encoded(Image.new("1", (2001, 2000)), "PNG")
    scans = encoded(Image.new("L", (64, 64)), "JPEG", progressive=True)
    start = scans.index(b"\xff\xda")
    scans = scans[:start] + scans[start:-2] * 60 + scans[-2:]
    read = []
    monkeypatch.setattr(classifier, "read", read.append)
    for image, reason in (
        (png_that_claims(50_000, 50_000), f"the image claims 50000 x 50000 pixels; {allowed}"),
        (jpeg_that_claims(50_000, 50_000), f"the image claims 50000 x 50000 pixels; {allowed}"),
        (tiff_that_claims(50_000, 50_000), f"the image claims too many pixels; {allowed}"),  # Pillow does not say which
        (encoded(Image.new("1", (2001, 2000)), "TIFF"), f"the image claims 2001 x 2000 pixels; {allowed}"),
        (bomb, f"the image claims 2001 x 2000 pixels; {allowed}"),
        (scans, "this JPEG has more than 100 scans"),
    ):
        answer = client.post("/predict", content=image)
        assert answer.status_code == 422
        assert reason in answer.json()["results"][0]["error"]
        assert client.post("/crop", content=image).status_code == 422
    assert read == []


def test_forms(classifier, serve):
    _, client = serve(classifier, max_queue=16)
    several = client.post("/predict", files=files(*[TEXT] * 17), data={"top_k": "1"})
    assert (several.status_code, several.json()["error"]) == (413, "a request may have 16 images")
    kind = {"content-type": "multipart/form-data; boundary=x"}
    for body, headers, status in (
        (b"", {"content-type": "multipart/form-data"}, 400),
        (b"garbage", kind, 400),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n', kind, 422),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"1" * 5000 + b"\r\n--x--\r\n", kind, 400),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n", kind, 400),
    ):
        answer = client.post("/predict", content=body, headers=headers)
        assert (answer.status_code, [*answer.json()]) == (status, ["error"])


def test_what_waits_is_batched_and_the_queue_is_bounded(classifier, serve, monkeypatch):
    service, client = serve(classifier, max_batch=4, max_queue=7)
    gate = Gate(classifier, monkeypatch)
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(client.post, "/predict", content=FLOWER)
        wait_until(lambda: gate.sizes == [1], "the first batch")
        rest = [threads.submit(client.post, "/predict", content=CHINA) for _ in range(6)]
        wait_until(lambda: service.waiting == 7, "the queue's filling")
        refused = client.post("/predict", content=CHINA)
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        with pytest.raises(Busy):
            service.submit([CHINA])
        wait_until(lambda: not service._decoding, "the decoding")
        gate.opened.set()
        assert [future.result().status_code for future in (first, *rest)] == [200] * 7
    assert gate.sizes == [1, 4, 2]
    assert service.waiting == 0
    assert client.post("/predict", content=CHINA).status_code == 200


def test_one_alone_does_not_wait(classifier, serve):
    _, client = serve(classifier, max_wait_ms=60_000)
    for _ in range(2):  # would take two minutes
        assert client.post("/predict", content=FLOWER).json()["results"][0]["times"]["wait_ms"] < 50_000


def test_as_many_as_last_are_waited_for(classifier, monkeypatch):
    """Who was answered asks again: the first of four does not run alone, nor does it wait for ever."""
    service = Service(classifier, max_batch=8, max_wait_ms=60_000)
    gate = Gate(classifier, monkeypatch)
    gate.opened.set()
    monkeypatch.setattr(service, "_seconds_an_image", 1e6)  # so that only the number counts
    service._last_size = 4
    (first,) = service.submit([CHINA])
    wait_until(lambda: not service._decoding, "the decoding")
    assert not first.done()
    rest = service.submit([CHINA] * 3)
    assert {answer.result(LIMIT_S).batch for answer in (first, *rest)} == {4}
    assert gate.sizes == [4]
    monkeypatch.setattr(service, "_seconds_an_image", 1e-6)
    assert service.submit([CHINA])[0].result(LIMIT_S).batch == 1
    service.close()


def test_cancelled_images_do_not_run(classifier, monkeypatch):
    service = Service(classifier, max_batch=4)
    gate = Gate(classifier, monkeypatch)
    (first,) = service.submit([FLOWER])
    wait_until(lambda: gate.sizes == [1], "the first batch")
    answers = service.submit([CHINA, FLOWER, CHINA])
    assert answers[0].cancel()
    assert answers[2].cancel()
    gate.opened.set()
    service.close()
    assert first.result().labels
    assert answers[1].result().batch == 1
    assert gate.sizes == [1, 1]
    assert service.waiting == 0


def test_closing_answers_what_was_taken(classifier, monkeypatch):
    service = Service(classifier, max_batch=2)
    gate = Gate(classifier, monkeypatch)
    answers = [*service.submit([CHINA, FLOWER]), *service.submit([FLOWER] * 5)]
    closing = threading.Thread(target=service.close)
    closing.start()
    wait_until(lambda: not service.is_alive, "the end")
    with pytest.raises(Busy):
        service.submit([CHINA])
    gate.opened.set()
    closing.join()
    assert all(answer.result(0).labels for answer in answers)


def test_a_network_that_fails_is_no_callers_business(classifier, serve, monkeypatch, caplog):
    _, client = serve(classifier)
    run = classifier.probabilities
    monkeypatch.setattr(classifier, "probabilities", lambda inputs: 1 / 0)
    answer = client.post("/predict", content=FLOWER)
    assert (answer.status_code, answer.json()) == (500, {"error": "the service failed; its log says why"})
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.setattr(classifier, "probabilities", lambda inputs: np.full((len(inputs), len(NAMES)), np.nan))
    answer = client.post("/predict", content=FLOWER)
    assert answer.status_code == 422
    assert "is not finite" in answer.json()["results"][0]["error"]
    monkeypatch.setattr(classifier, "probabilities", run)
    assert client.post("/predict", content=FLOWER).status_code == 200


def test_what_there_is_not(classifier, serve):
    _, client = serve(classifier)
    for method, path, status in (("GET", "/nothing", 404), ("GET", "/predict", 405), ("GET", "/docs", 404)):
        answer = client.request(method, path)
        assert (answer.status_code, [*answer.json()]) == (status, ["error"])
    assert {"/predict", "/crop", "/explain", "/model", "/health", "/metrics"} <= set(
        client.get("/openapi.json").json()["paths"]
    )


def test_token(classifier, serve):
    _, client = serve(classifier, token="correct-horse-battery")
    for path in ("/", "/page.js", "/page.css", "/icon.svg", "/health"):
        assert client.get(path).status_code == 200
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic correct-horse-battery"}):
        for answer in (
            client.post("/predict", content=FLOWER, headers=headers),
            client.get("/model", headers=headers),
            client.get("/metrics", headers=headers),
            client.get("/openapi.json", headers=headers),
        ):
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
    right = {"authorization": "bearer correct-horse-battery"}
    assert client.post("/predict", content=FLOWER, headers=right).status_code == 200


def test_hosts_and_origins(classifier, serve):
    _, client = serve(classifier, hosts=["cats.example"])
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000", "192.168.1.5:80", "Cats.Example"):
        assert client.get("/health", headers={"host": host}).status_code == 200
    for host in ("evil.example", "localhost.evil.example", "[", ""):
        assert client.get("/health", headers={"host": host}).status_code == 421
    for origin, status in (
        ("http://cats.example", 200),
        ("https://cats.example:443", 200),  # behind a proxy
        ("http://evil.example", 403),
        ("null", 403),
    ):
        answer = client.post("/predict", content=FLOWER, headers={"host": "cats.example", "origin": origin})
        assert answer.status_code == status
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_headers_keep_the_page_to_itself(classifier, serve):
    _, client = serve(classifier)
    for path in ("/", "/health", "/nothing"):
        headers = client.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self';")
        assert headers["x-content-type-options"] == "nosniff"
    page = client.get("/").text
    assert "http" not in page.replace("http-equiv", "")
    assert "<script>" not in page


def test_crop_is_what_the_network_sees(classifier, serve):
    _, client = serve(classifier)
    answer = client.post("/crop", content=FLOWER)
    pixels = np.asarray(Image.open(io.BytesIO(answer.content)))
    expected = ImageReader(classifier.preprocess, normalise=False)(FLOWER).transpose(1, 2, 0)
    np.testing.assert_array_equal(pixels, expected)
    assert client.post("/crop", files=files(FLOWER, CHINA)).status_code == 422


def test_model_and_metrics(classifier, serve):
    service, client = serve(classifier, max_batch=8)
    model = client.get("/model").json()
    assert (model["name"], model["format"], model["num_classes"]) == ("tiny", "onnx", len(NAMES))
    assert model["class_names"] == list(NAMES)
    assert model["preprocess"]["image_size"] == [32, 32]
    assert model["explains"] is False
    refused = client.post("/explain", content=FLOWER)
    assert (refused.status_code, refused.json()["error"]) == (422, model["why_unexplained"])
    client.post("/predict", files=files(FLOWER, CHINA, TEXT))
    client.get("/made/up")
    figures = client.get("/metrics")
    assert figures.headers["content-type"].startswith("text/plain; version=")
    for line in (
        'mindcv_requests_total{path="/predict",status="200"} 1.0',
        'mindcv_requests_total{path="other",status="404"} 1.0',
        'mindcv_images_total{result="classified"} 2.0',
        'mindcv_images_total{result="refused"} 1.0',
        "mindcv_queue_images 0.0",
        "mindcv_queue_limit_images 128.0",
        "mindcv_batch_images_sum 2.0",
    ):
        assert line in figures.text.splitlines()
    assert client.get("/health").json() == {"status": "ok"}
    service.close()
    assert client.get("/health").status_code == 503
    assert client.post("/predict", content=FLOWER).status_code == 503


def test_several_labels_are_independent(network, serve):
    classifier = Classifier(network, preprocess=EvalPreprocess(32), class_names=NAMES, head="multiple")
    _, client = serve(classifier)
    answer = client.post("/predict", content=FLOWER).json()
    assert answer["head"] == "multiple"
    scores = classifier._run(classifier.read(FLOWER)[None])[0].astype(np.float64)
    by_index = {p["index"]: p["probability"] for p in answer["results"][0]["predictions"]}
    independent = 1 / (1 + np.exp(-scores))
    np.testing.assert_allclose([by_index[index] for index in range(len(NAMES))], independent, rtol=1e-4)
    classifier.threshold = float(np.sort(independent)[1:3].mean())  # between two of them, however they are rounded
    above = client.post("/predict", content=FLOWER).json()["results"][0]["predictions"]
    assert {p["index"] for p in above} == {*np.flatnonzero(independent >= classifier.threshold)}
    assert client.get("/model").json()["threshold"] == classifier.threshold


def test_sizes_that_a_network_is_compiled_for():
    assert [sizes_up_to(largest) for largest in (1, 2, 4, 16, 20)] == [
        (1,), (1, 2), (1, 4), (1, 4, 16), (1, 4, 16, 20),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_batch": 0}, "max_batch is 0"),
        ({"max_batch": 8, "max_queue": 7}, "max_queue is 7, which is less than max_batch 8"),
        ({"max_wait_ms": -1}, "max_wait_ms is -1"),
        ({"workers": 0}, "workers is 0"),
    ],
)
def test_wrong_numbers(options, message, classifier):
    with pytest.raises(ValueError, match=message):
        Service(classifier, **options)


def test_a_wrong_number_of_names_is_told_at_the_start(network):
    service = Service(Classifier(network, preprocess=EvalPreprocess(32), class_names=("a", "b")))
    with pytest.raises(ValueError, match="got 2 class names for a network of 5 classes"):
        service.warm_up()
    service.close()


def test_slow_bodies_end(classifier):
    class Slow:
        headers = {}

        async def stream(self):
            yield b"\xff\xd8"
            await asyncio.Event().wait()

    async def read():
        bodies = Bodies(100, 1, limit_s=0.01)
        with pytest.raises(Refused, match="did not come within"):
            async with bodies.read(Slow()):
                pass
        return bodies._held

    assert asyncio.run(read()) == 0
