"""However a forward multiplies by its weights, scores are those of ``linear``: in gates and attention too."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_synflow import prune
from torch_synflow.flow.surrogate.call import is_flow
from torch_synflow.flow.surrogate.mode import Flow
from torch_synflow.flow.surrogate.trace import Plan

Product = Callable[[Tensor, Tensor, Tensor], Tensor]
#: x (batch, tokens, in), w (in, out), b (out)
PRODUCTS: dict[str, Product] = {
    "matmul": lambda x, w, b: torch.matmul(x, w) + b,
    "matmul by keywords": lambda x, w, b: torch.matmul(input=x, other=w) + b,
    "linalg.matmul": lambda x, w, b: torch.linalg.matmul(x, w) + b,
    "sparse.mm": lambda x, w, b: torch.sparse.mm(x.flatten(0, 1), w).unflatten(0, x.shape[:2]) + b,
    "operator": lambda x, w, b: x @ w + b,
    "linear by keywords": lambda x, w, b: F.linear(input=x, weight=w.t(), bias=b),
    "addmm": lambda x, w, b: torch.addmm(b, x.flatten(0, 1), w).unflatten(0, x.shape[:2]),
    "addmm by keywords": lambda x, w, b: torch.addmm(input=b, mat1=x.flatten(0, 1), mat2=w).unflatten(0, x.shape[:2]),
    "method addmm": lambda x, w, b: b.addmm(x.flatten(0, 1), w).unflatten(0, x.shape[:2]),
    "addmm without its input": lambda x, w, b: torch.addmm(b, x.flatten(0, 1), w, beta=0).unflatten(0, x.shape[:2]) + b,
    "mm": lambda x, w, b: torch.mm(x.flatten(0, 1), w).unflatten(0, x.shape[:2]) + b,
    "bmm": lambda x, w, b: torch.bmm(x, w.expand(len(x), -1, -1)) + b,
    "baddbmm": lambda x, w, b: torch.baddbmm(b.expand(len(x), 1, -1), x, w.expand(len(x), -1, -1)),
    "addbmm": lambda x, w, b: torch.addbmm(b.expand(x.shape[1], -1), x[:1], w.unsqueeze(0)).unsqueeze(0),
    "einsum": lambda x, w, b: torch.einsum("bti,io->bto", x, w) + b,
    "tensordot": lambda x, w, b: torch.tensordot(x, w, dims=1) + b,
    "tensordot by dimensions": lambda x, w, b: torch.tensordot(x, w, dims=([2], [0])) + b,
    "inner": lambda x, w, b: torch.inner(x, w.t()) + b,
    "multiply and sum": lambda x, w, b: (x.unsqueeze(-1) * w).sum(-2) + b,
    "addcmul": lambda x, w, b: torch.addcmul(b / x.shape[-1], x.unsqueeze(-1), w).sum(-2),
    "conv1d": lambda x, w, b: F.conv1d(input=x.transpose(1, 2), weight=w.t().unsqueeze(-1), bias=b).transpose(1, 2),
}  # fmt: skip


class Projected(nn.Module):
    def __init__(self, product: Product) -> None:
        super().__init__()
        self.product = product
        self.weight, self.bias = nn.Parameter(torch.rand(6, 12) + 0.1), nn.Parameter(torch.zeros(12))


class Gated(Projected):
    """A gated layer whose halves come from one projection."""

    def forward(self, x: Tensor) -> Tensor:
        main, gate = self.product(x, self.weight, self.bias).chunk(2, -1)
        return main * F.silu(gate)


class Attention(Projected):
    """Attention with one projection to queries, keys and values."""

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.product(x, self.weight, self.bias).chunk(3, -1)
        return (query @ key.transpose(1, 2)).softmax(-1) @ value


class Expert(Projected):
    """Two experts, whose shares a router gives, in one product."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.product(x, self.weight, self.bias).unflatten(-1, (2, 6)).unbind(-2)
        return first.relu() + second.relu()


def scores(block: type[Projected], product: Product) -> list[Tensor]:
    torch.manual_seed(0)
    first, last = nn.Linear(5, 6), nn.Linear(6 if block is not Attention else 4, 3)
    model = nn.Sequential(first, block(product), last)
    pairs = [(first, "weight"), (model[1], "weight"), (last, "weight")]
    return [*prune.synflow_scores(model, torch.ones(1, 4, 5), pairs).values()]


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("block", [Gated, Attention, Expert])
def test_scores_are_those_of_linear(block: type[Projected], product: str) -> None:
    expected = scores(block, lambda x, w, b: F.linear(x, w.t(), b))
    found = scores(block, PRODUCTS[product])
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=0)
    assert all(bool((score > 0).all()) for score in found)


