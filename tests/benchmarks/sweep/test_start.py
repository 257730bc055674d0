"""What trials start from: the batches that SNIP and GraSP score with."""

from __future__ import annotations

import pytest
import torch

from benchmarks.sweep.start import batches_of


def batch(size: int, classes: int, each: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ordered by class, as ``Images.of_each_class`` draws; each image is filled with its number."""
    labels = torch.arange(classes).repeat_interleave(each)
    return torch.arange(len(labels)).view(-1, 1, 1, 1).expand(-1, 1, size, size).float(), labels


@pytest.mark.parametrize(("size", "length"), [(64, 64), (224, 5)])
def test_parts_of_large_images_have_several_classes_each(size: int, length: int) -> None:
    inputs, labels = batch(size, 20, 10)
    parts = batches_of((inputs, labels), torch.Generator().manual_seed(0))
    assert len(parts[0][1]) == length
    assert min(len(set(targets.tolist())) for _, targets in parts) > 1
    drawn = torch.cat([x[:, 0, 0, 0] for x, _ in parts]).long()
    assert drawn.sort().values.tolist() == list(range(200))
    assert torch.equal(torch.cat([targets for _, targets in parts]), labels[drawn])


def test_a_batch_that_is_not_cut_stays_as_it_is() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    ((inputs, labels),) = batches_of(batch(32, 10, 10), generator)
    assert labels.tolist() == sorted(labels.tolist())
    assert len(inputs) == 100
    assert torch.equal(generator.get_state(), before)
