"""Throughput, latency and endurance of `mindcv serve` on this machine, against its own loopback server.

    python benchmarks/serve.py                         resnet50 as an ONNX file; about a minute and a half on two cores
    python benchmarks/serve.py --live                  the live network, in graph mode
    python benchmarks/serve.py soak                    10,000 requests to a small network, one in ten of them bad

The load: clients in a process of their own, each with one connection, send a photo, wait for the answer and send the
next. Beside it, alternating with it: the same runtime without a server, on batches of the same size, as `Classifier`
gives them to it (`classifier`: with decoding, by its threads) and alone (`network`). The soak: every request has to be
answered with what it deserves, and the server's memory at the end is compared with that after the first tenth.
"""

import argparse
import asyncio
import io
import json
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from mindcv.utils.cores import usable_cores

PHOTOS = Path(__file__).parents[1] / "tests" / "data" / "photos"
WANTED = 0.85  # of the runtime's throughput without a server
MOST_GROWTH = 0.05  # of the memory after the first tenth of the soak
BATCH_GAP_S = 0.02
MAX_BODY = 1_000_000
TOO_LARGE = b"\xff\xd8" + bytes(MAX_BODY)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, round(share * (len(values) - 1)))]


def make_model(options: argparse.Namespace, folder: Path) -> list[str]:
    """Writes the model's file and returns the words after `mindcv serve`."""
    from mindcv import create_model
    from mindcv.config import parse_args, save_args
    from mindcv.data import EvalPreprocess
    from mindcv.engine import setup_run
    from mindcv.export import export_model
    from mindcv.weights import write_weights

    setup_run("CPU", 0, None, False, 1)
    network = create_model(options.model)
    if options.live:
        write_weights(folder / "m.ckpt", {each.name: each.asnumpy() for each in network.get_parameters()})
        words = ["--model", options.model, "--image_resize", str(options.image_size), "--num_classes", "1000"]
        save_args(parse_args(words), folder / "config.yaml")
        return [str(folder / "m.ckpt")]
    preprocess = EvalPreprocess(options.image_size)
    export_model(network, folder / "m.onnx", batch_size="dynamic", preprocess=preprocess, model_name=options.model)
    return [str(folder / "m.onnx")]


def start_server(words: list[str], *more: str) -> tuple[subprocess.Popen, int]:
    command = [sys.executable, "-m", "mindcv", "serve", *words, "--port", "0", *more]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in server.stdout:
        found = re.search(r" is at http://127\.0\.0\.1:(\d+)/", line)
        if found:
            return server, int(found[1])
    raise SystemExit(f"the server ended with exit code {server.wait()}")


def stop(server: subprocess.Popen) -> None:
    server.send_signal(signal.SIGINT)
    if server.wait(60):
        raise SystemExit(f"the server ended with exit code {server.returncode}")


