"""Evaluations with numbers of our own: labels, scores with groups of classes that look alike, pictures."""

from pathlib import Path

import numpy as np
from PIL import Image

from mindcv.report.evaluation import Facts, PredictionRecorder


class Samples:
    """Images that are nowhere, with labels."""

    def __init__(self, labels):
        self.labels = labels

    def name(self, index):
        return f"val/{self.labels[index]}/{index}.jpg"


def draw(index):
    """A picture whose colour is the sample's number."""
    return Image.new("RGB", (40, 30), (index % 256, 80, 200))


def scores_of(labels, num_classes, seed=0, group=4, strength=3.0):
    """float32 (N, num_classes) by which most labels are found, and others of the label's group now and then."""
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((len(labels), num_classes)).astype(np.float32)
    same_group = np.arange(num_classes)[None] // group == labels[:, None] // group
    scores += 2.0 * same_group
    scores[np.arange(len(labels)), labels] += strength
    return scores


def evaluate(
    folder: Path, labels, scores, batch_size=64, picture_of=draw, samples=None, average_precisions=(), **options
):
    """Writes the evaluation of scores as one process does; returns what was found."""
    given = {name: options.pop(name) for name in ("are_probabilities", "explain", "is_multi_label") if name in options}
    facts = Facts(model="resnet18", dataset="imagenet", data_dir="photos", split="val", **options)
    samples = samples or Samples(labels)
    indices = np.arange(len(labels))
    recorder = PredictionRecorder(folder, scores.shape[1], samples, indices, facts, picture_of, **given)
    for begin in range(0, len(labels), batch_size):
        recorder.add(scores[begin : begin + batch_size], samples.labels[begin : begin + batch_size])
    return recorder.write(loss=0.5, average_precisions=average_precisions)
