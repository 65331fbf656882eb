"""Figures of the standard datasets: means and standard deviations on the 0 to 255 scale."""

DEFAULT_CROP_PCT = 0.875
IMAGENET_DEFAULT_MEAN = [0.485 * 255, 0.456 * 255, 0.406 * 255]
IMAGENET_DEFAULT_STD = [0.229 * 255, 0.224 * 255, 0.225 * 255]
CIFAR_MEAN = [0.4914 * 255, 0.4822 * 255, 0.4465 * 255]
CIFAR_STD = [0.2023 * 255, 0.1994 * 255, 0.2010 * 255]
MNIST_MEAN = [0.1307 * 255]
MNIST_STD = [0.3081 * 255]
