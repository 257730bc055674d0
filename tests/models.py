"""The networks of the table: small ones, each with something that pruning must get right."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from torch_synflow import prune

CLASSES = 3


class Residual(nn.Module):
    """A stem and one residual block whose shortcut is a 1x1 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.conv1 = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(6)
        self.shortcut = nn.Sequential(nn.Conv2d(4, 6, 1, stride=2, bias=False), nn.BatchNorm2d(6))
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn(self.stem(x)))
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return self.head(torch.relu(y + self.shortcut(x)).mean((2, 3)))


class TwoInputs(nn.Module):
    """A model that is called with two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(5, 6)
        self.right = nn.Linear(4, 6)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.head(torch.relu(self.left(left) + self.right(right)))


class Auxiliary(nn.Module):
    """A model that returns two outputs, as a tuple or by name."""

    def __init__(self, *, named: bool) -> None:
        super().__init__()
        self.named = named
        self.body = nn.Linear(5, 8)
        self.head = nn.Linear(8, CLASSES)
        self.auxiliary = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Any:
        x = torch.relu(self.body(x))
        logits, auxiliary = self.head(x), self.auxiliary(x)
        return {"logits": logits, "auxiliary": auxiliary} if self.named else (logits, auxiliary)


class TiedLayers(nn.Module):
    """Two linear layers that hold one weight, each with a bias of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 6)
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.second(torch.relu(self.first(torch.relu(self.embed(x)))))))


class TiedEmbedding(nn.Module):
    """A language model in small: the output layer holds the weight of the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CLASSES, 6)
        self.body = nn.Linear(6, 6)
        self.head = nn.Linear(6, CLASSES, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(self.embedding(tokens).mean(1))))


class KeepsNotes(nn.Module):
    """A model whose forward pass writes to buffers, plain tensors, numbers and lists that it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(5, 8)
        self.head = nn.Linear(8, CLASSES)
        self.register_buffer("mean", torch.zeros(8))
        self.largest = torch.zeros(())
        self.calls = 0
        self.sizes: list[int] = []
        self.cache: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.sizes.append(len(x))
        self.cache = self.body(x)
        with torch.no_grad():
            self.mean.mul_(0.9).add_(self.cache.mean(0).detach(), alpha=0.1)
            self.largest.copy_(self.cache.detach().abs().max())
        return self.head(torch.relu(self.cache))


def mlp(*, bias: bool = True) -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 8, bias=bias), nn.ReLU(), nn.Linear(8, CLASSES, bias=bias))


def conv_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, CLASSES),
    )


def mobile() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.Conv2d(4, 4, 3, groups=4, bias=False),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 4, CLASSES),
    )


def conv1d() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Conv1d(4, 3, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(6, CLASSES)
    )


def conv3d() -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 8, CLASSES))


def transposed() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 3, 2, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(3, CLASSES),
    )


def strided_weight() -> nn.Sequential:
    model = mlp()
    model[0].weight = nn.Parameter(model[0].weight.detach().t().contiguous().t())
    return model


def few_values() -> nn.Sequential:
    """Weights that are -1/4, 0 or 1/4, so that many scores are zero and many are equal."""
    model = mlp()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((4 * parameter).round() / 4)
    return model


def dropout() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, CLASSES))


def frozen() -> nn.Sequential:
    model = conv_net()
    for parameter in (*model[0].parameters(), *model[1].parameters()):
        parameter.requires_grad_(False)
    return model


def mixed_modes() -> nn.Sequential:
    """BatchNorm that has seen data; one in evaluation mode inside a model in training mode."""
    model = conv_net()
    for _ in range(2):
        model(torch.randn(6, 3, 6, 6))
    model[1].eval()
    return model


def pruned_by_torch() -> nn.Sequential:
    model = mlp()
    torch_prune.l1_unstructured(model[0], "weight", 0.4)
    return model


def pruned_twice_by_torch() -> nn.Sequential:
    model = conv_net()
    torch_prune.random_unstructured(model[0], "weight", 0.2)
    torch_prune.ln_structured(model[0], "weight", 1, n=1, dim=0)
    model.eval()
    return model


def pruned_by_us() -> nn.Module:
    model = Residual()
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.3, example_inputs=torch.ones(1, 3, 6, 6), iterations=2)
    return model
