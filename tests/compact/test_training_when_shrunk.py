"""Training the smaller network is training the masked one: the same losses, the same weights."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.compact.nets import NETS, made
from torch_synflow import prune

STEPS = 100
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, 0.02, momentum=0.9, weight_decay=1e-2),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, 3e-3, weight_decay=1e-1),
}


def batches(x: Tensor, steps: int) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(1)
    same = x.is_floating_point()
    classes = 11 if not same else 4
    return [
        (torch.randn_like(x) if same else torch.randint_like(x, 11), torch.randint(0, classes, (len(x),)))
        for _ in range(steps)
    ]


def train(model: nn.Module, optimizer: torch.optim.Optimizer, given: list[tuple[Tensor, Tensor]]) -> Tensor:
    losses = []
    for x, y in given:
        optimizer.zero_grad()
        loss = F.cross_entropy(model.train()(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def same_weights(trained_then_shrunk: nn.Module, shrunk_then_trained: nn.Module) -> None:
    expected, found = trained_then_shrunk.state_dict(), shrunk_then_trained.state_dict()
    for name, value in expected.items():
        mask = (
            expected.get(name.replace("_orig", "_mask"), torch.ones(())) if name.endswith("_orig") else torch.ones(())
        )
        torch.testing.assert_close(found[name] * mask, value * mask, rtol=1e-8, atol=1e-9, msg=name)


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("name", NETS)
def test_losses_and_weights_are_those_of_the_masked_model_step_by_step(name: str, kind: str) -> None:
    model, x = made(name)
    small = prune.shrink(model, x)
    given = batches(x, STEPS // 20) * 20
    expected = train(model, OPTIMIZERS[kind](model.parameters()), given)
    found = train(small, OPTIMIZERS[kind](small.parameters()), given)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(expected[:10].mean(), expected[-10:].mean(), rtol=1e-3)
    same_weights(prune.shrink(model, x), small)


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("name", NETS)
def test_an_optimizer_goes_on_with_what_is_left(name: str, kind: str) -> None:
    model, x = made(name)
    optimizer = OPTIMIZERS[kind](model.parameters())
    given = batches(x, 40)
    train(model, optimizer, given[:10])
    twin, _ = made(name)
    twin_optimizer = OPTIMIZERS[kind](twin.parameters())
    train(twin, twin_optimizer, given[:10])
    small = prune.shrink(twin, x, optimizer=twin_optimizer)
    held = [parameter for group in twin_optimizer.param_groups for parameter in group["params"]]
    assert [id(parameter) for parameter in held] == [id(parameter) for parameter in small.parameters()]
    assert all(value.shape in ((), p.shape) for p in held for value in twin_optimizer.state[p].values())
    expected, found = train(model, optimizer, given[10:]), train(small, twin_optimizer, given[10:])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
