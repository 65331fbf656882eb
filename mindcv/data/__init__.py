"""Datasets, transforms and loaders."""

from .auto_augment import (
    aug_mix_transform,
    auto_augment_transform,
    rand_augment_transform,
    trivial_augment_wide_transform,
)
from .batch_names import batch_names, epoch_indices, picture_of
from .class_weights import class_weights
from .classes import imagenet_class_names, known_outputs, other_classes, read_class_names
from .constants import DEFAULT_CROP_PCT, IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from .dataset_factory import (
    check_num_classes,
    create_dataset,
    get_class_names,
    get_num_classes,
    is_encoded,
    is_multi_label,
    save_class_names,
)
from .fingerprints import DataFingerprint, fingerprint
from .image_reader import evaluation_policy
from .loader import create_loader, epoch_batches, explain_pipeline_error, pipeline_errors
from .pipeline import get_samples, set_dataset_epoch
from .preprocess import EvalPreprocess, with_image_size, with_preprocess_of
from .sources.dataset_download import Cifar10Download, Cifar100Download, MnistDownload, get_dataset_download_root
from .sources.samples import single_labels
from .splits import Part, divide
from .transforms_factory import create_transforms
from .tta import view_operations

__all__ = [
    "DEFAULT_CROP_PCT",
    "IMAGENET_DEFAULT_MEAN",
    "IMAGENET_DEFAULT_STD",
    "Cifar10Download",
    "Cifar100Download",
    "DataFingerprint",
    "EvalPreprocess",
    "MnistDownload",
    "Part",
    "aug_mix_transform",
    "auto_augment_transform",
    "batch_names",
    "check_num_classes",
    "class_weights",
    "create_dataset",
    "create_loader",
    "create_transforms",
    "divide",
    "epoch_batches",
    "epoch_indices",
    "evaluation_policy",
    "explain_pipeline_error",
    "fingerprint",
    "get_class_names",
    "get_dataset_download_root",
    "get_num_classes",
    "get_samples",
    "imagenet_class_names",
    "is_encoded",
    "is_multi_label",
    "known_outputs",
    "other_classes",
    "picture_of",
    "pipeline_errors",
    "rand_augment_transform",
    "read_class_names",
    "save_class_names",
    "set_dataset_epoch",
    "single_labels",
    "trivial_augment_wide_transform",
    "view_operations",
    "with_image_size",
    "with_preprocess_of",
]
