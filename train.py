"""Trains a model from a recipe.

One device:
    python train.py -c configs/resnext/resnext50_32x4d_cpu.yaml
One host, 8 devices:
    msrun --bind_core=True --worker_num 8 --local_worker_num 8 --join=True train.py -c RECIPE --data_dir DIR
    mindcv launch --nproc 8 train.py -c RECIPE --data_dir DIR
Two hosts, 16 devices (on each host, with its own --node_rank):
    msrun --worker_num 16 --local_worker_num 8 --master_addr HOST0 --node_rank 0 --join=True train.py -c RECIPE
"""

import sys

from mindcv.cli import run_script

if __name__ == "__main__":
    sys.exit(run_script("train"))
