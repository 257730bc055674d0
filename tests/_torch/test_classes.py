"""torch's layers derive from the base classes that tell them apart."""

from __future__ import annotations

import pytest
from torch import nn

from torch_synflow._torch.classes import AttentionOutput, BatchNorm, Convolution, TransposedConvolution

WHERE = "see torch_synflow/_torch/classes.py"
CONVOLUTIONS = [nn.Conv1d, nn.Conv2d, nn.Conv3d]
TRANSPOSED = [nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d]
NORMS = [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm]


@pytest.mark.parametrize("kind", [*CONVOLUTIONS, *TRANSPOSED])
def test_convolutions_have_one_base(kind: type[nn.Module]) -> None:
    assert issubclass(kind, Convolution), f"{kind.__name__} is no {Convolution.__name__} any more; {WHERE}"
    transposed = issubclass(kind, TransposedConvolution)
    assert transposed == (kind in TRANSPOSED), f"{TransposedConvolution.__name__} is no base of the transposed; {WHERE}"


@pytest.mark.parametrize("kind", NORMS)
def test_batch_norms_have_one_base(kind: type[nn.Module]) -> None:
    assert issubclass(kind, BatchNorm), f"{kind.__name__} is no {BatchNorm.__name__} any more; {WHERE}"


@pytest.mark.parametrize("kind", [nn.Linear, nn.LayerNorm, nn.GroupNorm, nn.InstanceNorm2d, nn.LSTM])
def test_other_layers_have_none_of_them(kind: type[nn.Module]) -> None:
    bases = (AttentionOutput, BatchNorm, Convolution, TransposedConvolution)
    found = [base.__name__ for base in bases if issubclass(kind, base)]
    assert not found, f"{kind.__name__} is a {found} now; {WHERE}"


def test_the_output_projection_of_attention_has_a_class_of_its_own() -> None:
    projection = nn.MultiheadAttention(4, 2).out_proj
    assert type(projection) is AttentionOutput, f"out_proj is a {type(projection).__name__} now; {WHERE}"
    assert isinstance(projection, nn.Linear), f"out_proj is no nn.Linear any more; {WHERE}"
