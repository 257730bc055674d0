"""Batches: every image once an epoch, normalised, and augmented each by itself as the papers say."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.training.images import Images, augmented, middle

CPU = torch.device("cpu")


def images(count: int = 20, side: int = 6, size: int = 6) -> Images:
    pixels = torch.randint(256, (count, 3, side, side), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    return Images(pixels, torch.arange(count) % 4, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), size, "f")


def test_an_epoch_holds_every_image_once_in_an_order_that_the_generator_decides() -> None:
    part = images()

    def epoch(seed: int) -> torch.Tensor:
        batches = [*part.training_batches(8, "none", torch.Generator().manual_seed(seed), CPU)]
        assert [len(y) for _, y in batches] == [8, 8, 4]
        return torch.cat([x for x, _ in batches])

    everything = part.normalised(part.images)
    distances = (epoch(0)[:, None] - everything).flatten(2).abs().amax(2)
    assert sorted(distances.argmin(1).tolist()) == list(range(20))
    assert float(distances.amin(1).max()) == 0
    assert torch.equal(epoch(0), epoch(0))
    assert not torch.equal(epoch(0), epoch(1))


def test_normalisation_is_that_of_float64() -> None:
    part = images()
    mean, deviation = (torch.tensor(v, dtype=torch.float64).view(3, 1, 1) for v in (part.mean, part.deviation))
    exact = (part.images.double() / 255 - mean) / deviation
    torch.testing.assert_close(part.normalised(part.images).double(), exact, rtol=1e-6, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_a_shifted_image_is_a_piece_of_the_padded_one_perhaps_mirrored(seed: int) -> None:
    part = images(4)
    changed = augmented(part.images, "shift", 6, torch.Generator().manual_seed(seed))
    padded = F.pad(part.images, (4, 4, 4, 4))
    for image, source in zip(changed, padded, strict=True):
        pieces = [source[:, y : y + 6, x : x + 6] for y in range(9) for x in range(9)]
        assert any(torch.equal(image, piece) or torch.equal(image, piece.flip(2)) for piece in pieces)


def test_shifts_and_mirrors_are_even() -> None:
    gradient = torch.arange(1, 10, dtype=torch.uint8).expand(4000, 1, 9, 9).contiguous()
    changed = augmented(gradient, "shift", 9, torch.Generator().manual_seed(0)).int()
    rising = (changed[:, 0, 4, 5] - changed[:, 0, 4, 4]) > 0
    assert abs(int(rising.sum()) - 4000 * 4 / 9) < 130  # half are not mirrored; of those one in nine ends there
    empty_rows = (changed.amax((1, 3)) == 0).sum(1)  # shifted out of sight: none in one of nine, 1 to 4 in two each
    assert [round(9 * float((empty_rows == n).double().mean())) for n in range(5)] == [1, 2, 2, 2, 2]


def test_a_resized_crop_stays_within_the_image_and_keeps_plain_images_plain() -> None:
    plain = torch.full((50, 3, 12, 12), 77, dtype=torch.uint8)
    assert torch.equal(augmented(plain, "resized_crop", 8, torch.Generator().manual_seed(0)), plain[..., :8, :8])
    ramp = torch.arange(12, dtype=torch.uint8).mul(20).expand(400, 1, 12, 12).contiguous()
    patches = augmented(ramp, "resized_crop", 8, torch.Generator().manual_seed(0)).int()
    assert torch.equal(patches.amax(2), patches.amin(2))  # columns stay columns
    spans = (patches.amax((1, 2, 3)) - patches.amin((1, 2, 3))).double() / 220
    assert 0.2 < float(spans.min()) < 0.45  # a tenth of the area is about a third of the side
    assert float(spans.max()) > 0.9


def test_the_middle() -> None:
    square = torch.arange(36).view(1, 1, 6, 6)
    assert middle(square, 2).flatten().tolist() == [14, 15, 20, 21]


def test_examples_of_each_class() -> None:
    part = images()
    x, y = part.of_each_class(3, torch.Generator().manual_seed(1), CPU)
    assert y.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert len({tuple(row.flatten().tolist()) for row in x}) == 12
    with pytest.raises(ValueError, match="examples_per_class: expected at most 5 of class 0, got 6"):
        part.of_each_class(6, torch.Generator(), CPU)
