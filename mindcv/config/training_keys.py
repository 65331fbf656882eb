"""Keys of the model, its checkpoints and its training: optimizer, schedule, loss, precision, ModelArts."""

from typing import Annotated, Literal

from pydantic import (
    Field,
)

from .fields import (
    MOST_EPOCHS,
    MOST_SAMPLES,
    MOST_STEPS,
    AmpLevel,
    Milestones,
    Modules,
    NotNegative,
    Positive,
    Probability,
    Rate,
    Section,
    Step,
    Words,
    key,
)


class ModelKeys(Section):
    title = "Model"

    imports: Modules = key(
        (),
        "Modules with models of your own, which are imported first, from the current folder too; --import MODULE on "
        "the command line of every command.",
        may_change=True,
    )
    model: str = key(
        "mobilenet_v2_035_224", "Name of the model.", keyword="model_name", old=("backbone", "arch", "network")
    )
    num_classes: int | None = key(None, "Classes; None takes the dataset's.", ge=1, le=10_000_000)
    in_channels: int = key(3, "Channels of the input: 3 (RGB), or 1 for grey images.", ge=1, le=65536)
    drop_rate: Rate | None = key(None, "Dropout before the classifier; None is the model's own.")
    drop_path_rate: Rate | None = key(None, "Stochastic depth; None is the model's own.")
    head_init_scale: Positive = key(
        1.0, "What the initial weights of the layer that gives the logits are multiplied by, where no file has them."
    )
    pretrained: Annotated[bool | str, Words("True, False, a tag, a file, or an address (https://, s3:// ...)")] = key(
        False,
        "Start from published weights: the model's default ones, or those of a tag such as a1h_in1k; or from any "
        "checkpoint: a file or an address. A head of other classes, or none, starts fresh: fine-tuning.",
        may_change=True,
    )


class CheckpointKeys(Section):
    title = "Checkpoints"

    random_weights: bool = key(
        False, "Evaluate fresh random weights, where neither ckpt_path nor pretrained is set.", may_change=True
    )
    ckpt_path: str = key(
        "",
        "Checkpoint to start from or to evaluate.",
        keyword="checkpoint_path",
        old=("checkpoint_file_path",),
        may_change=True,
    )
    resume_opt: bool = key(False, "Also take optimizer state and epoch from beside ckpt_path.", may_change=True)
    ckpt_save_dir: str = key(
        "./ckpt", "Folder for checkpoints, logs and the resolved config.", old=("outputs_dir",), may_change=True
    )
    resume: str = key(
        "none",
        "Go on with a run: auto takes the last whole checkpoint in ckpt_save_dir, if there is one; or a file, or the "
        "folder of a run; none starts anew.",
        may_change=True,
    )
    resume_force: bool = key(False, "Resume even with settings that change what is trained.", may_change=True)
    ckpt_save_interval: int = key(
        1, "How often a checkpoint is saved.", unit="epochs", ge=1, le=MOST_EPOCHS, may_change=True
    )
    ckpt_save_steps: int | None = key(
        None,
        "Save a checkpoint every so many steps as well.",
        unit="steps",
        ge=1,
        le=MOST_STEPS,
        old=("ckpt_interval",),
        may_change=True,
    )
    ckpt_save_on: Literal["master", "all"] = key(
        "master",
        "Which ranks save checkpoints: the first, or all, each into its own folder.",
        old=("is_save_on_master",),
        may_change=True,
    )
    ckpt_async: bool = key(False, "Write checkpoints in the background while training goes on.", may_change=True)
    ckpt_on_error: Literal["stop", "continue"] = key(
        "stop",
        "What to do when a checkpoint, a log or another file of the run cannot be written, as when the disk is full.",
        may_change=True,
    )
    ckpt_save_policy: Literal["latest_k", "top_k"] | None = key(
        "latest_k",
        "Which checkpoints are kept: the latest, or those with the best top-1; None keeps all.",
        may_change=True,
    )
    keep_checkpoint_max: int = key(
        10,
        "How many checkpoints are kept.",
        unit="files",
        ge=1,
        le=1_000_000,
        old=("ckpt_save_max",),
        may_change=True,
    )