A, B = torch.rand(3, 4), torch.rand(4, 5)
#: operations on a flow in their steps, beside torch's own; all factors are positive, so that values stay
CALLS: dict[str, Callable[[Tensor], Tensor]] = {
    "addmm": lambda x: torch.addmm(torch.ones(3, 5), x, B, beta=0.5, alpha=2),
    "addmm in place": lambda x: torch.ones(3, 5).addmm_(x, B),
    "addmm without its input": lambda x: torch.addmm(torch.full((3, 5), float("nan")), x, B, beta=0),
    "addmv": lambda x: torch.addmv(torch.ones(3), x, B[:, 0], alpha=3),
    "addr": lambda x: torch.addr(torch.ones(3, 5), x[:, 0], B[0]),
    "addbmm": lambda x: torch.addbmm(torch.ones(3, 5), x.expand(2, 3, 4), B.expand(2, 4, 5)),
    "baddbmm": lambda x: torch.baddbmm(torch.ones(1), x.unsqueeze(0), B.unsqueeze(0)),
    "addcmul": lambda x: torch.addcmul(torch.ones(3, 4), x, A, value=0.5),
    "addcdiv": lambda x: torch.addcdiv(torch.ones(3, 4), x, A + 1, value=0.5),
    "tensordot over two": lambda x: torch.tensordot(x, A, dims=2),
    "tensordot by negative": lambda x: torch.tensordot(x, B, dims=([-1], [-2])),
    "tensordot over none": lambda x: torch.tensordot(x, B, dims=0),
    "inner of a scalar": lambda x: torch.inner(x, torch.tensor(2.0)),
    "inner of vectors": lambda x: torch.inner(x[0], A[0]),
    "outer": lambda x: torch.outer(x[0], B[0]),
    "ger": lambda x: torch.ger(input=x[0], vec2=B[0]),
    "dot": lambda x: torch.dot(x[0], A[0]),
    "vdot": lambda x: x[0].vdot(A[0]),
    "chain": lambda x: torch.chain_matmul(x, B, B.t()),
    "multi_dot": lambda x: torch.linalg.multi_dot([x, B, B.t()]),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*chain_matmul")
@pytest.mark.parametrize("name", CALLS)
def test_the_steps_give_what_the_operation_gives(name: str) -> None:
    function = CALLS[name]
    expected = function(A)
    x = A.clone().requires_grad_()
    mode = Flow(Plan())
    with mode:
        mode.start({}, x)
        found = function(x)
    torch.testing.assert_close(found, expected)
    assert is_flow(found)


@pytest.mark.parametrize("product", ["matmul", "einsum", "mm"])
def test_a_constant_times_weights_has_the_sign_of_neither(product: str) -> None:
    """Relative positions, as sines that are projected, are negative at times (Transformer-XL, XLNet)."""

    class Relative(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last = nn.Linear(4, 6, bias=False), nn.Linear(5, 2, bias=False)
            self.weight = nn.Parameter(torch.randn(3, 6))
            self.register_buffer("positions", torch.linspace(-1, 1, 15).reshape(3, 5).t())  # of both signs in each row

        def forward(self, x: Tensor) -> Tensor:
            place = self.positions.to(x)
            key = torch.einsum("pi,io->po", place, self.weight) if product == "einsum" else place @ self.weight
            key = torch.mm(place, self.weight) if product == "mm" else key
            return self.last(self.first(x) @ key.t())  # type: ignore[no-any-return]

    model = Relative()
    pairs = [*prune.prunable_parameters(model), (model, "weight")]
    scores = prune.synflow_scores(model, torch.ones(1, 4), pairs)
    totals = [float(score.sum()) for score in scores.values()]
    assert all(bool((score > 0).all()) for score in scores.values())
    assert totals == pytest.approx([totals[0]] * 3, rel=1e-9)


METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cosine similarity": F.cosine_similarity,
    "distance of pairs": F.pairwise_distance,
    "all distances": lambda a, b: torch.cdist(a[None], b[None]),
}


@pytest.mark.parametrize("metric", METRICS)
def test_two_towers_that_are_compared_have_scores_in_each_layer(metric: str) -> None:
    class Towers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.encode = nn.Sequential(nn.Linear(8, 16, bias=False), nn.ReLU(), nn.Linear(16, 4, bias=False))

        def forward(self, a: Tensor, b: Tensor) -> Tensor:
            return METRICS[metric](self.encode(a), self.encode(b))

    scores = prune.synflow_scores(Towers(), (torch.ones(1, 8), torch.ones(1, 8)))
    assert all(bool((score > 0).all()) for score in scores.values())


def test_noise_of_the_shape_of_a_flow_is_an_input_of_ones(caplog: pytest.LogCaptureFixture) -> None:
    class Sampled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.encode, self.decode = nn.Linear(8, 6, bias=False), nn.Linear(3, 8, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            mean, log = self.encode(x).chunk(2, -1)
            return self.decode(mean + torch.randn_like(mean) * (0.5 * log).exp())  # type: ignore[no-any-return]

    model = Sampled()
    with caplog.at_level(logging.INFO, "torch_synflow"):
        scores = prune.synflow_scores(model, torch.ones(1, 8))
    assert "own code in each iteration" not in caplog.text
    first, last = (float(score.sum()) for score in scores.values())
    assert first == pytest.approx(last, rel=1e-9)
    report = prune.global_iterative_unstructured(
        model, prune.BalancedSynFlow, 0.5, example_inputs=torch.ones(1, 8), iterations=5
    )
    assert report.empty_layers == ()
