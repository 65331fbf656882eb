"""Images that cannot be used stop nothing, are named, counted and listed; 500 damaged files; Ctrl-C."""

import io
import logging
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from time_limits import LIMIT_S, wait_until

from mindcv.data import create_dataset, create_loader, create_transforms, get_num_classes, pipeline_errors
from mindcv.data.image_reader import BadSampleList

PHOTOS = Path(__file__).parent.parent / "data" / "photos"


@pytest.fixture
def bad_folder(image_folder):
    """Of train/cat 000 is empty and 004 gone; train/dog/002 is cut off. `dog/001` leads to another file."""
    train = image_folder / "train"
    (train / "cat" / "000.jpg").write_bytes(b"")
    (train / "cat" / "004.jpg").unlink()
    (train / "cat" / "004.jpg").symlink_to("nowhere.jpg")
    cut = train / "dog" / "002.jpg"
    cut.write_bytes(cut.read_bytes()[:-40])
    (train / "dog" / "001.jpg").rename(image_folder / "elsewhere.jpg")
    (train / "dog" / "001.jpg").symlink_to(image_folder / "elsewhere.jpg")
    return image_folder


def epochs(root, policy, count=1, **options):
    dataset = create_dataset("", str(root), "train", shuffle=False, seed=0, bad_samples=policy, **options)
    loader = create_loader(dataset, 4, transform=create_transforms("", 16))
    iterator = loader.create_tuple_iterator(num_epochs=count, output_numpy=True)
    with pipeline_errors():
        rows = [list(iterator) for _ in range(count)]
    return [(np.concatenate([r[0] for r in epoch]), np.concatenate([r[1] for r in epoch])) for epoch in rows]


def test_error_names_the_file(bad_folder):
    with pytest.raises(
        ValueError, match=r"^cannot use the image .*train/(cat|dog)/00[024].jpg: .*bad_samples: skip"
    ) as e:
        epochs(bad_folder, "error")
    assert "\n" not in str(e.value)


def test_replace_takes_the_next_good_sample_and_counts(bad_folder, tmp_path, caplog):
    listing = tmp_path / "bad.tsv"
    with caplog.at_level(logging.WARNING, "mindcv"):
        first, second = epochs(bad_folder, "replace", 2, bad_samples_file=listing)
    assert len(first[0]) == 13
    assert first[1].tolist() == [0] * 7 + [1] * 6
    for bad, good in ((0, 1), (4, 5), (9, 10)):
        np.testing.assert_array_equal(first[0][bad], first[0][good])
    np.testing.assert_array_equal(first[0], second[0])
    text = f"3 of 13 samples of this epoch were bad and replaced; they are listed in {listing}"
    assert caplog.text.count(text) == 2
    assert caplog.text.count("replaced the bad image") == 3
    lines = sorted(line.split("\t") for line in listing.read_text().splitlines())
    assert [(Path(name).name, reason) for name, reason in lines] == [
        ("000.jpg", "the file is empty (its size is 0)"),
        ("004.jpg", "No such file or directory"),
        ("002.jpg", lines[2][1]),
    ]
    assert lines[2][1].startswith("this JPEG is cut off after")


def test_skip_leaves_them_out_from_the_start(bad_folder, tmp_path, caplog):
    listing = tmp_path / "bad.tsv"
    with caplog.at_level(logging.WARNING, "mindcv"):
        (images, labels), again = epochs(bad_folder, "skip", 2, bad_samples_file=listing)
    assert labels.tolist() == [0] * 5 + [1] * 5
    assert len(np.unique(images.reshape(10, -1), axis=0)) == 10
    np.testing.assert_array_equal(images, again[0])
    assert f"3 of 13 images are bad and skipped, listed in {listing}" in caplog.text
    assert len(listing.read_text().splitlines()) == 3
    parts = [
        create_dataset("", str(bad_folder), pad_shards=False, num_shards=3, shard_id=rank, bad_samples="skip")
        for rank in range(3)
    ]
    assert sum(part.get_dataset_size() for part in parts) == 10


@pytest.mark.parametrize("policy", ["replace", "skip"])
def test_a_list_that_cannot_be_written_is_not_named(bad_folder, tmp_path, policy, caplog):
    listing = tmp_path / "none" / "bad.tsv"
    with caplog.at_level(logging.WARNING, "mindcv"):
        epochs(bad_folder, policy, bad_samples_file=listing)
    assert caplog.text.count(str(listing)) == 1
    assert f"bad images cannot be listed in {listing}: No such file or directory" in caplog.text
    assert "are bad and skipped" in caplog.text or "were bad and replaced" in caplog.text


