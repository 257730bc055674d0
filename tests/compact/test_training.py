"""What is pruned stays pruned, however the model is trained."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from torch_synflow import prune

STEPS = 100
Make = Callable[[Any], torch.optim.Optimizer]


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    )


def train(
    model: nn.Module,
    make: Make,
    *,
    dtype: torch.dtype = torch.float32,
    autocast: bool = False,
    accumulate: int = 1,
    run: Callable[[Tensor], Tensor] | None = None,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> None:
    optimizer, generator = make(model.parameters()), torch.Generator().manual_seed(0)
    scaler = torch.amp.GradScaler("cpu", enabled=autocast)
    for step in range(STEPS * accumulate):
        x = torch.randn(4, 2, 6, 6, generator=generator).to(dtype).contiguous(memory_format=memory_format)
        with torch.autocast("cpu", dtype=torch.bfloat16) if autocast else contextlib.nullcontext():
            loss = (run or model)(x).square().mean()
        scaler.scale(loss / accumulate).backward()
        if step % accumulate == accumulate - 1:
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()


def sgd(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, 0.01, momentum=0.9, nesterov=True, weight_decay=0.1)


def adamw(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, 0.01, weight_decay=0.1)


WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "mixed precision": {"autocast": True},
    "bfloat16": {"dtype": torch.bfloat16},
    "accumulated": {"accumulate": 3},
    "channels last": {"memory_format": torch.channels_last},
}


@pytest.mark.parametrize("folded", [False, True], ids=["hooks", "folded"])
@pytest.mark.parametrize("make", [sgd, adamw])
@pytest.mark.parametrize("way", WAYS)
def test_pruned_weights_are_zero_after_a_hundred_steps_and_the_others_moved(way: str, make: Make, folded: bool) -> None:
    options = WAYS[way]
    model = net().to(options.get("dtype", torch.float32))
    model.to(memory_format=options.get("memory_format", torch.contiguous_format))
    prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.7)
    masks, before = prune.masks(model), {n: p.detach().clone() for n, p in model.named_parameters()}
    if folded:
        optimizers: list[torch.optim.Optimizer] = []

        def made(parameters: Any) -> torch.optim.Optimizer:
            optimizers.append(make(parameters))
            stack.enter_context(prune.folded(model, optimizers[0]))
            return optimizers[0]

        with contextlib.ExitStack() as stack:
            train(model, made, **options)
    else:
        train(model, make, **options)
    assert all(torch.equal(mask, prune.masks(model)[name]) for name, mask in masks.items())
    prune.detach(model)
    for name, mask in masks.items():
        module = model.get_submodule(name.rpartition(".")[0])
        assert not bool(module.weight[~mask].any())
        assert bool((module.weight_orig[mask] != before[f"{name}_orig"][mask]).any())
        if way == "channels last" and module.weight.dim() == 4:
            assert module.weight_mask.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("reentrant", [False, True])
def test_gradient_checkpointing_trains_as_without_it(reentrant: bool) -> None:
    models = [net().eval() for _ in range(2)]  # BatchNorm would see each batch twice
    for model in models:
        prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.7)
    train(models[0], sgd)

    def run(x: Tensor) -> Tensor:
        return checkpoint(models[1], x.requires_grad_(), use_reentrant=reentrant)

    train(models[1], sgd, run=run)
    for first, second in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(first, second)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_scaled_gradients_in_float16_on_a_gpu() -> None:
    model = net().cuda()
    prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.7)
    optimizer, scaler = sgd(model.parameters()), torch.amp.GradScaler("cuda")
    for _ in range(STEPS):
        with torch.autocast("cuda", dtype=torch.float16):
            loss = model(torch.randn(4, 2, 6, 6, device="cuda")).square().mean()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
    prune.detach(model)
    assert all(not bool(model[k].weight[model[k].weight_mask == 0].any()) for k in (0, 3, 6))
