"""Which operations write to their first argument."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from torch_synflow.flow.surrogate.call import in_place


@pytest.mark.parametrize("func", [Tensor.__invert__, Tensor.__int__, Tensor.__index__, Tensor.__le__, torch.add])
def test_names_with_an_i_or_underscores_are_not_all_in_place(func: Any) -> None:
    assert not in_place(func)


@pytest.mark.parametrize("func", [Tensor.__iadd__, Tensor.__imul__, Tensor.__itruediv__, Tensor.add_, torch.relu_])
def test_assignments_and_names_that_end_with_an_underscore_are_in_place(func: Any) -> None:
    assert in_place(func)
