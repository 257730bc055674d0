"""Small networks, each with something between its layers to get right, and masks that empty channels."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torch_synflow import prune


def chain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(inplace=True),
        nn.Conv2d(12, 9, 3, padding=1), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(9, 4),
    )  # fmt: skip


def flattened() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 20), nn.Tanh(),
        nn.Linear(20, 4),
    )  # fmt: skip


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.conv1 = nn.Conv2d(8, 10, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(10)
        self.conv2 = nn.Conv2d(10, 8, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn(self.stem(x)))
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return self.head(torch.relu(x + y).mean((2, 3)))


class Joined(nn.Module):
    """Concatenation, as in DenseNet."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 5, 3, padding=1)
        self.both = nn.BatchNorm2d(11)
        self.third = nn.Conv2d(11, 7, 3, padding=1)
        self.head = nn.Linear(7, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        x = torch.cat([x, self.second(F.relu(self.norm(x)))], 1)
        return self.head(F.silu(self.third(F.relu(self.both(x)))).flatten(2).mean(-1))


class Mobile(nn.Module):
    """A depthwise and a grouped convolution, a gate, and a shuffle of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.expand = nn.Conv2d(3, 12, 1, bias=False)
        self.bn = nn.BatchNorm2d(12)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False)
        self.bn2 = nn.BatchNorm2d(12)
        self.squeeze = nn.Conv2d(12, 4, 1)
        self.excite = nn.Conv2d(4, 12, 1)
        self.project = nn.Conv2d(12, 8, 1)
        self.grouped = nn.Conv2d(8, 16, 3, padding=1, groups=4)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.bn(self.expand(x)))
        x = F.relu6(self.bn2(self.depthwise(x)))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))
        x = self.project(x * gate)
        left, right = x.chunk(2, 1)
        x = torch.cat([right, left.relu()], 1)
        x = x.view(len(x), 2, -1, *x.shape[2:]).transpose(1, 2).flatten(1, 2)
        return self.head(F.hardswish(self.grouped(x)).mean((2, 3)))


class Heads(nn.Module):
    """Attention by linear layers, tokens with positions, a scale per channel."""

    def __init__(self, dim: int = 12, heads: int = 3) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.attn_dim = heads, dim // heads, dim
        self.patches = nn.Conv2d(3, dim, 4, 4)
        self.token = nn.Parameter(torch.randn(1, 1, dim))
        self.positions = nn.Parameter(torch.randn(1, 5, dim))
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.project = nn.Linear(dim, dim)
        self.scale = nn.Parameter(torch.rand(dim))
        self.up, self.down = nn.Linear(dim, 20), nn.Linear(20, dim)
        self.head = nn.Linear(dim, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.positions
        batch, tokens, _ = x.shape
        qkv = self.qkv(self.norm(x)).reshape(batch, tokens, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, self.attn_dim)
        x = x + self.scale * self.project(y)
        x = x + self.down(F.gelu(self.up(self.norm(x))))
        return self.head(x[:, 0])


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Linear(6, 7)
        self.lstm = nn.LSTM(7, 8, num_layers=2, batch_first=True)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(torch.relu(self.embedding(x)))[0][:, -1])


class Tied(nn.Module):
    """One matrix for tokens and outputs, one layer called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.into, self.twice = nn.Linear(6, 8), nn.Linear(8, 8)
        self.wide, self.back = nn.Linear(8, 16), nn.Linear(16, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.into(self.embedding(x)))
        x = torch.relu(self.twice(torch.relu(self.twice(x))))
        return self.head(self.back(torch.relu(self.wide(x)))).mean(1)


def image() -> Tensor:
    return torch.randn(6, 3, 8, 8)


def sequence() -> Tensor:
    return torch.randn(6, 5, 6)


def tokens() -> Tensor:
    return torch.randint(0, 11, (6, 5))


#: a name: the network, and what it is called with
NETS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "chain": (chain, image),
    "flattened": (flattened, image),
    "residual": (Residual, image),
    "joined": (Joined, image),
    "mobile": (Mobile, image),
    "heads": (Heads, image),
    "recurrent": (Recurrent, sequence),
    "tied": (Tied, tokens),
}


def emptied(model: nn.Module, seed: int, part: float = 0.4) -> nn.Module:
    """Prune so that many channels have no input, or no reader, or neither."""
    generator = torch.Generator().manual_seed(seed)
    pairs = [(module, name) for module, name in prune.prunable_parameters(model)]
    pairs += [
        (module, name.removesuffix("_orig"))
        for module in model.modules()
        if isinstance(module, nn.LSTM)
        for name, _ in list(module.named_parameters())
        if name.startswith("weight")
    ]
    for module, name in pairs:
        weight = getattr(module, name)
        mask = (torch.rand(weight.shape, generator=generator) > 0.3).to(weight)
        rows, columns = (torch.rand(size, generator=generator) > part for size in weight.shape[:2])
        if isinstance(module, nn.LSTM):
            size = module.hidden_size
            columns = columns if name.startswith("weight_ih_l0") else torch.arange(size) > size // 3
            rows = rows | True
        rows[-1] = columns[-1] = True
        mask *= rows.view(-1, *[1] * (weight.dim() - 1)) * columns.view(1, -1, *[1] * (weight.dim() - 2))
        prune.custom_from_mask(module, name, mask)
    return model


def made(name: str, seed: int = 0, dtype: torch.dtype = torch.float64, part: float = 0.4) -> tuple[nn.Module, Tensor]:
    """A pruned network of the table, and an input of six examples."""
    torch.manual_seed(seed)
    build, inputs = NETS[name]
    model = build().to(dtype)
    x = inputs()
    emptied(model, seed, part)
    return model, x.to(dtype) if x.is_floating_point() else x
