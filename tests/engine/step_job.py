"""What each rank of test_distributed.py's job does; the results go to `<folder>/rank<r>.npz`."""

import sys

import mindspore as ms
import mindspore.dataset as ds
import numpy as np
import seeds_job
from feature_cases import CALLS, CASES, settings_of_case
from reference import BATCH, CLASSES, Settings, batches
from stepping import Net, run, state_of, step_of

from mindcv.engine import rank, setup_run, sum_over_ranks, world_size
from mindcv.engine.distributed import gather_over_ranks, mean_over_ranks
from mindcv.loss import create_loss
from mindcv.optim import create_optimizer
from mindcv.utils import AllReduceSum, StateMonitor, create_trainer, get_metrics

GLOBAL_BATCH = 2 * BATCH
# 3 + 5 samples: the mean of the ranks' accuracies would be wrong.
EVAL_PARTS = ((0, 3), (3, 8))


def train(case, rows):
    """Trains on these rows of each global batch; gives the state of the step and the losses by name.

    The infinite pixel of an overflow is in rank 0's rows; rank 1 must skip the update all the same.
    """
    settings = settings_of_case(case)
    step = step_of(settings)
    losses = run(step, [(x[rows], y[rows]) for x, y in batches(CALLS, settings, GLOBAL_BATCH)])
    return {**state_of(step), "losses": np.array(losses)}


def train_as_upstream(folder, rows, eval_rows):
    """One epoch of four steps with `Model.train`; gives the accuracies that `StateMonitor` found, and the weights."""
    ms.set_seed(7 + rows.start)  # ranks start from other weights, until create_trainer gives them rank 0's
    network = Net(batch_norm=True)
    network.first.weight.set_data(network.first.weight + rows.start * 0.1)
    data = list(batches(4, Settings(), GLOBAL_BATCH))
    images, labels = (np.concatenate([batch[i][rows] for batch in data]) for i in (0, 1))
    x, y = data[0][0][eval_rows], data[0][1][eval_rows]
    metrics = get_metrics(CLASSES)
    trainer = create_trainer(
        network, create_loss("CE"), create_optimizer(network, "momentum", 0.1), metrics, "O0", None, "fixed"
    )
    monitor = StateMonitor(
        trainer,
        model_name="net",
        dataset_sink_mode=False,
        dataset_val=ds.NumpySlicesDataset((x, y), ["image", "label"], shuffle=False).batch(2),
        metric_name=list(metrics),
        ckpt_save_dir=f"{folder}/run{rank()}",
        summary_dir=f"{folder}/run{rank()}",
    )
    loader = ds.NumpySlicesDataset((images, labels), ["image", "label"], shuffle=False).batch(len(images) // 4)
    trainer.train(1, loader, callbacks=[monitor], dataset_sink_mode=False)
    return {"accuracy": monitor.state.history[0]["Top_1_Accuracy"], **network.parameters_dict()}


def main(folder):
    setup_run("CPU", ms.GRAPH_MODE, None, True, seeds_job.SEED)
    rows = slice(rank() * BATCH, (rank() + 1) * BATCH)
    results = {"size": world_size(), **seeds_job.results(f"{folder}/copies")}
    for mode in (ms.GRAPH_MODE, ms.PYNATIVE_MODE):
        ms.set_context(mode=mode)
        for case in CASES:
            results |= {f"{mode}/{case}/{name}": value for name, value in train(case, rows).items()}
        for dtype in (np.float32, np.int32):
            values = np.array([[70_000_001, -3], [rank(), 5]], dtype)
            results[f"{mode}/sum/{np.dtype(dtype)}"] = AllReduceSum()(ms.Tensor(values)).asnumpy()
    upstream = train_as_upstream(folder, rows, slice(*EVAL_PARTS[rank()]))
    results |= {f"upstream/{name}": np.asarray(value) for name, value in upstream.items()}
    results["not_finite"] = gather_over_ranks([np.inf if rank() else np.nan, 1e30, 1.0])
    results["mean_over_ranks"] = mean_over_ranks([0.1 + rank(), 1.0])
    results["sum_over_ranks"] = sum_over_ranks([0.1 + rank(), 1e16, 1.0 / 3])
    np.savez(f"{folder}/rank{rank()}.npz", **results)
    sum_over_ranks([0.0])  # neither ends before the other has written


if __name__ == "__main__":
    main(sys.argv[1])
