"""Datasets in a real S3 server: a cache smaller than the set, order, faults, several processes."""

import hashlib
import io
import os
import pickle
import subprocess
import sys
import tarfile
import textwrap
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from image_files import write_images
from time_limits import LIMIT_S

from mindcv.cli import main
from mindcv.data import (
    Part,
    create_dataset,
    create_loader,
    create_transforms,
    epoch_batches,
    get_class_names,
    pipeline_errors,
)
from mindcv.data import packing as packing_module
from mindcv.data.dataset_factory import find_samples
from mindcv.data.distributed_sampler import ShardSampler, ShuffleWindows
from mindcv.data.packing import Packing, pack
from mindcv.data.sources.remote_shards import RemoteSamples
from mindcv.utils import transfer
from mindcv.utils.remote import RemoteError

SHARDS, IMAGES = 8, 5


@pytest.fixture
def packed(bucket, tmp_path, monkeypatch):
    """A set of eight shards of five images at bucket.url/packed, and its local folder."""
    for name, value in {"_LEAST_SHARD": IMAGES, "_LEAST_PAGE": 1 << 15, "_HEADER": 1 << 14}.items():
        monkeypatch.setattr(packing_module, name, value)
    for seed, name in enumerate(("cat", "dog")):
        write_images(tmp_path / "files" / "train" / name, SHARDS * IMAGES // 2, size=(8, 8), seed=seed)
    folder = tmp_path / "local"
    pack({"train": find_samples("", str(tmp_path / "files"), "train")}, folder, Packing(None), 1)
    for path in folder.iterdir():
        bucket.put(f"packed/{path.name}", path.read_bytes())
    return folder


@pytest.fixture
def small_cache(packed, monkeypatch):
    """Room for four of the eight shards; returns the limit in bytes."""
    size = max(path.stat().st_size for path in packed.glob("*.mindrecord"))
    limit = int(4.5 * size)
    monkeypatch.setenv("MINDCV_CACHE_GB", str(limit / 1e9))
    monkeypatch.setattr(transfer, "_BLOCK_BYTES", 1 << 20)  # one request a shard
    return limit


class Watch(threading.Thread):
    """Notes the largest size of the cache."""

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder, self.most, self.running = folder, 0, True

    def run(self):
        while self.running:
            sizes = []
            for entry in os.scandir(self.folder) if self.folder.is_dir() else ():
                try:
                    sizes.append(entry.stat().st_size)
                except FileNotFoundError:
                    continue
            self.most = max(self.most, sum(sizes))
            time.sleep(0.001)


def batches(loader, epoch, first_step=0):
    return [row[1].asnumpy().tolist() for row in epoch_batches(loader, epoch, first_step, seed=1)]


def images(samples):
    return sorted(samples.read(index) for index in range(len(samples)))


def fetched(bucket):
    """How often each shard was asked for."""
    lines = [line.split()[1] for line in bucket.proxy.requests if line.startswith("GET")]
    return Counter(line.rpartition("/")[2] for line in lines if line.endswith(".mindrecord"))


def test_an_epoch_gives_each_sample_once_from_a_small_cache(bucket, packed, small_cache, tmp_path):
    expected = Counter(images(find_samples("", str(packed), "train")))
    bucket.proxy.cuts = [0, 3000, 100_000, 0]
    watch = Watch(tmp_path / "home" / "shards")
    watch.start()
    dataset = create_dataset("", f"{bucket.url}/packed", "train", seed=3, num_parallel_workers=2)
    assert get_class_names(dataset) == ["cat", "dog"]
    orders = []
    for _ in range(4):
        bucket.proxy.forget()
        rows = [row[0].tobytes() for row in dataset.create_tuple_iterator(num_epochs=1, output_numpy=True)]
        assert Counter(rows) == expected
        orders.append(rows)
    counts = fetched(bucket)
    # No shard comes twice in an epoch, unless a thread was held up so long that its shard had to make room.
    assert sum(counts.values()) <= len(counts) + 1
    assert SHARDS - 4 <= len(counts) <= SHARDS
    assert orders[0] != orders[1]
    watch.running = False
    # A shard that a reader holds stays a moment longer than its room.
    assert small_cache / 2 < watch.most <= small_cache + small_cache / 4.5 + 1000
    copies = [path for path in (tmp_path / "home" / "shards").iterdir() if not path.name.startswith(".")]
    assert len(copies) == 4


def test_training_batches_are_those_of_any_worker_and_of_a_resumed_run(bucket, packed, small_cache):
    def loader(shards=None, shard=None):
        dataset = create_dataset("", f"{bucket.url}/packed", "train", num_shards=shards, shard_id=shard, seed=3)
        return create_loader(dataset, 4, True, True, transform=create_transforms("", 8, True))

    whole = batches(loader(), 1)
    assert len(whole) == 10
    assert batches(loader(), 1) == whole
    assert batches(loader(), 1, first_step=6) == whole[6:]
    one, two = (loader(2, rank) for rank in range(2))
    assert len(batches(one, 0)) == len(batches(two, 0)) == 5


@pytest.mark.parametrize(("size", "per_window", "ranks"), [(40, 2, 1), (40, 3, 3), (41, 1, 4), (37, 100, 2)])
def test_windows_mix_few_shards_and_cover_everything_once(size, per_window, ranks):
    shards = np.arange(size) // 5 * 10  # numbers need not be without gaps
    windows = ShuffleWindows(shards, per_window)
    orders = []
    for epoch in range(2):
        parts = []
        for rank in range(ranks):
            sampler = ShardSampler(size, ranks, rank, seed=7, pad=False, windows=windows)
            sampler.set_epoch(epoch)
            parts.append(list(sampler))
        order = np.empty(size, int)
        for rank, part in enumerate(parts):
            order[rank::ranks] = part
        assert sorted(order) == list(range(size))
        # Shards are opened and closed like brackets: never more than a window's at a time.
        met = shards[order]
        spans = [np.flatnonzero(met == shard)[[0, -1]] for shard in np.unique(shards)]
        at_once = max(sum(first <= step <= last for first, last in spans) for step in range(size))
        assert at_once <= per_window
        orders.append(order.tolist())
    assert orders[0] != orders[1]
    padded = [list(ShardSampler(size, ranks, rank, seed=7, windows=windows)) for rank in range(ranks)]
    assert len({len(part) for part in padded}) == 1
    assert set().union(*padded) == set(range(size))
    with pytest.raises(ValueError, match="balanced sampling reads at random, which a dataset in a store"):
        ShardSampler(size, balance=shards, windows=windows)


def test_parts_of_a_split_and_samples_for_other_processes(bucket, packed, small_cache):
    held_out = create_dataset("", f"{bucket.url}/packed", "train", part=Part(True, share=0.25), shuffle=True, seed=1)
    assert len(list(held_out.create_tuple_iterator(num_epochs=1))) == 10
    samples = find_samples("", f"{bucket.url}/packed", "")
    data = samples.read(7)
    assert pickle.loads(pickle.dumps(samples)).read(7) == data
    assert samples.name(7).startswith(f"{bucket.url}/packed/train-00001.mindrecord:")


def test_a_server_that_fails_twice_or_stays_down(bucket, packed, small_cache, monkeypatch):
    dataset = create_dataset("", f"{bucket.url}/packed", "train", bad_samples="replace", seed=1)
    bucket.proxy.cuts = [0, 0]
    assert len(list(dataset.create_tuple_iterator(num_epochs=1))) == 40
    monkeypatch.setenv("MINDCV_RETRIES", "1")
    bucket.proxy.is_down = True
    loader = create_loader(dataset, 4, transform=create_transforms("", 8))
    url = rf"{bucket.url}/packed/train-0000\d.mindrecord: failed 2 times"
    with pytest.raises((ValueError, RemoteError), match=url), pipeline_errors():
        for epoch in range(2):
            batches(loader, epoch)


def test_what_is_not_as_the_manifest_says_is_named(bucket, packed, small_cache, monkeypatch):
    url = f"{bucket.url}/packed"
    path = packed / "train-00003.mindrecord"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    bucket.put("packed/train-00003.mindrecord", bytes(data))
    samples = find_samples("", url, "train")
    with pytest.raises(RemoteError, match=rf"{url}/train-00003.mindrecord has the sha256 .*, which the manifest says"):
        images(samples)
    bucket.put("packed/train.index.npz", b"x")
    with pytest.raises(ValueError, match=rf"{url}/train.index.npz is damaged"):
        find_samples("", url, "train")
    with pytest.raises(ValueError, match=r"has no split 'trein'.*did you mean 'train'"):
        find_samples("", url, "trein")
    with pytest.raises(FileNotFoundError, match=rf"no packed dataset {bucket.url}/none .* mindcv prepare FOLDER"):
        find_samples("", f"{bucket.url}/none", "train")
    bucket.put("packed/train.index.npz", (packed / "train.index.npz").read_bytes())
    for value, text in (("lots", "is 'lots'; give the size"), ("0.0000001", "but two shards must fit")):
        monkeypatch.setenv("MINDCV_CACHE_GB", value)
        with pytest.raises(ValueError, match=f"MINDCV_CACHE_GB {text}" if value == "lots" else text):
            find_samples("", url, "train")


def test_processes_share_the_cache(bucket, packed, small_cache, tmp_path):
    """One more process, and two readers of this one, whose locks are as strange to each other as two processes'."""
    script = textwrap.dedent(
        """
        import hashlib, sys
        from mindcv.data.dataset_factory import find_samples
        samples = find_samples("", sys.argv[1], "train")
        print("ready", flush=True)
        for _ in range(5):
            digests = sorted(hashlib.md5(samples.read(n)).hexdigest() for n in range(len(samples)))
        print(" ".join(digests))
        """
    )
    expected = sorted(hashlib.md5(data).hexdigest() for data in images(find_samples("", str(packed), "train")))
    command = [sys.executable, "-c", script, f"{bucket.url}/packed"]
    job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert job.stdout.readline() == "ready\n", job.communicate()

    def read(_):
        samples = find_samples("", f"{bucket.url}/packed", "train")
        return [sorted(hashlib.md5(data).hexdigest() for data in images(samples)) for _ in range(5)]

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(read, range(2)))
    out, errors = job.communicate(timeout=LIMIT_S)
    assert job.returncode == 0, errors
    assert results == [[expected] * 5] * 2
    assert out.split() == expected


