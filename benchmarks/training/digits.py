"""scikit-learn's handwritten digits as tensors: real images that come with the library, no download."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import TensorDataset


def digits(test_fraction: float = 0.2, seed: int = 0) -> tuple[TensorDataset, TensorDataset]:
    """The 1,797 images, 8x8 and grey, of ten digits, split with the same share of each digit in both parts.

    Args:
        test_fraction: the share of the images that is kept for testing.
        seed: of the split.

    Returns:
        The train and the test set: images ``(n, 1, 8, 8)``, float32 from 0 to 1, and labels ``(n,)``, int64.

    Source: the test set of "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository.

    Example:
        >>> train, test = digits()
        >>> len(train), len(test), tuple(train[0][0].shape)
        (1437, 360, (1, 8, 8))
    """
    bunch = load_digits()
    images = torch.from_numpy(bunch.images).to(torch.float32).div(16).unsqueeze(1)  # 16 is the brightest value
    labels = torch.from_numpy(bunch.target).long()
    train, test = train_test_split(range(len(labels)), test_size=test_fraction, stratify=labels, random_state=seed)
    return TensorDataset(images[train], labels[train]), TensorDataset(images[test], labels[test])
