"""What is checked of a pair of a data set and a network before anything runs."""

from __future__ import annotations

import warnings

import pytest

from benchmarks.figures.balanced import NETWORKS
from benchmarks.sweep.choice import check_fit


@pytest.mark.parametrize("pair", NETWORKS)
def test_every_network_with_shortcuts_takes_the_images_and_says_nothing(pair: str) -> None:
    pytest.importorskip("torchvision")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_fit(pair)
