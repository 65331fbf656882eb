"""Reads TensorBoard's event files, by the framing of TFRecord and no other package than the one that writes them."""

import json
import struct
from pathlib import Path

import pytest


def read_points(folder: Path) -> list[tuple[str, int, float, float]]:
    """All points in the order of the file, as (tag, step, time, value). Exactly one file is there."""
    from tensorboardX.proto.event_pb2 import Event

    (path,) = folder.iterdir()
    data, points, offset = path.read_bytes(), [], 0
    while offset < len(data):
        (size,) = struct.unpack_from("<Q", data, offset)  # and its checksum, the record, the record's checksum
        event = Event.FromString(data[offset + 12 : offset + 12 + size])
        offset += 12 + size + 4
        points += [(value.tag, event.step, event.wall_time, value.simple_value) for value in event.summary.value]
    return points


def assert_equals_log(folder: Path) -> None:
    """The points are the numbers of `log.jsonl`, in its order, without one too many or too few."""
    positions = ("event", "time", "epoch", "step", "steps", "global_step", "best_epoch", "val_samples")
    events = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    expected = [
        (f"{event['event']}/{name}", event["global_step"], event["time"], value)
        for event in events
        if event["event"] in ("train", "epoch")
        for name, value in event.items()
        if name not in positions and value is not None
    ]
    points = read_points(folder / "tensorboard")
    assert [point[:3] for point in points] == [point[:3] for point in expected]
    assert [point[3] for point in points] == pytest.approx([point[3] for point in expected], rel=1e-6, nan_ok=True)
    assert len({point[:2] for point in points}) == len(points)
