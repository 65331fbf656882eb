"""Profiling some steps of a run, as a trace that a browser shows."""

import logging
from pathlib import Path
from typing import Any

import mindspore as ms

_logger = logging.getLogger(__name__)

__all__ = ["StepProfiler"]

# What is recorded beside the host's operators.
_DEVICE_ACTIVITIES = {"Ascend": "NPU", "GPU": "GPU"}
_TRACE = "trace_view.json"


class StepProfiler:
    """Records some steps with MindSpore's profiler and writes a trace in Chrome's format.

    On Ascend and GPU what the device does is recorded too, as MindSpore documents it; not tried here.

    Args:
        folder: Where the trace goes, in a folder that MindSpore names after host, process and time.
        first: The first step that is recorded, counted from 1 over the whole run.
        last: The last one; what comes between them, such as an evaluation, is recorded too.
    """

    def __init__(self, folder: Path, first: int, last: int) -> None:
        self.folder = folder
        self.first = first
        self.last = last
        self._profile: Any = None
        self._begin = 0

    def begin_step(self, step: int) -> None:
        """A step of the run is about to begin; the recording starts when it is the first of those wanted."""
        if self._profile is not None or not self.first <= step <= self.last:
            return
        from mindspore.profiler import ProfilerActivity, profile, schedule, tensorboard_trace_handler

        activities = [ProfilerActivity.CPU]
        device = ms.get_context("device_target")
        if device in _DEVICE_ACTIVITIES:
            activities.append(ProfilerActivity[_DEVICE_ACTIVITIES[device]])
        self._begin = step
        self._earlier = set(self.folder.rglob(_TRACE))
        self._profile = profile(
            activities=activities,
            schedule=schedule(wait=0, warmup=0, active=self.last - step + 1, repeat=1, skip_first=0),
            on_trace_ready=tensorboard_trace_handler(str(self.folder)),
        )

    def end_step(self, step: int, loss: ms.Tensor) -> None:
        """A step of the run was handed to the device and gives that loss; after the last one the trace is written."""
        if self._profile is None:
            return
        if step == self.last:
            loss.asnumpy()  # waits for the device
        self._profile.step()
        if step == self.last:
            self._write(step)

    def close(self, step: int) -> None:
        """The run ends after that step; says so when steps that were wanted did not come."""
        if self._profile is not None:
            _logger.warning("profile %d:%d is cut short: the run ends after step %d", self.first, self.last, step)
            self._write(step)
        elif not self._begin:
            _logger.warning(
                "profile %d:%d recorded none of these steps: the run ends after step %d",
                *(self.first, self.last, step),
            )

    def _write(self, step: int) -> None:
        """Ends the recording and says where the trace is."""
        self._profile.stop()
        self._profile = None
        traces = set(self.folder.rglob(_TRACE)) - self._earlier
        for trace in traces:
            _logger.info(
                "Profile of the steps %d to %d: %s; open it in https://ui.perfetto.dev or chrome://tracing",
                *(self._begin, step, trace),
            )
        if not traces:
            _logger.warning("MindSpore's profiler wrote no trace; its own log is in %s", self.folder)
