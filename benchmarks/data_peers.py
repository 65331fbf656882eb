"""Other libraries' pipelines, for `benchmarks/data.py --peers_python PYTHON`: it starts this in a Python that has them.

Each gives uint8 images of the same crops (scale, ratio), size and batches as ours, mirrored half of the time.
"""

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from data_process import Batches, serve

SIZE, SCALE, RATIO = 224, (0.08, 1.0), (0.75, 1.333)


def files_of(root: Path) -> tuple[list[str], list[int]]:
    """Paths and labels of the images."""
    paths = sorted((root / "train").glob("*/*.jpg"))
    names = sorted({path.parent.name for path in paths})
    return [str(path) for path in paths], [names.index(path.parent.name) for path in paths]


def tf_data(root: Path, workers: int, batch: int) -> Batches:
    """tf.data with the fused decode_and_crop_jpeg."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    paths, labels = files_of(root)

    def load(path, label):
        data = tf.io.read_file(path)
        shape = tf.io.extract_jpeg_shape(data)
        begin, size, _ = tf.image.sample_distorted_bounding_box(
            shape,
            tf.zeros([1, 0, 4]),
            min_object_covered=0.0,
            aspect_ratio_range=RATIO,
            area_range=SCALE,
            max_attempts=10,
            use_image_if_no_bounding_boxes=True,
        )
        window = tf.stack([begin[0], begin[1], size[0], size[1]])
        image = tf.image.resize(tf.image.decode_and_crop_jpeg(data, window, channels=3), (SIZE, SIZE))
        return tf.image.random_flip_left_right(tf.cast(image, tf.uint8)), label

    dataset = tf.data.Dataset.from_tensor_slices((paths, labels)).shuffle(len(paths))
    dataset = dataset.map(load, tf.data.AUTOTUNE, deterministic=False)
    dataset = dataset.batch(batch, drop_remainder=False).prefetch(tf.data.AUTOTUNE)
    options = tf.data.Options()
    options.threading.private_threadpool_size = workers
    dataset = dataset.with_options(options)
    return lambda: (len(images) for images, _ in dataset.as_numpy_iterator())


def dali(root: Path, workers: int, batch: int) -> Batches:
    """NVIDIA DALI on the processor; the crop is part of decoding."""
    from nvidia.dali import fn, pipeline_def, types

    paths, labels = files_of(root)

    @pipeline_def(batch_size=batch, num_threads=workers, device_id=None, seed=0)
    def pipeline():
        data, label = fn.readers.file(files=paths, labels=labels, random_shuffle=True, name="files")
        image = fn.decoders.image_random_crop(
            data, device="cpu", output_type=types.RGB, random_area=SCALE, random_aspect_ratio=RATIO
        )
        image = fn.resize(image, size=(SIZE, SIZE), interp_type=types.INTERP_LINEAR, antialias=False)
        return fn.flip(image, horizontal=fn.random.coin_flip()), label

    def batches() -> Iterator[int]:
        built = pipeline()
        built.build()
        # Whole batches only: the reader would fill the last one with images of the next epoch.
        for _ in range(len(paths) // batch):
            images, _ = built.run()
            yield len(images.as_array())

    return batches


def ffcv(root: Path, workers: int, batch: int, longer_side: int = 256) -> Batches:
    """FFCV from its own file of raw pixels, which is written beside the images. Its pictures have a longer side of 256.

    Ours have a shorter side of 256, 1.8 times as many pixels; `ffcv_large` stores as many.
    """
    from ffcv.fields import IntField, RGBImageField
    from ffcv.fields.decoders import IntDecoder, RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import RandomHorizontalFlip
    from ffcv.writer import DatasetWriter
    from PIL import Image

    paths, labels = files_of(root)

    class Images:
        def __len__(self) -> int:
            return len(paths)

        def __getitem__(self, index: int):
            return Image.open(paths[index]).convert("RGB"), labels[index]

    packed = str(root / f"ffcv{longer_side}.beton")
    fields = {"image": RGBImageField(write_mode="raw", max_resolution=longer_side), "label": IntField()}
    DatasetWriter(packed, fields, num_workers=workers).from_indexed_dataset(Images())
    decoder = RandomResizedCropRGBImageDecoder((SIZE, SIZE), scale=SCALE, ratio=RATIO)
    loader = Loader(
        packed,
        batch_size=batch,
        num_workers=workers,
        order=OrderOption.RANDOM,
        drop_last=False,
        pipelines={"image": [decoder, RandomHorizontalFlip()], "label": [IntDecoder()]},
    )
    return lambda: (len(images) for images, _ in loader)


def ffcv_large(root: Path, workers: int, batch: int) -> Batches:
    """The same with pictures of our packed set's size, 341 x 256."""
    return ffcv(root, workers, batch, 341)


PEERS = {"tf.data": tf_data, "dali": dali, "ffcv": ffcv, "ffcv_large": ffcv_large}


def main() -> int:
    """Serves one pipeline."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("root", type=Path)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--batch", type=int, required=True)
    args = parser.parse_args()
    return serve(lambda: PEERS[args.peer](args.root, args.workers, args.batch))


if __name__ == "__main__":
    sys.exit(main())
