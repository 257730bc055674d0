"""Networks and data sets have names in pictures that people know from papers."""

from __future__ import annotations

import pytest

from benchmarks.figures.words import DATA, in_words, network_in_words
from benchmarks.training.kinds import KINDS
from benchmarks.training.networks import NETWORKS


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_a_name(name: str) -> None:
    assert "_" not in network_in_words(name)
    assert network_in_words(name) != name


def test_every_data_set_has_a_name() -> None:
    assert set(DATA) == set(KINDS)


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("SNIP\ncifar10/vgg19_bn", "SNIP\nVGG-19, CIFAR-10"),
        ("mnist/lenet_300_100, 50.0 % pruned", "LeNet-300-100, MNIST, 50.0 % pruned"),
        ("cifar100/wide_resnet18", "WideResNet-18, CIFAR-100"),
        ("cifar10/wrn_14_8", "WRN-14-8, CIFAR-10"),
        ("table 2, SNIP", "table 2, SNIP"),
    ],
)
def test_a_title_in_words(title: str, expected: str) -> None:
    assert in_words(title) == expected