class TrainingKeys(Section):
    title = "Training"

    epoch_size: int = key(
        90,
        "Length of the training.",
        unit="epochs",
        keyword="num_epochs",
        ge=1,
        le=MOST_EPOCHS,
        old=("max_epoch", "epochs"),
        may_change=True,
    )
    dataset_sink_mode: bool = key(
        True, "Feed the device by queue, where the device can (Ascend and GPU).", may_change=True
    )
    gradient_accumulation_steps: int = key(
        1, "Batches whose gradients make one update.", unit="batches", ge=1, le=1_000_000
    )
    lr_base_batch_size: int | None = key(
        None,
        "Scale lr and min_lr linearly: they are meant for updates of so many images, and multiplied by what an update "
        "has (batch_size x workers x gradient_accumulation_steps) over this. None takes them as they are.",
        unit="images",
        ge=1,
        le=MOST_SAMPLES,
    )
    freeze: str | None = key(
        None,
        "What is not trained: patterns of names of parameters or cells with commas between them, such as "
        "'conv1,bn1,layer1*'. Frozen BatchNorm normalises with its running statistics and leaves them.",
    )
    recompute: bool = key(
        False,
        "Compute the network's blocks once more in the backward pass, which takes time and saves memory; graph mode.",
        may_change=True,
    )
    parameter_broadcast: bool = key(
        True,
        "Start all workers from the first one's weights; without, they must have the same weights already.",
        may_change=True,
    )
    clip_grad: bool = key(False, "Clip the gradient by its global norm.", old=("use_clip_grad",))
    clip_value: float = key(
        15.0,
        "Largest global norm of the gradient, with clip_grad; or what clip_mode makes of it: with agc, 0.01 when it is "
        "not set.",
        gt=0,
        le=1e9,
    )
    clip_mode: Literal["norm", "agc"] = key(
        "norm",
        "What clip_grad does: norm clips by the global norm; agc clips the gradient of each output to clip_value times "
        "the norm of its weights, but of the last layer.",
    )
    sam_rho: NotNegative = key(
        0.0,
        "Sharpness-aware minimisation: each update takes the gradient at weights that lie so far uphill, with two "
        "passes in place of one; 0 is off.",
    )
    ema: bool = key(False, "Keep a moving average of the weights, and evaluate it.", old=("use_ema",))
    ema_decay: Rate = key(0.9999, "Decay of the moving average in one update, with ema.")
    ema_warmup: Literal["mindcv", "timm", "none"] = key(
        "mindcv",
        "How ema_decay is reached, by the number n of the average's moves: ema_decay (1 - exp(-n / 2000)) (mindcv), "
        "the smaller of ema_decay and 1 - n^(-2/3) (timm), or at once, but for the first move, a copy (none).",
    )
    ema_interval: Step = key(1, "Move the average at every n-th update only, by ema_decay, with ema.")