@pytest.mark.parametrize("policy", ["replace", "skip"])
def test_ranks_and_later_starts_list_a_bad_sample_once(bad_folder, tmp_path, policy):
    listing = tmp_path / "bad.tsv"
    for rank in (0, 1, 0):
        epochs(bad_folder, policy, 2, bad_samples_file=listing, num_shards=2, shard_id=rank)
    names = [Path(line.split("\t")[0]).name for line in listing.read_text().splitlines()]
    assert sorted(names) == ["000.jpg", "002.jpg", "004.jpg"]


def test_what_several_add_to_a_list_at_once_stands_once(tmp_path):
    samples = [(f"{index}.jpg", "the file is empty") for index in range(200)]
    with ThreadPoolExecutor(8) as pool:
        lists = [BadSampleList(tmp_path / "bad.tsv") for _ in range(8)]
        for sample in samples:
            list(pool.map(lambda one, sample=sample: one.add([sample]), lists))
    lines = (tmp_path / "bad.tsv").read_text().splitlines()
    assert lines == ["\t".join(sample) for sample in samples]
    assert all(one.is_complete for one in lists)


def test_good_files_are_used_without_a_word(image_folder, caplog):
    with caplog.at_level(logging.WARNING, "mindcv"):
        expected = epochs(image_folder, "error")[0][0]
        for policy in ("replace", "skip"):
            np.testing.assert_array_equal(epochs(image_folder, policy)[0][0], expected)
    assert not caplog.records


def test_replacements_are_the_same_in_every_run(bad_folder):
    def run():
        dataset = create_dataset("", str(bad_folder), "train", seed=5, bad_samples="replace", num_parallel_workers=2)
        loader = create_loader(dataset, 4, transform=create_transforms("", 16), num_parallel_workers=2)
        return np.concatenate([row[0] for row in loader.create_tuple_iterator(num_epochs=1, output_numpy=True)])

    np.testing.assert_array_equal(run(), run())


@pytest.mark.parametrize(("policy", "text"), [("skip", "all 5 images are bad"), ("replace", "in a row cannot be read")])
def test_a_set_without_a_good_image_is_refused(image_folder, policy, text, monkeypatch):
    monkeypatch.setattr("mindcv.data.image_reader._MOST_REPLACEMENTS", 20)
    for path in (image_folder / "val").glob("*/*.jpg"):
        path.write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match=text), pipeline_errors():
        for _ in create_dataset("", str(image_folder), "val", bad_samples=policy).create_tuple_iterator(num_epochs=1):
            pass


def test_an_unknown_policy_is_refused(image_folder):
    with pytest.raises(ValueError, match=r"bad_samples 'skipp'.*did you mean 'skip'"):
        create_dataset("", str(image_folder), bad_samples="skipp")


def save(folder, name, image, kind="JPEG", **options):
    folder.mkdir(parents=True, exist_ok=True)
    image.save(folder / name, kind, **options)


def test_unusual_images_are_seen_as_a_viewer_shows_them(tmp_path):
    photo = Image.open(PHOTOS / "flower.jpg").convert("RGB").resize((64, 48))
    exif = Image.Exif()
    exif[0x0112] = 6
    grey16 = Image.fromarray(np.asarray(photo.convert("L"), np.uint16) * 257)
    save(tmp_path / "a", "0 grey.jpg", photo.convert("L"), quality=95)
    save(tmp_path / "a", "1 cmyk.jpg", photo.convert("CMYK"), quality=95)
    save(tmp_path / "a", "2 deep.png", grey16, "PNG")
    save(tmp_path / "a", "3 turned.jpg", photo.rotate(90, expand=True), exif=exif, quality=95)
    save(tmp_path / "a", "4 moving.gif", photo.quantize(256), "GIF", save_all=True, append_images=[photo.rotate(180)])
    save(tmp_path / "a", "5 see-through.png", photo.convert("RGBA"), "PNG")
    dataset = create_dataset("", str(tmp_path), "", shuffle=False, decode=True)
    images = [row[0].astype(int) for row in dataset.create_tuple_iterator(num_epochs=1, output_numpy=True)]
    assert len(images) == 6
    plain = np.asarray(photo, int)
    grey = np.repeat(np.asarray(photo.convert("L"), int)[..., None], 3, -1)
    for image, expected in zip(images, (grey, plain, grey, plain, plain, plain), strict=True):
        assert image.shape == (48, 64, 3)
        assert np.abs(image - expected).mean() < 6


