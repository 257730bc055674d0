"""The names of networks and data sets that pictures show, instead of those of the command line."""

from __future__ import annotations

import re

DATA = {
    "digits": "handwritten digits", "mnist": "MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100",
    "tinyimagenet": "Tiny ImageNet", "imagenet": "ImageNet",
}  # fmt: skip
NETWORK = {
    "lenet_300_100": "LeNet-300-100", "vgg_small": "small VGG", "resnet_small": "small ResNet",
    "vgg19": "VGG-19 without BatchNorm", "vgg2_16_bn": "VGG2-16", "resnet18_width16": "ResNet-18 of width 16",
    "small_vit": "small ViT", "small_vit_attention": "small ViT with its projections",
    "small_convnext": "small ConvNeXt", "mobilenet_v2": "MobileNetV2", "vgg16_of_100_million": "VGG-16, 100 M weights",
}  # fmt: skip
_PAIR = re.compile(rf"\b({'|'.join(DATA)})/(\w+)")
_BY_DEPTH = re.compile(r"(?:torchvision_)?(wide_)?(vgg|resnet|wrn_)(\d+)(?:_bn|(_\d+))?")


def network_in_words(name: str) -> str:
    """A network by the name that papers give it."""
    if name in NETWORK or not (found := _BY_DEPTH.fullmatch(name)):
        return NETWORK.get(name, name)
    wide, family, depth, width = found.groups(default="")
    family = {"vgg": "VGG", "resnet": "ResNet", "wrn_": "WRN"}[family]
    return f"{'Wide' if wide else ''}{family}-{depth}{width.replace('_', '-')}"


def in_words(title: str) -> str:
    """The title of a panel with words in place of ``dataset/network``."""
    return _PAIR.sub(lambda pair: f"{network_in_words(pair[2])}, {DATA[pair[1]]}", title)
