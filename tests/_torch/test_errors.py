"""torch's errors still say what is read off them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from torch_synflow._torch.errors import refused_parameter


def test_a_module_that_refuses_a_plain_tensor_names_the_parameter() -> None:
    with pytest.raises(TypeError) as caught:
        nn.Linear(2, 3).register_parameter("weight_orig", torch.zeros(3, 2))  # as torch's pruning does
    assert refused_parameter(caught.value) == "weight_orig", (
        f"torch words the error of registering a plain tensor otherwise: {caught.value}; "
        "see torch_synflow/_torch/errors.py"
    )


def test_other_errors_name_none() -> None:
    with pytest.raises(RuntimeError) as caught:
        nn.Linear(2, 3)(torch.zeros(3, 3))
    assert refused_parameter(caught.value) == ""
