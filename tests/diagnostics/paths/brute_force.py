"""A reference for what paths lead through: networks unrolled to single connections, and all their paths listed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor, nn

#: an entry of a weight: the name of its module and its flat index
Entry = tuple[str, int]


class Unrolled:
    """A graph of single neurons (a channel at a position is one) and connections; activations are tensors of ids."""

    def __init__(self, inputs: torch.Size) -> None:
        self.edges: list[list[tuple[int, Entry | None]]] = []
        self.inputs = self._nodes(*inputs)
        self._sources = set(self.inputs.flatten().tolist())

    def _nodes(self, *shape: int) -> Tensor:
        first = len(self.edges)
        count = torch.Size(shape).numel()
        self.edges += [[] for _ in range(count)]
        return torch.arange(first, first + count).reshape(shape)

    def linear(self, x: Tensor, name: str, mask: Tensor) -> Tensor:
        out = self._nodes(len(mask))
        for o, i in mask.nonzero().tolist():
            self.edges[int(out[o])].append((int(x[i]), (name, o * mask.shape[1] + i)))
        return out

    def conv(self, x: Tensor, name: str, module: nn.Conv2d, mask: Tensor) -> Tensor:
        channels, height, width = x.shape
        strides = mask[0].numel(), mask[0, 0].numel(), mask.shape[3]
        size = [
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip((height, width), module.padding, module.kernel_size, module.stride, strict=True)
        ]
        out = self._nodes(len(mask), *size)
        per_group_in, per_group_out = channels // module.groups, len(mask) // module.groups
        for o, i, a, b in mask.nonzero().tolist():
            source = o // per_group_out * per_group_in + i
            for row, column in product(range(size[0]), range(size[1])):
                y = row * module.stride[0] + a - module.padding[0]
                z = column * module.stride[1] + b - module.padding[1]
                if 0 <= y < height and 0 <= z < width:
                    flat = o * strides[0] + i * strides[1] + a * strides[2] + b
                    self.edges[int(out[o, row, column])].append((int(x[source, y, z]), (name, flat)))
        return out

    def add(self, *sides: Tensor) -> Tensor:
        out = self._nodes(*sides[0].shape)
        for side in sides:
            for node, source in zip(out.flatten().tolist(), side.flatten().tolist(), strict=True):
                self.edges[node].append((source, None))
        return out

    def pool(self, x: Tensor, size: int, stride: int) -> Tensor:
        shape = [(n - size) // stride + 1 for n in x.shape[1:]]
        out = self._nodes(len(x), *shape)
        for c, row, column in product(range(len(x)), range(shape[0]), range(shape[1])):
            window = x[c, row * stride : row * stride + size, column * stride : column * stride + size]
            self.edges[int(out[c, row, column])] += [(node, None) for node in window.flatten().tolist()]
        return out

    def paths(self, outputs: Tensor) -> Iterator[list[Entry]]:
        """The entries along each path from an input to one of ``outputs``, one path after the other."""

        def back(node: int) -> Iterator[list[Entry]]:
            if node in self._sources:
                yield []
            for source, entry in self.edges[node]:
                for path in back(source):
                    yield path if entry is None else [*path, entry]

        for node in outputs.flatten().tolist():
            yield from back(node)


class Mlp(nn.Module):
    shape = (3,)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.relu(self.b(torch.relu(self.a(x)))))

    def unroll(self, masks: dict[str, Tensor]) -> tuple[Unrolled, Tensor]:
        net = Unrolled(torch.Size(self.shape))
        x = net.inputs
        for name in "abc":
            x = net.linear(x, name, masks[name])
        return net, x


class Conv(nn.Module):
    """Convolutions with padding and stride, and overlapping max pooling."""

    shape = (2, 4, 4)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 2, 2, stride=2)
        self.bn, self.c = nn.BatchNorm2d(3), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(torch.relu(self.bn(self.a(x))), 2, 1)
        return self.c(torch.relu(self.b(x)).flatten(1))

    def unroll(self, masks: dict[str, Tensor]) -> tuple[Unrolled, Tensor]:
        net = Unrolled(torch.Size(self.shape))
        x = net.pool(net.conv(net.inputs, "a", self.a, masks["a"]), 2, 1)
        return net, net.linear(net.conv(x, "b", self.b, masks["b"]).flatten(), "c", masks["c"])


class Residual(nn.Module):
    """A block with a convolution on its skip path, and one whose skip path is the identity."""

    shape = (2, 2, 2)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.skip = nn.Conv2d(2, 3, 2), nn.Conv2d(3, 3, 1), nn.Conv2d(2, 3, 2)
        self.d, self.c = nn.Conv2d(3, 3, 1), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.b(torch.relu(self.a(x))) + self.skip(x))
        x = x + torch.relu(self.d(x))
        return self.c(x.flatten(1))

    def unroll(self, masks: dict[str, Tensor]) -> tuple[Unrolled, Tensor]:
        net = Unrolled(torch.Size(self.shape))
        branch = net.conv(net.conv(net.inputs, "a", self.a, masks["a"]), "b", self.b, masks["b"])
        x = net.add(branch, net.conv(net.inputs, "skip", self.skip, masks["skip"]))
        x = net.add(x, net.conv(x, "d", self.d, masks["d"]))
        return net, net.linear(x.flatten(), "c", masks["c"])


class Grouped(nn.Module):
    """Depthwise and grouped convolutions."""

    shape = (4, 2, 2)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(4, 4, 2, groups=4, padding=1), nn.Conv2d(4, 4, 3, groups=2)
        self.c = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.relu(self.b(torch.relu(self.a(x)))).flatten(1))

    def unroll(self, masks: dict[str, Tensor]) -> tuple[Unrolled, Tensor]:
        net = Unrolled(torch.Size(self.shape))
        x = net.conv(net.conv(net.inputs, "a", self.a, masks["a"]), "b", self.b, masks["b"])
        return net, net.linear(x.flatten(), "c", masks["c"])


KINDS = [Mlp, Conv, Residual, Grouped]
