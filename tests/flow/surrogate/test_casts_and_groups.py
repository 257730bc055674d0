"""Casts, tensors of other precisions, groups, and what cannot be followed or recorded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_synflow import prune


@pytest.mark.parametrize(
    ("transform", "name"),
    [(lambda x: torch.fft.fft(x).real, "fft_fft"), (lambda x: torch.fft.irfft(torch.fft.rfft(x), n=8), "fft_rfft")],
)
def test_complex_numbers_on_the_way_are_refused_by_name(transform: Any, name: str) -> None:
    class Transformed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(transform(self.first(x)))  # type: ignore[no-any-return]

    model = Transformed()
    with pytest.raises(ValueError, match=f"model: expected real numbers .* got complex ones of '{name}'"):
        prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=torch.ones(1, 4))
    assert not hasattr(model.first, "weight_mask")


class Casts(nn.Module):
    """Computes in float32 whatever the model is in, and makes tensors of its own."""

    def __init__(self, cast: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cast = cast
        self.first, self.last = nn.Linear(4, 4, bias=False), nn.Linear(4, 3, bias=False)
        self.table = [torch.eye(4)]  # a list, which no buffer knows

    def forward(self, x: Tensor) -> Tensor:
        x = self.cast(torch.relu(self.first(x)))
        return self.last(self.cast(x @ self.table[0]) @ torch.eye(4, dtype=torch.float32))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "cast",
    [
        lambda x: x,
        lambda x: x.float(),
        lambda x: x.to(torch.float32),
        lambda x: x.type(torch.float32),
        lambda x: x.to(dtype=torch.float32),
        lambda x: x.half(),
    ],
)
def test_casts_and_tensors_of_other_precisions_are_widened(cast: Any) -> None:
    expected = prune.synflow_scores(Casts(lambda x: x), torch.ones(1, 4)).values()
    found = prune.synflow_scores(Casts(cast), torch.ones(1, 4)).values()
    for score, value in zip(found, expected, strict=True):
        torch.testing.assert_close(score, value, rtol=1e-12, atol=0)


def test_constants_are_cast_to_the_precision_of_the_flow() -> None:
    def scaled(x: Tensor) -> Tensor:
        table = torch.full((4,), 2.0).to(x)
        assert table.dtype == x.dtype
        assert torch.ones(4).type_as(x).dtype == x.dtype
        return x * table

    expected = prune.synflow_scores(Casts(lambda x: 2 * x), torch.ones(1, 4)).values()
    for score, value in zip(prune.synflow_scores(Casts(scaled), torch.ones(1, 4)).values(), expected, strict=True):
        torch.testing.assert_close(score, value, rtol=1e-12, atol=0)


class Experts(nn.Module):
    """Rows in groups, each of which has a matrix of its own."""

    def __init__(self, *, grouped: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.grouped = grouped
        self.first, self.last = nn.Linear(4, 8, bias=False), nn.Linear(8, 3, bias=False)
        self.experts = nn.Parameter(torch.rand(3, 8, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))[0]
        ends = torch.tensor([2, 2, 5], dtype=torch.int32)
        if self.grouped:
            x = torch._grouped_mm(x, self.experts, offs=ends)
        else:
            x = torch.cat([x[:2] @ self.experts[0], x[2:5] @ self.experts[2], torch.zeros_like(x[5:])])
        return self.last(x)  # type: ignore[no-any-return]


@pytest.mark.skipif(not hasattr(torch, "_grouped_mm"), reason="this torch has no grouped products")
def test_grouped_products_are_products_by_weights() -> None:
    x = torch.ones(1, 6, 4)
    models = [Experts(grouped=grouped) for grouped in (True, False)]
    params = [prune.prunable_parameters(model) for model in models]
    assert (models[0], "experts") in params[0]
    found, expected = (
        list(prune.synflow_scores(model, x, listed).values()) for model, listed in zip(models, params, strict=True)
    )
    for score, value in zip(found, expected, strict=True):
        torch.testing.assert_close(score, value, rtol=1e-12, atol=0)
    experts = found[[name for _, name in params[0]].index("experts")]
    assert float(experts.sum()) == pytest.approx(float(found[-1].sum()), rel=1e-12)


@pytest.mark.parametrize(
    ("operation", "homogeneous"),
    [
        (lambda x: torch.logsumexp(x, 1), lambda x: x.sum(1)),
        (lambda x: x.logsumexp((1,), keepdim=True), lambda x: x.sum(1, keepdim=True)),
        (lambda x: torch.logcumsumexp(x, 1), lambda x: x.cumsum(1)),
    ],
)
def test_a_logarithm_of_a_sum_of_exponentials_is_the_sum(operation: Any, homogeneous: Any) -> None:
    class Net(nn.Module):
        def __init__(self, form: Any) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.form = nn.Linear(4, 5), form

        def forward(self, x: Tensor) -> Tensor:
            return self.form(self.first(x))  # type: ignore[no-any-return]

    found, expected = (prune.synflow_scores(Net(form), torch.ones(1, 4)) for form in (operation, homogeneous))
    for score, value in zip(found.values(), expected.values(), strict=True):
        torch.testing.assert_close(score, value, rtol=1e-12, atol=0)


class ChoosesRows(nn.Module):
    """Passes on the rows that are largest, of which there may be fewer once weights have gone."""

    def __init__(self, choose: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.choose = choose
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.choose(self.first(x)))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "choose",
    [
        lambda x: x[0, (x.sum(-1) >= x.sum(-1).mean())[0]],
        lambda x: x[0, (x.sum(-1) >= x.sum(-1).mean()).nonzero()[:, 1]],
        lambda x: x[torch.where(x.sum(-1) >= x.sum(-1).mean())],
        lambda x: torch.masked_select(x, x > x.mean()).sum() + x,
        lambda x: torch.repeat_interleave(x[0], (x[0].sum(-1) >= x.mean()).long(), dim=0),
        lambda x: x[0].repeat_interleave(repeats=(x[0].sum(-1) >= x.mean()).long(), dim=0),
        lambda x: x[0, : F.one_hot((x[0].sum(-1) > x.mean()).long()).shape[1]],
    ],
)
def test_what_has_as_many_elements_as_values_say_is_not_recorded(choose: Any, caplog: pytest.LogCaptureFixture) -> None:
    model, x = ChoosesRows(choose), torch.ones(1, 7, 4)
    with caplog.at_level("INFO", "torch_synflow"), torch.no_grad():
        model.first.weight.copy_(torch.rand(6, 4))
        prune.synflow_scores(model, x)
    assert "makes a tensor whose size depends on the weights" in caplog.text


@pytest.mark.parametrize(
    "choose",
    [
        lambda x: x[0].repeat_interleave(2, 0),
        lambda x: x * F.one_hot((x[0].sum(-1) > x.mean()).long(), num_classes=6),
    ],
)
def test_what_has_a_number_of_elements_that_is_given_is_recorded(choose: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "torch_synflow"):
        prune.synflow_scores(ChoosesRows(choose), torch.ones(1, 7, 4))
    assert "own code in each iteration" not in caplog.text


@pytest.mark.parametrize(
    "transformed",
    [
        lambda w, x: torch.vmap(lambda one: x @ w.t() * one)(torch.ones(3)).sum(0),
        lambda w, x: torch.func.grad(lambda h: h.square().sum())(x) @ w.t(),
    ],
    ids=["vmap over no flow or weight", "grad"],
)
def test_a_transform_of_torch_func_within_a_model_is_refused_by_name(transformed: Any) -> None:
    class Transformed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return transformed(self.last.weight, self.first(x))  # type: ignore[no-any-return]

    model = Transformed()
    message = r"model: expected operations on whole tensors, got '\w+' inside .* torch\.vmap as an argument"
    with pytest.raises(ValueError, match=message):
        prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=torch.ones(1, 4))
    assert not hasattr(model.first, "weight_mask")
    data = (torch.rand(3, 4), torch.arange(3))
    assert prune.SNIP.scores(model, data=data, loss_fn=F.cross_entropy)


def test_a_transform_that_makes_a_mask_is_none_of_the_flow() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            causal = torch.vmap(lambda i: torch.arange(5) <= i)(torch.arange(5))
            x = self.first(x)
            return self.last(F.scaled_dot_product_attention(x, x, x, attn_mask=causal))  # type: ignore[no-any-return]

    assert all(bool((s > 0).all()) for s in prune.synflow_scores(Masked(), torch.ones(1, 5, 4)).values())


@pytest.mark.skipif(not hasattr(torch, "_grouped_mm"), reason="this torch has no grouped products")
@pytest.mark.parametrize("rest", [0, 2])
def test_both_halves_of_experts_with_gates_have_the_flow_whether_or_not_rows_are_left(rest: int) -> None:
    """Mixtral's and Qwen's experts are one product to gates and values; halves without scores are pruned first."""

    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.last = nn.Linear(6, 8, bias=False), nn.Linear(4, 2, bias=False)
            self.experts = nn.Parameter(torch.rand(3, 8, 8) + 0.1)

        def forward(self, x: Tensor) -> Tensor:
            ends = torch.tensor([2, 4, len(x[0]) - rest], dtype=torch.int32)
            gate, up = torch._grouped_mm(self.first(x[0]), self.experts, offs=ends).chunk(2, -1)
            return self.last(torch.nn.functional.silu(gate) * up)  # type: ignore[no-any-return]

    model, x = Gated(), torch.ones(1, 7, 6)
    scores = prune.synflow_scores(model, x)
    assert all(bool((half > 0).all()) for half in scores[model, "experts"].chunk(2, -1))
    assert all(
        float(half.sum()) == pytest.approx(float(scores[model.last, "weight"].sum()), rel=1e-9)
        for half in scores[model, "experts"].chunk(2, -1)
    )
