"""The undocumented arguments of the operations that torch's layers run as a whole.

Recurrent layers call functions of ``torch._VF`` (``lstm``, ``_pack_padded_sequence``, ``lstm_cell``) with positional
arguments. Attention calls ``multi_head_attention_forward``, of which only the argument names are stable.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class RecurrentLayers:
    """The arguments of ``lstm``, ``gru``, ``rnn_tanh`` and ``rnn_relu``.

    Attributes:
        x: the input, or the data of packed sequences.
        batch_sizes: for packed sequences, the number of sequences at each time.
        hx: the initial states, a tensor or a sequence of tensors.
        weights: the weights of all layers and directions, one after the other.
        layers: the number of layers.
        directions: 2 if the layers run in both directions.
        batch_first: whether the first dimension of the input is the batch, not time.
    """

    x: Tensor
    batch_sizes: Tensor | None
    hx: Any
    weights: Sequence[Tensor]
    layers: int
    directions: int
    batch_first: bool

    @classmethod
    def of(cls, args: Sequence[Any]) -> RecurrentLayers:
        """Name the arguments: ``(x, hx, weights, has_biases, layers, dropout, training, both_ways, batch_first)``.

        For packed sequences, ``(data, batch_sizes, hx, weights, has_biases, layers, dropout, training, both_ways)``.
        """
        if isinstance(args[3], (list, tuple)):
            x, batch_sizes, hx, weights, _, layers, _, _, both = args
            return cls(x, batch_sizes, hx, weights, layers, 1 + both, batch_first=False)
        x, hx, weights, _, layers, _, _, both, batch_first = args
        return cls(x, None, hx, weights, layers, 1 + both, batch_first)


@dataclass(frozen=True)
class RecurrentCell:
    """The arguments of ``lstm_cell``, ``gru_cell``, ``rnn_tanh_cell`` and ``rnn_relu_cell``.

    Attributes:
        x: the input.
        hx: the state, a tensor or a sequence of tensors.
        of_input: the weight that multiplies the input.
        of_state: the weight that multiplies the state.
        input_bias: the bias of the first product.
        state_bias: the bias of the second product.
    """

    x: Tensor
    hx: Any
    of_input: Tensor
    of_state: Tensor
    input_bias: Tensor | None = None
    state_bias: Tensor | None = None

    @classmethod
    def of(cls, args: Sequence[Any], kwargs: Mapping[str, Any]) -> RecurrentCell:
        """Name the arguments: ``(x, hx, w_ih, w_hh, b_ih, b_hh)``."""
        names = ("input", "hx", "w_ih", "w_hh", "b_ih", "b_hh")
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        return cls(*(given.get(name) for name in names))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Packing:
    """The arguments of ``_pack_padded_sequence``.

    Attributes:
        x: sequences of one length.
        lengths: the length of each sequence, the longest first.
        batch_first: whether the first dimension is the batch, not time.
    """

    x: Tensor
    lengths: Tensor
    batch_first: bool

    @classmethod
    def of(cls, args: Sequence[Any]) -> Packing:
        """Name the arguments: ``(x, lengths, batch_first)``."""
        return cls(*args)


@dataclass(frozen=True)
class Unpacking:
    """The arguments of ``_pad_packed_sequence``.

    Attributes:
        data: sequences of several lengths, one time after the other.
        batch_sizes: the number of sequences at each time.
        batch_first: whether the first dimension of the result is the batch, not time.
        padding: the value that fills shorter sequences.
        length: the length of the result; 0 or less for that of the longest sequence.
    """

    data: Tensor
    batch_sizes: Tensor
    batch_first: bool
    padding: float
    length: int

    @classmethod
    def of(cls, args: Sequence[Any]) -> Unpacking:
        """Name the arguments: ``(data, batch_sizes, batch_first, padding, length)``."""
        return cls(*args)


def attention_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of ``multi_head_attention_forward`` by name, including defaults."""
    given = inspect.signature(F.multi_head_attention_forward).bind(*args, **kwargs)
    given.apply_defaults()
    return given.arguments
