"""Folders of runs as `train` leaves them, without a training."""

import json
from pathlib import Path

from mindcv.config.parse import read_config
from mindcv.config.render import save_args

STEPS = 20


def write_run(folder: Path, *words: str, epochs: int = 3, metrics=True, top=0.5, end=True) -> Path:
    """Writes log, config and list of checkpoints of a run of so many epochs of 20 steps."""
    folder.mkdir(parents=True, exist_ok=True)
    config = read_config(["-c", "resnet/resnet18_cpu.yaml", "--ckpt_save_dir", str(folder), *words])
    save_args(config, folder / "config.yaml")
    schedule = [[number / 10, 0.1 * (1 - number / 60)] for number in range(61)]
    environment = {"mindcv": "0.6", "python": "3.11.7", "platform": "Linux"}
    events = [
        {
            "event": "run_begin",
            "time": 1.0,
            "steps_per_epoch": STEPS,
            "num_classes": 10,
            "world_size": 2,
            "device": "CPU",
            "environment": environment,
            "schedule": schedule,
        }
    ]
    for epoch in range(1, epochs + 1):
        for step in range(2, STEPS + 1, 2):
            global_step = (epoch - 1) * STEPS + step
            events.append(
                {
                    "event": "train",
                    "time": 1.0,
                    "epoch": epoch,
                    "step": step,
                    "global_step": global_step,
                    "loss": 3 / global_step + 0.2,
                    "lr": 0.1 * (1 - global_step / 120),
                    "images_per_s": 100.0 + global_step % 7,
                    "data_wait_s": 0.1,
                    "data_wait_share": 0.02,
                }
            )
        row = {"event": "epoch", "time": 1.0, "epoch": epoch, "steps": STEPS, "global_step": epoch * STEPS}
        row |= {
            "loss": 1 / epoch,
            "lr": 0.1,
            "images_per_s": 104.0,
            "data_wait_s": 0.5,
            "train_s": 10.0,
            "total_s": 12.0,
        }
        row["host_peak_mb"] = 800.0
        if metrics:
            row |= {"Top_1_Accuracy": top + 0.1 * epoch, "val_loss": 1.2 / epoch, "eval_s": 2.0, "val_samples": 360}
        events.append(row)
    if end:
        events.append({"event": "run_end", "time": 1.0})
    (folder / "log.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (folder / f"resnet18-{epochs}_{STEPS}.ckpt").write_bytes(bytes(3 << 20))
    (folder / "optim_resnet18.ckpt").write_bytes(b"x")
    listed = [{"file": f"resnet18-{epochs}_{STEPS}.ckpt", "epoch": epochs, "step": STEPS, "metric": top + 0.1 * epochs}]
    (folder / "checkpoints.json").write_text(json.dumps({"format": 1, "checkpoints": listed}))
    return folder
