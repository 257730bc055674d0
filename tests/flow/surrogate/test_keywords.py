"""Arguments by keyword are the same operation: scores are those of the call by position."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_synflow import prune

Function = Callable[[Tensor, "Between"], Tensor]


class Between(nn.Module):
    """A function of the features and of two parameters between two layers."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.function = nn.Linear(5, 6), nn.Linear(6, 3), function
        self.w, self.g = nn.Parameter(torch.rand(6, 6)), nn.Parameter(torch.rand(6))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.function(self.a(x), self))


PAIRS: dict[str, tuple[Function, Function]] = {
    "div": (lambda x, m: torch.div(x, m.g + 1), lambda x, m: torch.div(input=x, other=m.g + 1)),
    "mul": (lambda x, m: torch.mul(x, m.g), lambda x, m: torch.mul(input=x, other=m.g)),
    "mul2": (lambda x, m: torch.mul(m.g, x), lambda x, m: torch.mul(input=m.g, other=x)),
    "gate": (
        lambda x, m: torch.mul(x, torch.sigmoid(x)),
        lambda x, m: torch.mul(input=x, other=torch.sigmoid(input=x)),
    ),
    "add": (lambda x, m: torch.add(x, m.g), lambda x, m: torch.add(input=x, other=m.g)),
    "sub": (lambda x, m: torch.sub(x, m.g), lambda x, m: torch.sub(input=x, other=m.g)),
    "rsub": (lambda x, m: torch.rsub(x, m.g), lambda x, m: torch.rsub(input=x, other=m.g)),
    "bmm": (
        lambda x, m: torch.bmm(x.unsqueeze(0), m.w.unsqueeze(0))[0],
        lambda x, m: torch.bmm(input=x.unsqueeze(0), mat2=m.w.unsqueeze(0))[0],
    ),
    "relu": (lambda x, m: F.relu(x), lambda x, m: F.relu(input=x)),
    "gelu": (lambda x, m: F.gelu(x), lambda x, m: F.gelu(input=x, approximate="tanh")),
    "softmax": (lambda x, m: torch.softmax(x, -1), lambda x, m: torch.softmax(input=x, dim=-1)),
    "fsoftmax": (lambda x, m: F.softmax(x, -1), lambda x, m: F.softmax(input=x, dim=-1)),
    "layer_norm": (
        lambda x, m: F.layer_norm(x, (6,), m.g, m.g),
        lambda x, m: F.layer_norm(input=x, normalized_shape=(6,), weight=m.g, bias=m.g),
    ),
    "rms_norm": (
        lambda x, m: F.rms_norm(x, (6,), m.g),
        lambda x, m: F.rms_norm(input=x, normalized_shape=(6,), weight=m.g),
    ),
    "where": (
        lambda x, m: torch.where(m.g > 0.5, x, 0.0),
        lambda x, m: torch.where(condition=m.g > 0.5, input=x, other=0.0),
    ),
    "masked_fill": (
        lambda x, m: torch.masked_fill(x, m.g > 0.5, -1e9),
        lambda x, m: torch.masked_fill(input=x, mask=m.g > 0.5, value=-1e9),
    ),
    "cat": (lambda x, m: torch.cat([x, x], -1)[..., :6], lambda x, m: torch.cat(tensors=[x, x], dim=-1)[..., :6]),
    "stack": (
        lambda x, m: torch.stack([x, x]).sum(0),
        lambda x, m: torch.sum(input=torch.stack(tensors=[x, x]), dim=0),
    ),
    "pow": (lambda x, m: torch.pow(x, 2), lambda x, m: torch.pow(input=x, exponent=2)),
    "rsqrt": (
        lambda x, m: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6),
        lambda x, m: torch.mul(
            input=x,
            other=torch.rsqrt(input=torch.mean(input=torch.pow(input=x, exponent=2), dim=-1, keepdim=True) + 1e-6),
        ),
    ),
    "glu": (lambda x, m: F.glu(torch.cat([x, x], -1), -1), lambda x, m: F.glu(input=torch.cat([x, x], -1), dim=-1)),
    "einsum": (lambda x, m: torch.einsum("bi,ij->bj", x, m.w), lambda x, m: torch.einsum("bi,ij->bj", [x, m.w])),
    "dropout": (lambda x, m: F.dropout(x, 0.5, False), lambda x, m: F.dropout(input=x, p=0.5, training=False)),
    "clamp": (lambda x, m: torch.clamp(x, 0, 6), lambda x, m: torch.clamp(input=x, min=0, max=6)),
    "norm": (lambda x, m: F.normalize(x, dim=-1), lambda x, m: F.normalize(input=x, dim=-1)),
    "sdpa": (
        lambda x, m: F.scaled_dot_product_attention(x[None], x[None], x[None])[0],
        lambda x, m: F.scaled_dot_product_attention(query=x[None], key=x[None], value=x[None])[0],
    ),
    "emb": (
        lambda x, m: x + F.embedding(torch.arange(4), m.w)[:1],
        lambda x, m: x + F.embedding(input=torch.arange(4), weight=m.w)[:1],
    ),
    "group_norm": (
        lambda x, m: F.group_norm(x, 2, m.g, m.g),
        lambda x, m: F.group_norm(input=x, num_groups=2, weight=m.g, bias=m.g),
    ),
    "batch_norm": (
        lambda x, m: F.batch_norm(x, m.g.detach(), m.g.detach(), m.g, m.g),
        lambda x, m: F.batch_norm(input=x, running_mean=m.g.detach(), running_var=m.g.detach(), weight=m.g, bias=m.g),
    ),
    "reciprocal": (lambda x, m: x * torch.reciprocal(x), lambda x, m: x * torch.reciprocal(input=x)),
    "neg": (lambda x, m: torch.neg(x), lambda x, m: torch.neg(input=x)),
    "chunk": (
        lambda x, m: torch.cat(torch.chunk(x, 2, -1), -1),
        lambda x, m: torch.cat(torch.chunk(input=x, chunks=2, dim=-1), -1),
    ),
    "add alpha": (lambda x, m: torch.add(x, m.g, alpha=2), lambda x, m: torch.add(input=x, other=m.g, alpha=2)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_scores_are_those_of_the_call_by_position(name: str) -> None:
    by_position, by_keyword = (
        [*prune.synflow_scores(Between(function), torch.ones(1, 5)).values()] for function in PAIRS[name]
    )
    for theirs, ours in zip(by_position, by_keyword, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
