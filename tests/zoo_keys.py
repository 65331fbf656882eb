"""The training options of document 003 (the model zoo's SE-ResNeXt-50) with their values."""

TRAINING_OPTIONS = """\
image_size: [224,224]
num_classes: 1000
batch_size: 1
lr: 0.05
lr_scheduler: "cosine_annealing"
lr_epochs: [30,60,90,120]
lr_gamma: 0.1
eta_min: 0
T_max: 150
max_epoch: 150
warmup_epochs: 1
weight_decay: 0.0001
momentum: 0.9
is_dynamic_loss_scale: 0
loss_scale: 1024
label_smooth: 1
label_smooth_factor: 0.
per_batch_size: 128
ckpt_interval: 2000
ckpt_save_max: 5
is_save_on_master: 1
rank_save_ckpt_flag: 0
outputs_dir: ""
log_path: "./output_log"
"""
