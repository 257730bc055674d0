"""The surrogates of activations, normalisation and layers against dense float64 counterparts."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.flow.flows import Of, agrees, around
from torch_synflow import prune

ACTIVATIONS: list[Callable[[Tensor], Tensor]] = [
    nn.ReLU(), nn.ReLU6(), nn.Hardtanh(), nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Hardswish(), nn.ELU(), nn.SELU(),
    nn.CELU(), nn.LeakyReLU(), nn.PReLU(), nn.Softplus(), nn.Mish(), nn.Tanh(), nn.Sigmoid(), nn.Hardsigmoid(),
    nn.LogSigmoid(), nn.Softsign(), nn.Tanhshrink(), nn.Hardshrink(), nn.Softshrink(), nn.Threshold(0.1, 0.0),
    nn.RReLU(), nn.ReLU6(inplace=True), nn.SiLU(inplace=True), nn.Hardswish(inplace=True), nn.ELU(inplace=True),
    nn.Dropout(0.5), nn.AlphaDropout(0.5), nn.LogSoftmax(-1), torch.tanh, torch.sigmoid, torch.erf,
    lambda x: x.clamp(0, 6), lambda x: x.clamp_(max=1.0), lambda x: x.tanh_(), lambda x: F.relu6(x, inplace=True),
    lambda x: x * torch.sigmoid(x), lambda x: torch.sigmoid(x) * x, lambda x: x * torch.tanh(F.softplus(x)),
    lambda x: x * (F.relu6(x + 3) / 6), lambda x: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))) * 2,
    lambda x: x * torch.sigmoid(1.702 * x), lambda x: x.clone().mul_(x.sigmoid()), lambda x: x**2,
    lambda x: x.neg().neg(), F.gelu, lambda x: F.silu(x).add_(0),
    lambda x: x - x.mean(-1, keepdim=True), lambda x: x * x,
]  # fmt: skip


@pytest.mark.parametrize("index", range(len(ACTIVATIONS)))
def test_activations_are_the_identity_on_a_positive_flow(index: int) -> None:
    activation = ACTIVATIONS[index]
    agrees(around(activation if isinstance(activation, nn.Module) else Of(activation)), lambda x: x)


def over_rms(x: Tensor, dims: tuple[int, ...] = (-1,), eps: float = 1e-5) -> Tensor:
    return x / (x.square().mean(dims, keepdim=True) + eps).sqrt().detach()


def test_layer_norm_is_scaled_and_not_centred() -> None:
    norm = nn.LayerNorm(8)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    gamma, beta = (p.detach().double().abs() for p in norm.parameters())
    agrees(around(norm), lambda x: over_rms(x) * gamma + beta)
    agrees(around(nn.LayerNorm(8, elementwise_affine=False)), over_rms)


def test_rms_norm() -> None:
    norm = nn.RMSNorm(8, eps=1e-3)
    nn.init.normal_(norm.weight)
    agrees(around(norm), lambda x: over_rms(x, eps=1e-3) * norm.weight.detach().double().abs())


def test_group_and_instance_norm() -> None:
    norm = nn.GroupNorm(2, 8)
    nn.init.normal_(norm.weight)
    gamma = norm.weight.detach().double().abs()
    agrees(around(norm), lambda x: over_rms(x.view(1, 2, 4)).reshape(1, 8) * gamma)
    image = nn.Sequential(nn.Unflatten(1, (2, 4)), nn.InstanceNorm1d(2), nn.Flatten())
    agrees(around(image), lambda x: over_rms(x.view(1, 2, 4)).reshape(1, 8))
    batch = nn.Sequential(nn.Unflatten(1, (2, 4)), nn.BatchNorm1d(2, track_running_stats=False), nn.Flatten())
    agrees(around(batch), lambda x: over_rms(x.view(1, 2, 4), (0, 2)).reshape(1, 8))


def test_batch_norm_in_evaluation_is_affine_as_it_is() -> None:
    norm = nn.BatchNorm1d(8)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    nn.init.normal_(norm.running_mean, std=1e-3)
    var, mean = norm.running_var.double(), norm.running_mean.double().abs()
    agrees(around(norm), lambda x: (x - mean) / (var + norm.eps).sqrt())


def test_normalisation_written_out() -> None:
    agrees(around(Of(lambda x: x / x.norm(dim=-1, keepdim=True))), lambda x: x / x.norm(dim=-1, keepdim=True).detach())
    agrees(around(Of(lambda x: F.normalize(x, dim=-1))), lambda x: x / x.norm(dim=-1, keepdim=True).detach())
    agrees(around(Of(lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True)))), lambda x: x)


def test_softmax_is_divided_by_its_detached_sum() -> None:
    agrees(around(nn.Softmax(-1)), lambda x: x / x.sum(-1, keepdim=True).detach())


def test_embeddings_are_ones_and_tokens_the_input() -> None:
    model = nn.Sequential(nn.Embedding(10, 6), nn.Linear(6, 3))
    scores = prune.synflow_scores(model, torch.tensor([[1, 2]]))
    expected = 2 * model[1].weight.detach().double().abs()
    torch.testing.assert_close(scores[model[1], "weight"].as_subclass(Tensor), expected)
