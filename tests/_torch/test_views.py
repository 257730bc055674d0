"""What a view is a view of."""

import torch

from torch_synflow._torch.views import base_of


def test_the_base_of_views_is_the_tensor_that_owns_the_elements() -> None:
    tensor = torch.arange(6.0)
    assert base_of(tensor) is tensor
    assert base_of(tensor.view(2, 3)) is tensor
    assert base_of(tensor.view(2, 3)[1].unsqueeze(0)) is tensor  # a view of a view


def test_a_copy_is_its_own_base() -> None:
    tensor = torch.arange(6.0)
    copy = tensor.view(2, 3).clone()
    assert base_of(copy) is copy
