"""Upstream's list of checkpoints: files of cells, kept as a policy says."""

import logging
import os
from pathlib import Path
from typing import Any

from mindspore import Parameter, Tensor, nn

from ..checkpoint import save_cell

_logger = logging.getLogger(__name__)

__all__ = ["CheckpointManager"]


class CheckpointManager:
    """Saves cells and keeps as many files as a policy says: the trainer has `engine.checkpoint.CheckpointSaver`.

    Args:
        ckpt_save_policy: None keeps all, top_k those with the highest metric, latest_k the newest.
    """

    def __init__(self, ckpt_save_policy: str | None = None) -> None:
        if ckpt_save_policy not in (None, "top_k", "latest_k"):
            raise ValueError(f"ckpt_save_policy is {ckpt_save_policy!r}; allowed: None, 'top_k', 'latest_k'")
        self.ckpt_save_policy = ckpt_save_policy
        self._files: list[Any] = []

    @property
    def ckpoint_filelist(self) -> list[Any]:
        """The files that are kept: paths, or for top_k pairs of path and metric, best first."""
        return self._files

    @property
    def ckpoint_num(self) -> int:
        """How many files are kept."""
        return len(self._files)

    def save_ckpoint(self, network: nn.Cell, num_ckpt: int = 10, metric: Any = None, save_path: str = "") -> list[Any]:
        """Saves a cell's parameters and drops the files that the policy does not keep. Returns what is kept.

        Args:
            network: The cell.
            num_ckpt: How many files to keep.
            metric: Higher is better; needed for top_k.
            save_path: Path of the file.

        Raises:
            ValueError: top_k without a metric.
        """
        if self.ckpt_save_policy == "top_k":
            self.top_K_checkpoint(network, num_ckpt, metric, save_path)
        elif self.ckpt_save_policy == "latest_k":
            self.latest_K_checkpoint(network, num_ckpt, save_path)
        else:
            save_cell(network, save_path)
            self._files.append(save_path)
        return self._files

    def top_K_checkpoint(self, network: nn.Cell, K: int = 10, metric: Any = None, save_path: str = "") -> None:  # noqa: N802, N803
        """Saves a cell where its metric is among the `K` highest, and drops what no longer is.

        Raises:
            ValueError: There is no metric.
        """
        if metric is None:
            raise ValueError("ckpt_save_policy top_k needs a metric; turn validation on (val_while_train)")
        value = float(metric.asnumpy() if isinstance(metric, (Tensor, Parameter)) else metric)
        if len(self._files) < K or value > self._files[-1][1]:
            save_cell(network, save_path)
            self._files.append((save_path, value))
            self._files.sort(key=lambda item: item[1], reverse=True)
            while len(self._files) > K:
                self.remove_ckpoint_file(self._files.pop()[0])

    def latest_K_checkpoint(self, network: nn.Cell, K: int = 10, save_path: str = "") -> None:  # noqa: N802, N803
        """Saves a cell and drops all but the `K` newest files, one at least."""
        save_cell(network, save_path)
        self._files.append(save_path)
        while len(self._files) > max(K, 1):
            self.remove_ckpoint_file(self._files.pop(0))

    def update_ckpoint_filelist(self, directory: str, prefix: str) -> None:
        """Takes the files of a folder that are named `<prefix>-<numbers>.ckpt` as those that are kept, oldest first."""
        found = [path for path in Path(directory).glob("*.ckpt") if path.name.startswith(f"{prefix}-")]
        numbered = [path for path in found if not any(map(str.isalpha, path.stem[len(prefix) :]))]
        self._files = [str(path) for path in sorted(numbered, key=_written_at)]

    def remove_ckpoint_file(self, file_name: str) -> None:
        """Removes a file; one that cannot be removed is told in the log."""
        try:
            Path(file_name).unlink(missing_ok=True)
        except OSError as error:
            _logger.warning("could not remove the checkpoint %s: %s", file_name, error.strerror or error)

    def remove_oldest_ckpoint_file(self) -> None:
        """Removes the file that was written first, of those that are kept."""
        oldest = min(self._files, key=lambda entry: _written_at(_path_of(entry)))
        self._files.remove(oldest)
        self.remove_ckpoint_file(_path_of(oldest))

    def keep_one_ckpoint_per_minutes(self, minutes: float, cur_time: float) -> None:
        """Removes files of the last minutes before `cur_time`, seconds since 1970, but for the first of them."""
        recent = [entry for entry in self._files if cur_time - _written_at(_path_of(entry)) < 60 * minutes]
        for entry in sorted(recent, key=lambda entry: _written_at(_path_of(entry)))[1:]:
            self._files.remove(entry)
            self.remove_ckpoint_file(_path_of(entry))


def _path_of(entry: str | tuple[str, float]) -> str:
    """The path of an entry of a manager's list."""
    return entry if isinstance(entry, str) else entry[0]


def _written_at(path: str | Path) -> float:
    """When a file was written, in seconds since 1970; 0 for one that is gone."""
    return Path(path).stat().st_mtime if os.path.exists(path) else 0.0