class OptimizerKeys(Section):
    title = "Optimizer"
    factory = "create_optimizer"

    opt: Literal[
        "sgd", "momentum", "nesterov", "adam", "adamw", "lion", "nadam", "adan", "rmsprop", "adagrad", "lamb"
    ] = key("adam", "Optimizer.")
    momentum: Rate = key(0.9, "Momentum of sgd, momentum, nesterov and rmsprop.")
    weight_decay: NotNegative = key(
        1e-6,
        "Weight decay: L2, added to the gradient, in sgd, momentum, nesterov, adam, rmsprop and adagrad; decoupled "
        "from it in adamw, lion, nadam, adan and lamb.",
    )
    beta1: Rate | None = key(
        None, "Decay of the first moment of adam, adamw, lion, nadam, adan and lamb; None is the optimizer's own."
    )
    beta2: Rate | None = key(
        None, "Decay of the second moment of adam, adamw, lion, nadam, adan and lamb; None is the optimizer's own."
    )
    use_nesterov: bool = key(False, "Nesterov's momentum for sgd, momentum and adam.", keyword="nesterov")
    weight_decay_filter: Literal["disable", "auto", "norm_and_bias"] = key(
        "disable",
        "What weight decay leaves out: nothing, norm parameters as MindSpore does, or norm parameters and biases.",
        old=("filter_bias_and_bn",),
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = key(
        None,
        "Factor of the learning rate from a layer to the one below it, counted from the head, frozen layers too; None "
        "is off. With it, weight_decay_filter 'disable' acts like norm_and_bias.",
    )
    eps: Positive = key(
        1e-10,
        "Term that keeps the denominator from zero in adam, adamw, nadam, adan, rmsprop, adagrad and lamb.",
        old=("opt_eps",),
    )


class ScheduleKeys(Section):
    title = "Schedule"
    factory = "create_scheduler"

    scheduler: Literal[
        "constant",
        "cosine_decay",
        "warmup_cosine_decay",
        "exponential_decay",
        "polynomial_decay",
        "step_decay",
        "multi_step_decay",
        "one_cycle",
        "cyclic",
    ] = key("cosine_decay", "Course of the learning rate.", old=("lr_scheduler",))
    lr: NotNegative = key(0.001, "Learning rate, the largest of the schedule.")
    min_lr: NotNegative = key(
        1e-6,
        "Smallest learning rate of cosine_decay, warmup_cosine_decay, one_cycle and cyclic; polynomial_decay ends at "
        "0.",
        old=("eta_min",),
    )
    warmup_epochs: int = key(
        3,
        "Length of the warm-up, a straight line up to lr; when it is not set, at most a third of epoch_size, and 0 for "
        "one_cycle and cyclic, which have none.",
        unit="epochs",
        ge=0,
        le=MOST_EPOCHS,
    )
    warmup_factor: Probability = key(
        0.0,
        "Share of lr that the warm-up starts from. With lr_epoch_stair, 0 counts as 1 / (warmup_epochs + 1), so that "
        "no epoch is trained at rate 0.",
    )
    warmup_prefix: bool = key(
        True,
        "The schedule starts after the warm-up, and decay_epochs and milestones count from there. False: they count "
        "from the start of the run, and the warm-up replaces the schedule's first epochs.",
    )
    decay_epochs: int = key(
        100,
        "Length of one cosine of cosine_decay and warmup_cosine_decay, after which the rate stays at min_lr; when it "
        "is not set but epoch_size is, they last to the end of the run. Or how often step_decay lowers the rate. "
        "exponential_decay and polynomial_decay do not use it.",
        unit="epochs",
        ge=0,
        le=MOST_EPOCHS,
        old=("T_max",),
    )
    decay_rate: Positive = key(
        0.9,
        "Factor of a step of step_decay and multi_step_decay, and of an epoch of exponential_decay; the power of "
        "polynomial_decay.",
        old=("lr_gamma",),
    )
    multi_step_decay_milestones: Milestones = key(
        (30, 60, 90),
        "When multi_step_decay lowers the rate.",
        unit="epochs",
        keyword="milestones",
        old=("lr_epochs",),
    )
    lr_epoch_stair: bool = key(
        False, "Change the learning rate once an epoch, not at every step. one_cycle and cyclic need False."
    )
    num_cycles: int = key(1, "Cycles of cosine_decay, warmup_cosine_decay and cyclic.", ge=1, le=MOST_EPOCHS)
    cycle_decay: Positive = key(
        1.0, "Factor of the highest rate from a cycle of cosine_decay and warmup_cosine_decay to the next."
    )


class LossKeys(Section):
    title = "Loss"
    factory = "create_loss"

    loss: Literal["CE", "BCE", "asl_single_label", "asl_multi_label", "jsd", "focal", "focal_multi_label"] = key(
        "CE", "Loss.", keyword="name"
    )
    label_smoothing: Rate = key(
        0.0, "How much of the label goes to all classes.", old=("label_smooth", "label_smooth_factor", "smooth_factor")
    )
    class_weights: str | None = key(
        None,
        "Factors of the training loss by class: a text file with a line for each class (a number in the order of the "
        "classes, or name,number), or balanced: images / (classes x images of the class) of the training split.",
        keyword="weight",
    )
    focal_gamma: NotNegative = key(2.0, "Focus of focal and focal_multi_label; 0 is none.")
    bce_target_threshold: Rate | None = key(
        None, "Labels above it, after mixing and smoothing, are 1 to BCE, and the others 0; None leaves them."
    )
    aux_factor: NotNegative = key(0.0, "Weight of the auxiliary head's loss.")
    reduction: Literal["mean", "sum", "none"] = key("mean", "How the samples' losses are combined.")


class DistillationKeys(Section):
    title = "Distillation"

    teacher: str = key(
        "", "Model whose logits the network learns from too: a name with published weights, or with teacher_ckpt_path."
    )
    teacher_ckpt_path: str = key("", "Checkpoint of the teacher.")
    distill: Literal["soft", "hard"] | None = key(
        None, "How it learns from the teacher: from its probabilities, or from its most probable class."
    )
    distill_alpha: Probability = key(0.5, "Share of the teacher's part in the loss; the rest is that of the labels.")
    distill_temperature: Positive = key(3.0, "What logits are divided by for the probabilities of distill: soft.")


class PrecisionKeys(Section):
    title = "Precision"

    amp_level: AmpLevel = key(
        "O0",
        "Mixed precision: O0 none, O1 a list of cells in half precision, O2 all but a list of cells, O3 all.",
        old=("opt_level", "amp"),
    )
    amp_dtype: Literal["float16", "bfloat16"] = key(
        "float16",
        "What half precision is. bfloat16 needs no loss scale; Ascend 910B and later and GPUs from Ampere on have it.",
    )
    val_amp_level: AmpLevel = key("O0", "Mixed precision of the evaluation.", may_change=True)
    amp_cast_list: str | None = key(
        None,
        "Cells for O1 to cast, or for O2 to leave, in place of the built-in list, such as '[nn.Dense, nn.Conv2d]'.",
    )
    loss_scale_type: Literal["fixed", "dynamic", "auto"] = key(
        "fixed", "How the loss is scaled.", old=("is_dynamic_loss_scale", "dynamic_loss_scale")
    )
    loss_scale: float = key(1.0, "Loss scale, or the one that a dynamic scale starts from.", gt=0, le=1e15)
    drop_overflow_update: bool = key(False, "Leave out updates whose gradients overflow; dynamic scaling always does.")


class ModelArtsKeys(Section):
    title = "ModelArts"

    enable_modelarts: bool = key(
        False, "Copy data and weights in from the addresses below, and outputs out to them.", may_change=True
    )
    data_url: str = key("", "Address of the dataset (obs://, s3:// ...), which is copied to data_dir.", may_change=True)
    ckpt_url: str = key(
        "",
        "Address of the weights to start from or to evaluate, or of a folder with ckpt_path in it.",
        old=("checkpoint_url",),
        may_change=True,
    )
    train_url: str = key(
        "", "Address that ckpt_save_dir is copied to, with each checkpoint and at the end.", may_change=True
    )
