#!/usr/bin/env bash
# MindSpore 2.10.0: a loop that changes samples in place changes the dataset; behind a map or a batch of 2 it does not.
#
# GeneratorDataset takes the array that the source returns through its queues, which are of C++, without a copy: to the
# loop as a numpy array, and as a Tensor, whose asnumpy() shares it too. A source that keeps its images in memory gets
# what the loop does to a sample in the next epoch, one time more in each. Any map, one that does nothing as well, and a
# batch of two copy, so that the same loop is right with them; a batch of one does not. `map` hands its function a copy,
# so that there a change in place is harmless. What the function returns is not copied, though: of one that writes its
# results into one array (numpy's out=, to save memory) the first sample, read and kept, holds the values of a later one
# as soon as the pipeline has run ahead.
# Seen with: mindspore 2.10.0, numpy 1.26.4, Python 3.11. Output seen: the lines of `expected` below.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3.11}" -m venv venv
venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check mindspore==2.10.0 numpy==1.26.4

cat > look.py <<'PYTHON'
import threading

import mindspore.dataset as ds
import numpy as np

COUNT = 4


class Source:
    def __init__(self):
        self.images = [np.full(2, 10 * index, np.float32) for index in range(COUNT)]

    def __getitem__(self, index):
        return (self.images[index],)

    def __len__(self):
        return COUNT


def dataset(source):
    return ds.GeneratorDataset(source, ["image"], shuffle=False, num_parallel_workers=1, python_multiprocessing=False)


def same(image):
    return image


def mapped(data, function):
    return data.map(function, ["image"], num_parallel_workers=1, python_multiprocessing=False)


STEPS = {
    "nothing between": lambda data: data,
    "map of nothing": lambda data: mapped(data, same),
    "batch of 1": lambda data: data.batch(1),
    "batch of 2": lambda data: data.batch(2),
}
for what, step in STEPS.items():
    for numpy in (True, False):
        data, epochs = step(dataset(Source())), []
        for _ in range(3):
            samples = []
            for (image,) in data.create_tuple_iterator(num_epochs=1, output_numpy=numpy):
                array = image if numpy else image.asnumpy()
                samples.extend(array.reshape(-1, 2)[:, 0].astype(int).tolist())
                array += 1
            epochs.append(samples)
        print(f"{what}, {'arrays' if numpy else 'Tensors'}: epochs", *epochs)

for reused in (False, True):
    buffer, calls, called_twice = np.empty(2, np.float32), [], threading.Event()

    def double(image):
        result = np.multiply(image, 2, out=buffer if reused else None)
        calls.append(1)
        if len(calls) == 2:
            called_twice.set()
        return result

    iterator = mapped(dataset(Source()), double).create_tuple_iterator(num_epochs=1, output_numpy=True)
    image = next(iterator)[0]
    ahead = called_twice.wait(60)
    kind = "one array for all results" if reused else "a new array each"
    print(f"{kind}: called for a second sample {ahead}, the first holds its own values {int(image[0]) == 0}")
PYTHON

cat > expected <<'TEXT'
nothing between, arrays: epochs [0, 10, 20, 30] [1, 11, 21, 31] [2, 12, 22, 32]
nothing between, Tensors: epochs [0, 10, 20, 30] [1, 11, 21, 31] [2, 12, 22, 32]
map of nothing, arrays: epochs [0, 10, 20, 30] [0, 10, 20, 30] [0, 10, 20, 30]
map of nothing, Tensors: epochs [0, 10, 20, 30] [0, 10, 20, 30] [0, 10, 20, 30]
batch of 1, arrays: epochs [0, 10, 20, 30] [1, 11, 21, 31] [2, 12, 22, 32]
batch of 1, Tensors: epochs [0, 10, 20, 30] [1, 11, 21, 31] [2, 12, 22, 32]
batch of 2, arrays: epochs [0, 10, 20, 30] [0, 10, 20, 30] [0, 10, 20, 30]
batch of 2, Tensors: epochs [0, 10, 20, 30] [0, 10, 20, 30] [0, 10, 20, 30]
a new array each: called for a second sample True, the first holds its own values True
one array for all results: called for a second sample True, the first holds its own values False
TEXT

venv/bin/python look.py 2> errors | tee seen
diff expected seen || { cat errors; echo "the behaviour has changed"; exit 1; }
echo "as described"
