"""Leaving dead channels out: linear and convolution layers computed on the channels that have weights left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

#: the input and output channels of a weight that have entries left, or more than these
Channels = tuple[Tensor, Tensor]

# for each op, the dimension of the channels, counted from the end
_CHANNEL = {F.linear: -1, torch.conv1d: -2, torch.conv2d: -3, torch.conv3d: -4}


def channels_of(indices: Tensor, shape: torch.Size) -> Channels | None:
    """The channels in which a weight has entries, from their flat indices; ``None`` if it pays to compute all.

    Args:
        indices: flat indices of the entries kept.
        shape: of the weight, ``(outputs, inputs, ...)``.

    Example:
        >>> inputs, outputs = channels_of(torch.tensor([3, 9]), torch.Size([4, 3]))
        >>> inputs.tolist(), outputs.tolist()
        ([0], [1, 3])
    """
    outputs, inputs = shape[0], shape[1]
    places = indices // shape[2:].numel()  # of the entry in (outputs, inputs)
    alive_out = torch.zeros(outputs, dtype=torch.bool, device=indices.device)
    alive_in = torch.zeros(inputs, dtype=torch.bool, device=indices.device)
    alive_out[places // inputs] = True
    alive_in[places % inputs] = True
    if not len(places):
        alive_out[0] = alive_in[0] = True  # an empty layer still has an output, and ops no empty weights
    kept_in, kept_out = alive_in.nonzero().squeeze(1), alive_out.nonzero().squeeze(1)
    # gathering and scattering cost something too
    return (kept_in, kept_out) if len(kept_in) * len(kept_out) < 0.7 * inputs * outputs else None


class LeaveOutDeadChannels(TorchFunctionMode):
    """Compute each layer only on its living channels; the result is the same up to the order of summation.

    Attributes:
        living: the living channels by the identity of the weight that a layer is called with.
    """

    def __init__(self, living: Mapping[int, Channels] | None = None) -> None:
        super().__init__()
        self.living = living or {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run ``func``, on a part of the weight where it is a layer with dead channels."""
        kwargs = kwargs or {}
        dim = _CHANNEL.get(func)
        if dim is None or len(args) < 2 or id(args[1]) not in self.living:
            return func(*args, **kwargs)
        x, weight, bias, *rest = (*args, None) if len(args) == 2 else args
        kept_in, kept_out = self.living[id(weight)]
        groups = rest[3] if len(rest) > 3 else 1
        if groups != 1 or "bias" in kwargs or "groups" in kwargs:
            return func(*args, **kwargs)
        part = weight.index_select(0, kept_out).index_select(1, kept_in)
        small = func(x.index_select(dim, kept_in), part, None, *rest, **kwargs)
        size = list(small.shape)
        size[dim] = weight.shape[0]
        whole = small.new_zeros(size).index_copy(dim, kept_out, small)
        return whole if bias is None else whole + bias.view(-1, *[1] * (-1 - dim))
