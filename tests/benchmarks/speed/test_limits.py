"""Models read images of the side that is asked for, where they can."""

from __future__ import annotations

import pytest
import torch

from benchmarks.speed.limits import subject


@pytest.mark.parametrize(
    ("name", "side", "seen"),
    [
        ("squeezenet1_1", None, 224),
        ("squeezenet1_1", 64, 64),
        ("vit_b_16", 70, 64),
        ("vit_b_32", 20, 32),
        ("maxvit_t", 64, 224),
    ],
)
def test_models_run_on_images_of_the_side(name: str, side: int | None, seen: int) -> None:
    model, x = subject(name, side)
    assert x.shape == (1, 3, seen, seen)
    with torch.no_grad():
        assert model(x).shape == (1, 1000)