def damaged_files(folder, count):
    """Real images, cut, flipped or with a piece missing."""
    rng = np.random.default_rng(0)
    sources = []
    for name in ("china", "flower"):
        photo = Image.open(PHOTOS / f"{name}.jpg").convert("RGB").resize((80, 60))
        for kind, options in (
            ("JPEG", {}),
            ("JPEG", {"progressive": True}),
            ("JPEG", {"optimize": True, "subsampling": 0}),
            ("PNG", {}),
            ("WEBP", {}),
            ("GIF", {}),
        ):
            file = io.BytesIO()
            photo.save(file, kind, **options)
            sources.append((kind.lower().replace("jpeg", "jpg"), file.getvalue()))
    folder.mkdir(parents=True)
    for index in range(count):
        suffix, data = sources[index % len(sources)]
        content = bytearray(data)
        how = rng.integers(4)
        if how == 0:
            del content[rng.integers(len(content)) :]
        elif how == 1:
            for offset in rng.integers(len(content), size=rng.integers(1, 20)):
                content[offset] ^= 1 << rng.integers(8)
        elif how == 2:
            for offset in rng.integers(min(len(content), 650), size=rng.integers(1, 4)):
                content[offset] = rng.integers(256)
        else:
            start, end = sorted(rng.integers(len(content), size=2))
            del content[start:end]
        (folder / f"{index:03d}.{suffix}").write_bytes(content)


def test_500_damaged_files_stop_nothing(tmp_path):
    """In a process of its own: an image that gets past the checks could take the decoder and its process with it."""
    damaged_files(tmp_path / "train" / "bad", 500)
    save(tmp_path / "train" / "good", "0.jpg", Image.open(PHOTOS / "china.jpg"))
    script = """
        import sys
        from mindcv.data import create_dataset, create_loader, create_transforms, pipeline_errors
        root = sys.argv[1]
        with pipeline_errors():
            for is_training, policy in ((True, "replace"), (False, "skip")):
                dataset = create_dataset("", root, bad_samples=policy, bad_samples_file=f"{root}/{policy}.tsv", seed=1)
                loader = create_loader(dataset, 50, transform=create_transforms("", 16, is_training))
                print(sum(len(row[0]) for row in loader.create_tuple_iterator(num_epochs=1)))
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-2000:]
    replaced, skipped = ((tmp_path / f"{policy}.tsv").read_text().splitlines() for policy in ("replace", "skip"))
    assert 200 < len(replaced) < 450
    assert sorted(replaced) == sorted(skipped)
    assert [int(line) for line in run.stdout.split()] == [501, 501 - len(skipped)]
    assert not list(tmp_path.glob("abnormal*"))


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_ctrl_c_while_loading_leaves_no_process(image_folder):
    # As the trainer reads: MindSpore's own handler for Ctrl-C, which can hang, is replaced after each batch.
    script = """
        import sys
        from mindcv.data import create_dataset, create_loader, create_transforms
        from mindcv.engine.signals import StopSignal, keep_handlers
        dataset = create_dataset("", sys.argv[1])
        loader = create_loader(dataset, 4, transform=create_transforms("", 224, True), num_parallel_workers=2)
        iterator = loader.create_tuple_iterator(num_epochs=100000)
        batches = 0
        with StopSignal().watching() as stop:
            while True:
                for _ in iterator:
                    keep_handlers()
                    batches += 1
                    if batches == 2:
                        print("running", flush=True)
                    if stop.number is not None:
                        sys.exit(128 + stop.number)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), str(image_folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert process.stdout.readline() == b"running\n"
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(LIMIT_S) == 128 + signal.SIGINT
        wait_until(lambda: not living_processes(session=process.pid), "the end of all processes of the loader")
    finally:
        if process.poll() is None:
            process.kill()
        process.stdout.close()


def living_processes(session: int) -> list[Path]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(its_session) == session and state != "Z":
            found.append(path)
    return found


def test_labels_and_classes_survive_skipping(bad_folder):
    dataset = create_dataset("", str(bad_folder), bad_samples="skip")
    assert get_num_classes(dataset.batch(2)) == 2
