"""Training is plain SGD with steps of the rate, and can be entered and left at any step."""

from __future__ import annotations

import copy
import math
import shutil
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.training.images import Images
from benchmarks.training.loop import accuracy, train
from benchmarks.training.recipes import Recipe
from torch_synflow import prune

CPU = torch.device("cpu")
RECIPE = Recipe(epochs=3, batch=16, rate=0.05, nesterov=True, decay=1e-3, drops=(1.5,), augmentation="none")


def data() -> Images:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 3
    pixels = torch.randint(40, (40, 1, 4, 4), generator=generator)
    pixels[range(40), 0, labels] += 150
    return Images(pixels.to(torch.uint8), labels, (0.3,), (0.2,), 4, "f")


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3))


def test_training_is_the_plain_loop() -> None:
    ours, plain, images = network(), network(), data()
    found = train(ours, images, RECIPE, seed=5, test=images)
    optimiser = torch.optim.SGD(plain.parameters(), 0.05, momentum=0.9, nesterov=True, weight_decay=1e-3)
    generator = torch.Generator().manual_seed(5)
    step, accuracies = 0, []
    for _ in range(3):
        for chosen in torch.randperm(40, generator=generator).split(16):
            optimiser.param_groups[0]["lr"] = 0.05 if step < 4.5 else 0.005  # 1.5 epochs of three batches
            optimiser.zero_grad()
            F.cross_entropy(plain(images.normalised(images.images[chosen])), images.labels[chosen]).backward()
            optimiser.step()
            step += 1
        right = plain(images.normalised(images.images)).argmax(1) == images.labels
        accuracies.append(100 * float(right.double().mean()))
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), plain.parameters(), strict=True))
    assert [row[2] for row in found["history"]] == accuracies
    assert found["accuracy"] == accuracies[-1]
    assert found["best_accuracy"] == max(accuracies)
    assert not found["diverged"]


def test_adamw_with_a_warm_up_and_a_cosine() -> None:
    recipe = Recipe(
        epochs=3, batch=16, rate=0.01, decay=0.05, optimizer="adamw", schedule="cosine", warmup=1.0, augmentation="none"
    )
    ours, plain, images = network(), network(), data()
    train(ours, images, recipe, seed=5)
    optimiser = torch.optim.AdamW(plain.parameters(), 0.01, weight_decay=0.05)
    generator = torch.Generator().manual_seed(5)
    step = 0
    for _ in range(3):
        for chosen in torch.randperm(40, generator=generator).split(16):
            after = step / 3  # three batches an epoch
            factor = after if after < 1 else (1 + math.cos(math.pi * (after - 1) / 2)) / 2
            optimiser.param_groups[0]["lr"] = 0.01 * factor
            optimiser.zero_grad()
            F.cross_entropy(plain(images.normalised(images.images[chosen])), images.labels[chosen]).backward()
            optimiser.step()
            step += 1
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_part_of_the_schedule_is_its_beginning() -> None:
    seen: list[dict[str, torch.Tensor]] = []
    whole, part = network(), network()
    train(whole, data(), RECIPE, 1, at=4 / 3, then=lambda m: seen.append(copy.deepcopy(m.state_dict())))
    train(part, data(), RECIPE, 1, until=4 / 3)
    assert len(seen) == 1
    assert all(torch.equal(seen[0][key], value) for key, value in part.state_dict().items())


def test_a_loss_that_is_not_finite_ends_training_and_is_told() -> None:
    found = train(network(), data(), replace(RECIPE, rate=1e20), 0, test=data())
    assert found["diverged"]
    assert len(found["history"]) < 3


def test_a_pruned_network_keeps_its_zeros() -> None:
    model = network()
    torch.nn.utils.prune.l1_unstructured(model[1], "weight", 0.5)
    mask = model[1].weight_mask.clone()
    train(model, data(), RECIPE, 0)
    model(torch.zeros(1, 1, 4, 4))
    assert torch.equal(model[1].weight != 0, mask != 0)


@pytest.mark.parametrize("option", ["precision", "channels_last"])
def test_faster_ways_give_nearly_the_same(option: str) -> None:
    torch.manual_seed(0)
    convolution = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    faster = copy.deepcopy(convolution)
    train(convolution, data(), RECIPE, 0)
    train(faster, data(), replace(RECIPE, **{option: "bfloat16" if option == "precision" else True}), 0)
    pairs = zip(convolution.state_dict().values(), faster.state_dict().values(), strict=True)
    worst = max(float((a - b).abs().max()) for a, b in pairs)
    assert worst < 0.05
    assert abs(accuracy(convolution, data(), RECIPE) - accuracy(faster, data(), RECIPE)) <= 5


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("c++"), reason="needs a C++ compiler")
def test_a_compiled_pruned_network_trains_as_without_compiling() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    prune.global_iterative_unstructured(plain, prune.L1Unstructured, 0.5)
    compiled = copy.deepcopy(plain)
    found = [
        train(model, data(), replace(RECIPE, compile=model is compiled), 0, test=data()) for model in (plain, compiled)
    ]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1  # something was compiled
    for (*_, first), (*_, second) in zip(*(each["history"] for each in found), strict=True):
        assert abs(first - second) <= 5
    assert plain.state_dict().keys() == compiled.state_dict().keys()
    for name, value in plain.state_dict().items():
        assert torch.allclose(value, compiled.state_dict()[name], atol=1e-5)
    compiled(torch.zeros(1, 1, 4, 4))
    assert torch.equal(compiled[0].weight != 0, compiled[0].weight_mask != 0)
