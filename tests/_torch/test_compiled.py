"""A compiled module hands out the one that it was made of."""

from __future__ import annotations

import torch
from torch import nn

from torch_synflow._torch.compiled import inside_compiled


def test_a_compiled_module_gives_what_it_was_made_of() -> None:
    model = nn.Linear(2, 3)
    compiled = torch.compile(model, backend="eager")
    assert inside_compiled(compiled) is model, (
        f"torch.compile keeps the module in none of the attributes known ({sorted(vars(compiled))}, "
        f"{sorted(compiled._modules)}); see torch_synflow/_torch/compiled.py"
    )


def test_a_module_that_is_not_compiled_gives_none() -> None:
    assert inside_compiled(nn.Sequential(nn.Linear(2, 3))) is None
