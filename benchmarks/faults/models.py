"""Random models: small, of every kind of layer that pruning must get right, the same for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.faults.burdens import laden
from benchmarks.faults.fuse import passing
from torch_synflow.rewinding import TrainingSnapshot

CLASSES = 3
EXAMPLES = 6
SIDE = 5
TOKENS = 7


class Shortcut(nn.Module):
    """A body with a shortcut."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """Add the input to the output of the body."""
        out: Tensor = x + self.body(x)
        return out


class Noted(nn.Module):
    """A body whose forward pass writes to a buffer, a plain tensor, a number, a list and a cache that it holds."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(()))
        self.largest = torch.zeros(())
        self.calls = 0
        self.sizes: list[int] = []
        self.cache: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Compute the output of the body, and write it down."""
        passing("forward of a module")
        self.calls += 1
        self.sizes.append(len(x))
        self.cache = self.body(x)
        with torch.no_grad():
            self.mean.mul_(0.9).add_(self.cache.mean().detach(), alpha=0.1)
            self.largest.copy_(self.cache.detach().abs().max())
        return self.cache


class Attending(nn.Module):
    """Self-attention."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(width, 1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Attend from ``x`` to itself."""
        return self.inner(x, x, x, need_weights=False)[0]  # type: ignore[no-any-return]


class Writing(nn.Module):
    """A layer that writes into its input."""

    def forward(self, x: Tensor) -> Tensor:
        """Halve the input in place."""
        return x.mul_(0.5) if x.is_floating_point() and not x.requires_grad else x * 0.5


class Outer(nn.Module):
    """A body that is called with one input or two, and returns a tensor, a pair or a mapping."""

    def __init__(self, body: nn.Module, answer: str) -> None:
        super().__init__()
        self.body = body
        self.answer = answer

    def forward(self, left: Tensor, right: Tensor | None = None) -> Any:
        """Run the body on the sum of the inputs."""
        outputs = self.body(left if right is None else left + right)
        return {"tensor": outputs, "pair": (outputs, left), "mapping": {"logits": outputs}}[self.answer]


class Meaned(nn.Module):
    """The mean over positions."""

    def forward(self, x: Tensor) -> Tensor:
        """Average over the second dimension."""
        return x.mean(1)


def loss_of(outputs: Any, targets: Tensor) -> Tensor:
    """Cross entropy, whatever the model returns."""
    passing("loss function")
    logits = outputs["logits"] if isinstance(outputs, dict) else outputs[0] if isinstance(outputs, tuple) else outputs
    return F.cross_entropy(logits.float() if logits.dtype == torch.float16 else logits, targets)


class Loader:
    """Batches that are read from the start each time."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches = batches

    def __iter__(self) -> Iterator[Any]:
        """Yield the batches, and report a place before each one and after the last."""
        for batch in self.batches:
            passing("data")
            yield batch
        passing("data")


@dataclass
class Subject:
    """A model and the arguments of its calls."""

    model: nn.Module
    inputs: Any
    data: Any
    snapshot: TrainingSnapshot | None = None

    @property
    def given(self) -> tuple[Any, ...]:
        """The objects other than the model that a call must not change."""
        return self.inputs, self.data.batches if isinstance(self.data, Loader) else self.data


def random_subject(seed: int) -> Subject:
    """Build the model of a seed, equal each time. This changes torch's random state."""
    torch.manual_seed(seed)
    draw = random.Random(f"model {seed}")
    kind = draw.choice(("vectors", "vectors", "images", "images", "sequences", "tokens"))
    width = draw.randint(3, 5)
    body = [nn.Embedding(TOKENS, width)] if kind == "tokens" else [_widening(draw, kind, width)]
    body += [_block(draw, kind, width) for _ in range(draw.randint(1, 3))]
    model = nn.Sequential(*body, *_head(draw, kind, width))
    if kind != "tokens" and draw.random() < 0.1:
        model.insert(0, draw.choice((Writing, lambda: nn.ReLU(inplace=True)))())
    two = kind != "tokens" and draw.random() < 0.15
    answer = draw.choice(("tensor",) * 6 + ("pair", "mapping"))
    whole: nn.Module = Outer(model, answer) if two or answer != "tensor" else model
    whole = whole.to(draw.choice((torch.float32,) * 5 + (torch.float64, torch.float16, torch.bfloat16)))
    laden(whole, draw)
    dtype = next(whole.parameters()).dtype
    inputs, data = _inputs(draw, kind, dtype, two), _data(draw, kind, dtype, two)
    return Subject(whole, inputs, data)


