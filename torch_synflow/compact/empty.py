"""Layers without weights: they compute nothing, and pass on zeros and their bias."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from torch_synflow._torch.classes import BatchNorm, Convolution


class EmptyLinear(nn.Linear):
    """A linear layer without weights."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as torch names it
        """The bias for each row."""
        zeros = torch.zeros(*input.shape[:-1], self.out_features, dtype=input.dtype, device=input.device)
        return zeros if self.bias is None else zeros + self.bias


class EmptyConvolution(Convolution):
    """A convolution without weights."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as torch names it
        """The bias at each position of a kernel."""
        space = len(self.kernel_size)
        sizes = []
        for axis, (kernel, stride, dilation) in enumerate(
            zip(self.kernel_size, self.stride, self.dilation, strict=True)
        ):
            size = input.shape[axis - space]
            if self.padding == "same":
                sizes.append(size)
                continue
            padded = size + (0 if isinstance(self.padding, str) else 2 * int(self.padding[axis]))
            sizes.append((padded - dilation * (kernel - 1) - 1) // stride + 1)
        shape = (*input.shape[: -space - 1], self.out_channels, *sizes)
        zeros = torch.zeros(shape, dtype=input.dtype, device=input.device)
        return zeros if self.bias is None else zeros + self.bias.view(-1, *[1] * space)


class EmptyBatchNorm(BatchNorm):
    """A BatchNorm without channels."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as torch names it
        """The input, which has no elements."""
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return input


#: the layers that may lose all elements, and their replacements
EMPTY: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: EmptyLinear,
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), EmptyConvolution),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), EmptyBatchNorm),
}  # fmt: skip
_KINDS = (*EMPTY, *EMPTY.values())


def may_be_empty(model: nn.Module) -> set[int]:
    """The identities of parameters and buffers that only such layers hold."""
    there: set[int] = set()
    others: set[int] = set()
    for module in model.modules():
        held = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        (there if type(module) in _KINDS else others).update(map(id, held))
    return there - others


def let_empty(module: nn.Module, weight: Tensor | None) -> None:
    """Make a layer that has lost its weight compute nothing."""
    if weight is not None and not weight.numel() and type(module) in EMPTY:
        module.__class__ = EMPTY[type(module)]
