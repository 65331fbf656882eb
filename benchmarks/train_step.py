"""Training-step speed on CPU: the prepared runtime against MindSpore as it comes, and our step against a bare one.

    python benchmarks/train_step.py                       ResNeXt-50, batch 16, 224x224; about 10 minutes on two cores
    python benchmarks/train_step.py --rounds 3 --model resnet18 --batch_size 4 --image_size 64

Three things alternate in one run, each in a process of its own for the whole run, so that all meet the same machine:
`ours` (mindcv's TrainStep and momentum, prepared runtime), `bare` (nn.TrainOneStepCell and nn.Momentum on the same
network, prepared runtime) and `unprepared` (ours with MINDCV_CPU_RUNTIME=0). Printed: medians and ratios, as JSON too.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

VARIANTS = ("ours", "bare", "unprepared")


def worker(options: argparse.Namespace) -> None:
    """Makes one step of one variant for each line on stdin and answers with its seconds."""
    import mindspore as ms
    import numpy as np
    from mindspore import nn

    from mindcv import create_loss, create_model, create_optimizer
    from mindcv.engine import LossWithNetwork, TrainStep, setup_run

    setup_run("CPU", 0, None, False, 1)
    network = create_model(options.model, num_classes=1000)
    loss = LossWithNetwork(network, create_loss("CE"))
    if options.worker == "bare":
        optimizer = nn.Momentum(network.trainable_params(), 0.1, 0.9)
        step = nn.TrainOneStepCell(loss, optimizer)
    else:
        step = TrainStep(loss, create_optimizer(network, opt="momentum", lr=0.1, momentum=0.9))
    step.set_train(True)
    side = options.image_size
    random = np.random.RandomState(0)
    image = ms.Tensor(random.standard_normal((options.batch_size, 3, side, side)).astype(np.float32))
    label = ms.Tensor(random.randint(0, 1000, options.batch_size).astype(np.int32))
    for _ in sys.stdin:
        begin = time.perf_counter()
        value = float(step(image, label).asnumpy())
        print(json.dumps({"seconds": time.perf_counter() - begin, "loss": value}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnext50_32x4d")
    parser.add_argument("--batch_size", type=int, default=16)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=9, help="timed steps of ours and bare")
    parser.add_argument("--unprepared_rounds", type=int, default=2, help="timed steps of unprepared, which is slow")
    parser.add_argument("--worker", choices=VARIANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options)
        return

    workers = {}
    for name in VARIANTS:
        environment = dict(os.environ, MINDCV_CPU_RUNTIME="0" if name == "unprepared" else "1")
        command = [sys.executable, __file__, *sys.argv[1:], "--worker", name]
        workers[name] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def step(name: str) -> dict[str, float]:
        process = workers[name]
        process.stdin.write("step\n")
        process.stdin.flush()
        for line in process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"the {name} process ended with exit code {process.wait()}")

    first = {name: step(name) for name in VARIANTS}
    print("first step (with compilation):", {name: round(answer["seconds"], 1) for name, answer in first.items()})
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for index in range(options.rounds):
        for name in VARIANTS if index < options.unprepared_rounds else VARIANTS[:2]:
            seconds[name].append(step(name)["seconds"])
    for process in workers.values():
        process.stdin.close()
        process.wait()

    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        print(
            f"{name:<11} {median:8.3f} s/step  {options.batch_size / median:7.2f} img/s  ({len(seconds[name])} steps)"
        )
    ratios = {
        "prepared_speedup": medians["unprepared"] / medians["ours"],
        "ours_over_bare": medians["ours"] / medians["bare"],
    }
    print(f"prepared runtime: {ratios['prepared_speedup']:.1f} times as fast (wanted: at least 8 with AVX-512)")
    print(f"our step: {100 * (ratios['ours_over_bare'] - 1):+.1f} % against the bare cell (wanted: at most +3 %)")
    print(json.dumps({"model": options.model, "medians_s": medians, **ratios}))


if __name__ == "__main__":
    main()