def _inputs(draw: random.Random, kind: str, dtype: torch.dtype, two: bool) -> Any:
    shapes = {"vectors": (4,), "images": (2, SIDE, SIDE), "sequences": (3, 4)}

    def one() -> Tensor:
        if kind == "tokens":
            return torch.randint(TOKENS, (EXAMPLES, 3))
        x = torch.randn(EXAMPLES, *shapes[kind]).to(dtype)
        return x.to(memory_format=torch.channels_last) if kind == "images" and draw.random() < 0.2 else x

    return (one(), one()) if two else one()


def _data(draw: random.Random, kind: str, dtype: torch.dtype, two: bool) -> Any:
    batches = [(_inputs(draw, kind, dtype, two), torch.arange(EXAMPLES) % CLASSES) for _ in range(draw.randint(1, 2))]
    return batches[0] if len(batches) == 1 and draw.random() < 0.3 else Loader(batches)


def _widening(draw: random.Random, kind: str, width: int) -> nn.Module:
    if kind == "images":
        return nn.Conv2d(2, width, 3, padding=1, bias=draw.random() < 0.5)
    return nn.Linear(4, width, bias=draw.random() < 0.5)


def _layer(draw: random.Random, kind: str, width: int) -> nn.Module:
    bias = draw.random() < 0.5
    if kind != "images":
        return nn.Linear(width, width, bias=bias)
    size = draw.choice((1, 3))
    return nn.Conv2d(width, width, size, padding=size // 2, groups=draw.choice((1, 1, width)), bias=bias)


def _norm(draw: random.Random, kind: str, width: int) -> nn.Module:
    norms: dict[str, tuple[Callable[[], nn.Module], ...]] = {
        "vectors": (lambda: nn.BatchNorm1d(width), lambda: nn.LayerNorm(width)),
        "images": (lambda: nn.BatchNorm2d(width), lambda: nn.GroupNorm(1, width)),
        "sequences": (lambda: nn.LayerNorm(width),),
        "tokens": (lambda: nn.LayerNorm(width),),
    }
    return draw.choice((*norms[kind], nn.Identity))()


def _activation(draw: random.Random) -> nn.Module:
    inplace = draw.random() < 0.2
    kinds = (nn.LeakyReLU, nn.GELU, nn.Tanh, nn.Hardswish, nn.SiLU)
    return nn.ReLU(inplace) if draw.random() < 0.6 else draw.choice(kinds)()


def _plain(draw: random.Random, kind: str, width: int) -> nn.Sequential:
    layers = [_layer(draw, kind, width), _norm(draw, kind, width), _activation(draw)]
    if draw.random() < 0.2:
        layers.append(nn.Dropout(0.2))
    return nn.Sequential(*layers)


def _tied(draw: random.Random, kind: str, width: int) -> nn.Module:
    first, second = nn.Linear(width, width), nn.Linear(width, width)
    if kind == "images":
        first, second = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)  # type: ignore[assignment]
    second.weight = first.weight
    return nn.Sequential(first, _activation(draw), second)


def _block(draw: random.Random, kind: str, width: int) -> nn.Module:
    plain = _plain(draw, kind, width)
    form = draw.choice(("plain", "plain", "shortcut", "shortcut", "shared", "tied", "noted", "attention"))
    if form == "shortcut":
        return Shortcut(plain)
    if form == "shared":
        return nn.Sequential(plain, _layer(draw, kind, width), plain)
    if form == "tied":
        return _tied(draw, kind, width)
    if form == "attention" and kind in ("sequences", "tokens"):
        return Shortcut(Attending(width))
    return Noted(plain) if form == "noted" else plain


def _head(draw: random.Random, kind: str, width: int) -> list[nn.Module]:
    if kind == "images":
        if draw.random() < 0.5:
            return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES)]
        return [nn.MaxPool2d(2), nn.Flatten(), nn.Linear(width * (SIDE // 2) ** 2, CLASSES)]
    return [*([Meaned()] if kind != "vectors" else []), nn.Linear(width, CLASSES)]