def tar_of(members):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def test_tar_shards(bucket, packed, tmp_path, caplog):
    caplog.set_level("INFO")
    pictures = images(find_samples("", str(packed), "train"))
    for shard in range(4):
        numbers = range(shard * 10, shard * 10 + 10)
        members = [(f"{n:03d}.jpg", pictures[n]) for n in numbers]
        members += [(f"{n:03d}.cls", b"%d" % (n % 2)) for n in numbers]
        bucket.put(f"tar/train-{shard}.tar", tar_of(members))
    bucket.put("tar/class_names.txt", b"even\nodd\n")
    for _ in range(2):
        dataset = create_dataset("tar", f"{bucket.url}/tar", "train", seed=1)
        rows = list(dataset.create_tuple_iterator(num_epochs=1, output_numpy=True))
        assert sorted(row[0].tobytes() for row in rows) == pictures
        assert all(row[1] == pictures.index(row[0].tobytes()) % 2 for row in rows)
    assert get_class_names(dataset) == ["even", "odd"]
    assert caplog.text.count("are read once, to find their samples") == 1  # the second start knows
    with pytest.raises(FileNotFoundError, match=r"there are no shards .*val\*\.tar .* Shards there: train-0\.tar"):
        create_dataset("tar", f"{bucket.url}/tar", "val")


def test_prepare_writes_to_a_store(bucket, packed, small_cache, tmp_path, capsys, monkeypatch):
    source, target = str(tmp_path / "files"), f"{bucket.url}/new"
    words = ["prepare", source, target, "--splits", "train", "--keep", "--workers", "1"]
    monkeypatch.setenv("MINDCV_RETRIES", "1")
    bucket.proxy.down_after = 200_000
    assert main(words) == 1
    assert f"{target}/train-0000" in capsys.readouterr().err
    bucket.proxy.is_down, bucket.proxy.down_after = False, None
    monkeypatch.setattr(packing_module, "_write_shard", None)  # what was packed is not packed again
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "train: 40 images in 8 shards" in out
    assert f"train with: --data_dir {target}" in out
    assert images(find_samples("", target, "train")) == images(find_samples("", str(packed), "train"))
    assert os.listdir(tmp_path / "home" / "prepared") == []
    assert main(words) == 2
    assert "holds a packed dataset already" in capsys.readouterr().err
    assert isinstance(find_samples("", target, ""), RemoteSamples)
