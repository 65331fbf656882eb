"""Evaluates a checkpoint.

python validate.py -c configs/resnext/resnext50_32x4d_ascend.yaml --data_dir DIR --ckpt_path FILE
msrun --worker_num 8 --local_worker_num 8 --join=True validate.py -c RECIPE --data_dir DIR --ckpt_path FILE
"""

import sys

from mindcv.cli import run_script

if __name__ == "__main__":
    sys.exit(run_script("validate"))
