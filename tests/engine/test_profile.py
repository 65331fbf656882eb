"""Which steps are recorded, and the trace that comes of it."""

import json

import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from mindcv.engine import StepProfiler


class _Recording:
    """Stands in for MindSpore's profiler and notes what is asked of it."""

    def __init__(self, activities, schedule, on_trace_ready):
        self.activities = [activity.name for activity in activities]
        self.steps = 0
        self.stopped = False
        recordings.append(self)

    def step(self):
        self.steps += 1

    def stop(self):
        self.stopped = True


recordings: list[_Recording] = []


@pytest.fixture
def fake(monkeypatch):
    recordings.clear()
    monkeypatch.setattr("mindspore.profiler.profile", _Recording)


def run(profiler, steps):
    """Runs these steps; the loss is an operator's result."""
    cell = nn.Dense(3, 2)
    x = ms.Tensor(np.ones((4, 3), np.float32))
    for step in steps:
        profiler.begin_step(step)
        profiler.end_step(step, cell(x).sum())
    profiler.close(steps[-1])


@pytest.mark.parametrize(
    ("wanted", "steps", "recorded", "warning"),
    [
        ((2, 4), range(1, 8), 3, None),
        ((1, 1), range(1, 3), 1, None),
        ((2, 4), range(3, 8), 2, None),  # a run that goes on after step 2
        ((2, 9), range(1, 5), 3, "profile 2:9 is cut short: the run ends after step 4"),
        (
            (10, 20),
            range(1, 5),
            0,
            "profile 10:20 recorded none of these steps: the run ends after step 4",
        ),
        (
            (1, 2),
            range(3, 5),
            0,
            "profile 1:2 recorded none of these steps: the run ends after step 4",
        ),
    ],
)
def test_the_steps_that_are_recorded(tmp_path, caplog, fake, wanted, steps, recorded, warning):
    run(StepProfiler(tmp_path, *wanted), list(steps))
    assert [recording.steps for recording in recordings] == ([recorded] if recorded else [])
    assert all(recording.stopped and recording.activities == ["CPU"] for recording in recordings)
    said = [message for message in caplog.messages if message.startswith("profile ")]
    assert said == ([warning] if warning else [])


@pytest.mark.parametrize(("device", "activity"), [("Ascend", "NPU"), ("GPU", "GPU")])
def test_the_device_is_recorded_too(tmp_path, fake, monkeypatch, device, activity):
    monkeypatch.setattr("mindcv.engine.profile.ms.get_context", lambda name: device)
    StepProfiler(tmp_path, 1, 2).begin_step(1)
    assert recordings[0].activities == ["CPU", activity]


def test_a_trace_of_real_operators_also_when_the_run_ends_early(tmp_path, caplog):
    caplog.set_level("INFO")
    run(StepProfiler(tmp_path, 2, 9), [1, 2, 3])
    (path,) = tmp_path.rglob("trace_view.json")
    assert f"Profile of the steps 2 to 3: {path}; open it in" in caplog.text
    spans = [event for event in json.loads(path.read_text()) if event["ph"] == "X"]
    assert sum("MatMul" in span["name"] or "Dense" in span["name"] for span in spans) >= 2
    assert all(float(span["dur"]) >= 0 and float(span["ts"]) > 0 for span in spans)