def memory_mb(process: int) -> float:
    """Resident memory of a process, in MB (Linux)."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) / 1e3


class Client:
    """One connection, with nothing that would cost the measured machine time: HTTP by hand."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None

    async def post(self, body: bytes, chunked: bool = False, cut: bool = False) -> tuple[int, bytes]:
        """Returns status and body of the answer; 0 when a request was cut, which nobody answers."""
        if self.reader is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
        self.writer.write(f"POST /predict?top_k=1 HTTP/1.1\r\nHost: localhost\r\n{length}\r\n\r\n".encode())
        if cut:
            self.writer.write(body[: len(body) // 2])
            await self.writer.drain()
            self.close()
            return 0, b""
        self.writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body)
        await self.writer.drain()
        head = await self.reader.readuntil(b"\r\n\r\n")
        answer = await self.reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", head)[1]))
        if b"connection: close" in head.lower():
            self.close()
        return int(head.split(b" ", 2)[1]), answer

    def close(self) -> None:
        self.writer.close()
        self.reader = None


async def load(port: int, clients: int, seconds: float, photos: list[bytes]) -> tuple[float, list[float]]:
    """Returns images a second and each request's seconds, without those of the first fifth of the time."""
    begin = time.perf_counter() + seconds / 5
    end = begin + seconds
    times: list[tuple[float, float]] = []

    async def client(number: int) -> None:
        connection = Client(port)
        index = number
        while (sent := time.perf_counter()) < end:
            status, answer = await connection.post(photos[index % len(photos)])
            assert status == 200, answer
            times.append((sent, time.perf_counter()))
            index += 1
        connection.close()

    await asyncio.gather(*map(client, range(clients)))
    counted = sorted((came, came - sent) for sent, came in times if begin <= came <= end)
    return steady_rate([came for came, _ in counted]), [seconds for _, seconds in counted]


def steady_rate(moments: list[float]) -> float:
    """Answers a second. They come in batches, so whole ones are counted, from the end of one to the end of another."""
    batches = [[moments[0]]]
    for moment in moments[1:]:
        if moment - batches[-1][-1] > BATCH_GAP_S:
            batches.append([])
        batches[-1].append(moment)
    if len(batches) < 4:
        return (len(moments) - 1) / (moments[-1] - moments[0])
    first, *between, _ = batches  # the last one may be cut
    return sum(map(len, between)) / (between[-1][-1] - first[-1])


def run_load(options: argparse.Namespace) -> None:
    """Runs in a process of its own."""
    photos = [(PHOTOS / name).read_bytes() for name in ("china.jpg", "flower.jpg")]
    rate, times = asyncio.run(load(options.port, options.clients, options.seconds, photos))
    print(json.dumps({"rate": rate, "times": times}))


def run_bare(options: argparse.Namespace) -> None:
    """Runs the model without a server each time a line comes on stdin, and answers with images a second."""
    import itertools

    import numpy as np

    from mindcv.engine import setup_run
    from mindcv.export import Classifier

    setup_run("CPU", 0, None, False, 1)
    classifier = Classifier(options.bare, batch_size=options.max_batch)
    photos = [(PHOTOS / name).read_bytes() for name in ("china.jpg", "flower.jpg")]
    batch = np.stack([classifier.read(photo) for photo in itertools.islice(itertools.cycle(photos), options.max_batch)])
    classifier.probabilities(batch)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        what, seconds = line.split()
        begin, count = time.perf_counter(), 0
        if what == "network":
            while time.perf_counter() < begin + float(seconds):
                count += len(classifier.probabilities(batch))
        else:
            answers = classifier.predict_each(itertools.cycle(photos), top_k=1)
            for _ in range(options.max_batch):  # threads decode ahead from here on
                next(answers)
            begin = time.perf_counter()
            while time.perf_counter() < begin + float(seconds) or count % options.max_batch:
                next(answers)
                count += 1
        print(json.dumps({"rate": count / (time.perf_counter() - begin)}), flush=True)


def answer(process: subprocess.Popen) -> dict[str, Any]:
    for line in process.stdout:
        if line.startswith("{"):
            return json.loads(line)
    raise SystemExit(f"a process ended with exit code {process.wait()}")


def measure_throughput(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        words = make_model(options, Path(folder))
        more = ["--max_batch", str(options.max_batch), "--device_target", "CPU"]
        server, port = start_server(words, *more)
        command = [sys.executable, __file__, *sys.argv[1:], "--bare", words[0]]
        bare = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        answer(bare)
        rates: dict[str, list[float]] = {"network": [], "classifier": [], "server": []}
        times: list[float] = []
        for _ in range(options.rounds):
            for name in ("network", "classifier"):
                bare.stdin.write(f"{name} {options.seconds}\n")
                bare.stdin.flush()
                rates[name].append(answer(bare)["rate"])
            loaded = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--port", str(port)], stdout=subprocess.PIPE, check=True
            )
            result = json.loads(loaded.stdout)
            rates["server"].append(result["rate"])
            times += result["times"]
        bare.stdin.close()
        bare.wait()
        stop(server)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    latency = {f"p{share}_ms": 1e3 * percentile(times, share / 100) for share in (50, 95, 99)}
    kind = "live, graph mode" if options.live else "ONNX"
    print(
        f"{options.model} ({kind}) at {options.image_size}x{options.image_size}, {usable_cores()} cores, "
        f"{options.clients} clients, batches of {options.max_batch} at most, "
        f"{options.rounds} rounds of {options.seconds:g} s"
    )
    for name, rate in medians.items():
        print(f"{name:<11} {rate:8.2f} img/s   ({', '.join(f'{value:.2f}' for value in rates[name])})")
    print("latency     " + ", ".join(f"{name[:-3]} {value:.1f} ms" for name, value in latency.items()))
    # Of each round by itself, since a machine's speed drifts.
    shares = {
        name: statistics.median(ours / bare for ours, bare in zip(rates["server"], rates[name], strict=True))
        for name in ("network", "classifier")
    }
    for name, share in shares.items():
        print(f"server over {name}: {share:.3f}, median of the rounds (wanted: at least {WANTED})")
    print(json.dumps({"model": options.model, "rates": medians, "latency": latency, "shares": shares}))


def bad_requests(photo: bytes) -> dict[str, tuple[bytes, int, dict[str, bool]]]:
    """Bodies that deserve a refusal, its status, and how they are sent."""
    return {
        "damaged": (photo[:200] + bytes(200) + photo[400:], 422, {}),
        "cut picture": (photo[: len(photo) // 2], 422, {}),
        "cut request": (photo, 0, {"cut": True}),
        "text": (b"no picture at all", 422, {}),
        "too large": (TOO_LARGE, 413, {}),
        "too large, chunked": (TOO_LARGE, 413, {"chunked": True}),
        "too many pixels": (claims_many_pixels(), 422, {}),
    }


def claims_many_pixels() -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("1", (9000, 9000)).save(file, "PNG")
    return file.getvalue()


async def soak(port: int, server: int, options: argparse.Namespace) -> dict[str, Any]:
    from PIL import Image

    photos = []
    for name in ("china.jpg", "flower.jpg"):
        with Image.open(PHOTOS / name) as image:
            for side in (96, 128, 160, 192):
                file = io.BytesIO()
                image.resize((side, side)).save(file, "JPEG", quality=90)
                photos.append(file.getvalue())
    bad = bad_requests(photos[-1])
    draw = random.Random(1)
    kinds = [draw.choice(sorted(bad)) if draw.random() < 0.1 else "good" for _ in range(options.requests)]
    seen: Counter[tuple[str, int]] = Counter()
    wrong: list[str] = []
    memory: list[float] = []
    waiting = iter(enumerate(kinds))

    async def client() -> None:
        connection = Client(port)
        for index, kind in waiting:
            body, wanted, how = (photos[index % len(photos)], 200, {}) if kind == "good" else bad[kind]
            status, text = await connection.post(body, **how)
            while status == 503:  # an answer too; what is asked is asked again
                seen[kind, 503] += 1
                await asyncio.sleep(1)
                status, text = await connection.post(body, **how)
            seen[kind, status] += 1
            if status != wanted:
                wrong.append(f"{kind}: {status} {text[:200]!r}")
            if not (index + 1) % (options.requests // 10):
                memory.append(memory_mb(server))
        connection.close()

    await asyncio.gather(*(client() for _ in range(options.clients)))
    return {"seen": {f"{kind}: {status}": count for (kind, status), count in sorted(seen.items())}, "memory_mb": memory,
            "wrong": wrong}  # fmt: skip


def measure_soak(options: argparse.Namespace) -> None:
    options.model, options.image_size = "squeezenet1_1", 64
    with tempfile.TemporaryDirectory() as folder:
        words = make_model(options, Path(folder))
        limits = ["--max_body_mb", f"{MAX_BODY / 1e6:g}", "--max_megapixels", "64"]
        server, port = start_server(words, *limits, "--device_target", "CPU")
        begin = time.perf_counter()
        result = asyncio.run(soak(port, server.pid, options))
        seconds = time.perf_counter() - begin
        stop(server)
    growth = result["memory_mb"][-1] / result["memory_mb"][0] - 1
    print(f"{options.requests} requests of {options.clients} clients in {seconds:.0f} s")
    for kind, count in result["seen"].items():
        print(f"  {kind:<26} {count}")
    print("memory of the server, MB, at each tenth: " + " ".join(f"{value:.0f}" for value in result["memory_mb"]))
    print(f"growth after the first tenth: {100 * growth:.1f} % (wanted: at most {100 * MOST_GROWTH:g} %)")
    print(json.dumps({"growth": growth, "seconds": seconds, **result}))
    if result["wrong"] or growth > MOST_GROWTH:
        raise SystemExit("\n".join(["not as wanted", *result["wrong"][:10]]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("throughput", "soak"), default="throughput")
    parser.add_argument("--model", default="resnet50")
    parser.add_argument("--live", action="store_true", help="the live network in place of an ONNX file")
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--max_batch", type=int, default=16)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=6.0, help="of a round of each")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--requests", type=int, default=10_000, help="of the soak")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.port:
        run_load(options)
    elif options.bare:
        run_bare(options)
    elif options.what == "soak":
        measure_soak(options)
    else:
        measure_throughput(options)


if __name__ == "__main__":
    main()
