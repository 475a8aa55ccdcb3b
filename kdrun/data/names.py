"""The data sets and augmentations by name. Imports no torch."""

DATASETS = (
    "cifar10",
    "cifar100",
    "digits",
    "fake",
    "fashion_mnist",
    "imagefolder",
    "imagenet",
    "mnist",
    "svhn",
)
AUGMENTATIONS = ("none", "crop", "crop_flip")
