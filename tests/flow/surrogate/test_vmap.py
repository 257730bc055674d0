"""Layers under ``torch.vmap``, such as ensembles whose weights are stacked, are scored as a loop over them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from tests.masks import masks_of
from torch_synflow import prune

Ensemble = Callable[[Tensor, Tensor, Tensor], Tensor]
BODY: nn.Module = nn.Sequential(nn.Linear(5, 7, bias=False), nn.ReLU(), nn.Linear(7, 3, bias=False)).to("meta")
NAMES = ("0.weight", "2.weight")
#: x (batch, 5), first weights (members, 7, 5), last weights (members, 3, 7)
FORMS: dict[str, Ensemble] = {
    "functional_call": lambda x, *w: torch.vmap(lambda w: functional_call(BODY, w, x))(
        dict(zip(NAMES, w, strict=True))
    ),
    "matmul": lambda x, a, b: torch.vmap(lambda v, w: (x @ v.T).relu() @ w.T)(a, b),
    "in_dims": lambda x, a, b: torch.vmap(lambda h, w: h @ w.T, (1, 0))(
        torch.vmap(lambda x, w: (x @ w.T).relu(), (None, 0), out_dims=1)(x, a), b
    ),
    "nested": lambda x, a, b: torch.vmap(lambda v, w: torch.vmap(lambda row: w @ (v @ row).relu())(x))(a, b),
}


class Members(nn.Module):
    def __init__(self, form: Ensemble) -> None:
        super().__init__()
        self.form = form
        generator = torch.Generator().manual_seed(0)
        self.first = nn.Parameter(torch.randn(4, 7, 5, generator=generator, dtype=torch.float64))
        self.last = nn.Parameter(torch.randn(4, 3, 7, generator=generator, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.form(x, self.first, self.last)


X = torch.ones(1, 5, dtype=torch.float64)


@pytest.mark.parametrize("form", FORMS)
def test_scores_of_an_ensemble_in_closed_form(form: str, caplog: pytest.LogCaptureFixture) -> None:
    """Each member has R = 1^T |last| |first| 1."""
    model = Members(FORMS[form])
    with caplog.at_level("INFO", "torch_synflow"):
        first, last = prune.synflow_scores(model, X).values()
    a, b = model.first.detach().abs(), model.last.detach().abs()
    torch.testing.assert_close(first.as_subclass(Tensor), a * b.sum(1).unsqueeze(-1), rtol=1e-12, atol=0)
    torch.testing.assert_close(last.as_subclass(Tensor), b * a.sum(2).unsqueeze(1), rtol=1e-12, atol=0)
    assert "own code in each iteration" not in caplog.text


@pytest.mark.parametrize("method", [prune.SynFlow, prune.BalancedSynFlow, prune.SNIP])
@pytest.mark.parametrize("form", FORMS)
def test_masks_are_those_of_batched_products(form: str, method: type[prune.SaliencyUnstructured]) -> None:
    models = [Members(FORMS[form]), Members(lambda x, a, b: (x @ a.mT).relu() @ b.mT)]
    data = (torch.linspace(-1, 1, 40, dtype=torch.float64).reshape(8, 5), None)
    for model in models:
        prune.global_iterative_unstructured(
            model, method, 0.8, iterations=10, example_inputs=X, data=data, loss_fn=lambda y, _: y.square().mean()
        )
    assert all(map(torch.equal, masks_of(models[0]), masks_of(models[1])))


def test_a_gate_of_one_row_is_a_gate() -> None:
    class Gated(nn.Module):
        def __init__(self, *, mapped: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.mapped = mapped
            self.layers = nn.ModuleList([nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)])

        def gate(self, h: Tensor) -> Tensor:
            return h * torch.sigmoid(self.layers[1](h))

        def forward(self, x: Tensor) -> Tensor:
            h = self.layers[0](x)
            return self.layers[2](torch.vmap(self.gate)(h) if self.mapped else self.gate(h))

    plain, mapped = (prune.synflow_scores(Gated(mapped=mapped), torch.ones(1, 4)) for mapped in (False, True))
    for expected, found in zip(plain.values(), mapped.values(), strict=True):
        torch.testing.assert_close(found.as_subclass(Tensor), expected.as_subclass(Tensor), rtol=1e-12, atol=0)
