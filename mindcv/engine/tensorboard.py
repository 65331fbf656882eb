"""A run's events as TensorBoard shows them."""

import numbers
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..utils.fs import require_directory

__all__ = ["TensorBoardLog"]

# What says where a value belongs, and counts, of which a curve says nothing.
_NO_CURVES = ("time", "epoch", "step", "steps", "global_step", "best_epoch", "val_samples")


class TensorBoardLog:
    """Writes the numbers of `train` and `epoch` events as scalars `train/<name>` and `epoch/<name>`, each at once.

    The event file is `log.jsonl` in another form. It is made anew from the events that a resumed run keeps, so that no
    point is lost or doubled, whatever ended the run before.

    Args:
        folder: Where it goes; is made, and event files in it are replaced.
        records: The events that there are already, as `EventLog.records` gives them.

    Raises:
        ImportError: tensorboardX is not installed.
        ValueError: The folder cannot be written to.
    """

    def __init__(self, folder: Path, records: Iterable[Mapping[str, Any]] = ()) -> None:
        try:
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event, SessionLog
            from tensorboardX.proto.summary_pb2 import Summary
        except ImportError as error:
            raise ImportError(
                f"tensorboard: True needs tensorboardX ({error}); pip install 'mindcv[tensorboard]'"
            ) from error
        self._event, self._summary = Event, Summary
        require_directory(folder, "the folder of TensorBoard's events")
        for earlier in folder.glob("events.out.tfevents.*"):
            earlier.unlink()
        # Not tensorboardX's SummaryWriter: its events pass through a queue, and a run that is killed loses them.
        self._writer = EventsWriter(str(folder / "events"))
        # A TensorBoard that is looking on forgets what it has read of the file before.
        self._writer.write_event(Event(step=0, session_log=SessionLog(status=SessionLog.START)))
        for record in records:
            self.write(record)
        self._writer.flush()

    def write(self, record: Mapping[str, Any]) -> None:
        """Adds the points of one event, with the event's time and step; events without numbers add none."""
        name = record["event"]
        if name not in ("train", "epoch"):
            return
        points = [
            self._summary.Value(tag=f"{name}/{key}", simple_value=float(value))
            for key, value in record.items()
            if isinstance(value, numbers.Real) and key not in _NO_CURVES
        ]
        event = self._event(wall_time=record["time"], step=record["global_step"], summary=self._summary(value=points))
        self._writer.write_event(event)
        self._writer.flush()

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()
