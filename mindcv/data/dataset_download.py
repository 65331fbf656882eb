"""MindCV's import path of the downloads in `sources`."""

from .sources.dataset_download import Cifar10Download, Cifar100Download, MnistDownload, get_dataset_download_root

__all__ = ["Cifar10Download", "Cifar100Download", "MnistDownload", "get_dataset_download_root"]
