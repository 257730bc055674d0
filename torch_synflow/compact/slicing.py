"""Removing channels from a model: its parameters, masks and buffers, and the sizes that its modules store."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from torch_synflow._torch.classes import BatchNorm, Convolution, TransposedConvolution
from torch_synflow.compact.choice import Choice
from torch_synflow.compact.empty import let_empty
from torch_synflow.compact.movement import WIDTHS
from torch_synflow.compact.tracer import Tracer
from torch_synflow.model.masks import pruned_parameters, refresh

Indices = dict[int, Tensor]


def taken(tensor: Tensor, indices: Indices) -> Tensor:
    """A copy of the elements at the given indices of each axis, with the memory layout of the tensor."""
    found = tensor.detach()
    for axis, kept in indices.items():
        found = found.index_select(axis, kept.to(tensor.device))
    last = tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last)
    layout = torch.channels_last if last and not tensor.is_contiguous() else torch.contiguous_format
    return found.clone(memory_format=layout)


def indices_by_name(tracer: Tracer, choice: Choice, plain: nn.Module) -> dict[str, Indices]:
    """The kept indices of each parameter and buffer that gets smaller, for every place that holds it."""
    by_identity = {identity: choice.indices(held) for identity, held in tracer.held.items()}
    places = [*plain.named_parameters(remove_duplicate=False), *plain.named_buffers(remove_duplicate=False)]
    return {name: found for name, tensor in places if (found := by_identity.get(id(tensor)))}


def cut(model: nn.Module, indices: dict[str, Indices]) -> None:
    """Remove channels from a copy of the model and of its masks.

    Args:
        model: the pruned model, with its hooks.
        indices: the kept indices, by names of dense parameters and buffers.
    """
    made: dict[int, nn.Parameter] = {}
    for prefix, module in model.named_modules():
        for held, parameter in list(module._parameters.items()):
            name = held.removesuffix("_orig") if f"{held.removesuffix('_orig')}_mask" in module._buffers else held
            found = indices.get(f"{prefix}.{name}".lstrip("."))
            if parameter is None or found is None:
                continue
            if id(parameter) not in made:
                part = taken(parameter, found)
                made[id(parameter)] = nn.Parameter(part, parameter.requires_grad and part.numel() > 0)
            module._parameters[held] = made[id(parameter)]
            mask = module._buffers.get(f"{name}_mask")
            if mask is not None:
                module._buffers[f"{name}_mask"] = taken(mask, found)
        for held, buffer in list(module._buffers.items()):
            found = indices.get(f"{prefix}.{held}".lstrip("."))
            if buffer is not None and found is not None:
                module._buffers[held] = taken(buffer, found)
        _resize(module)
    for pair in pruned_parameters(model):
        refresh(pair)
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.flatten_parameters()


def _weight(module: nn.Module) -> Tensor | None:
    return module._parameters.get("weight_orig", module._parameters.get("weight"))


def _convolution(module: nn.Module, weight: Tensor) -> None:
    assert isinstance(module, Convolution)
    if isinstance(module, TransposedConvolution):
        module.in_channels, module.out_channels = weight.shape[0], weight.shape[1] * module.groups
        return
    if module.groups > 1:  # of which whole ones go
        module.groups = module.groups * weight.shape[0] // module.out_channels or 1
    module.out_channels, module.in_channels = weight.shape[0], weight.shape[1] * module.groups


def _linear(module: nn.Module, weight: Tensor) -> None:
    module.out_features, module.in_features = weight.shape  # type: ignore[assignment]


def _normalisation(module: nn.Module, weight: Tensor) -> None:
    module.num_features = len(weight)  # type: ignore[assignment]


def _embedding(module: nn.Module, weight: Tensor) -> None:
    module.num_embeddings, module.embedding_dim = weight.shape  # type: ignore[assignment]


_SIZES: dict[type[nn.Module], Callable[[nn.Module, Tensor], None]] = {
    Convolution: _convolution, nn.Linear: _linear, BatchNorm: _normalisation, nn.Embedding: _embedding,
}  # fmt: skip


def _resize(module: nn.Module) -> None:
    """Update the sizes that a module stores to those of its tensors."""
    weight = _weight(module)
    if weight is None and isinstance(module, BatchNorm):
        weight = module.running_mean
    for kind, resize in _SIZES.items():
        if isinstance(module, kind) and weight is not None:
            resize(module, weight)
    let_empty(module, weight)
    if weight is not None and {"nx", "nf"} <= vars(module).keys():  # Conv1D of transformers, whose rows are inputs
        vars(module).update(nx=len(weight), nf=weight.shape[1])
    if isinstance(module, nn.RNNBase):
        held = module._parameters
        inputs, hidden = (held.get(f"{name}_orig", held.get(name)) for name in ("weight_ih_l0", "weight_hh_l0"))
        assert inputs is not None
        assert hidden is not None
        module.input_size, module.hidden_size = inputs.shape[1], hidden.shape[1]
        for name in list(held):
            if not name.endswith("_orig"):
                setattr(module, name, held[name])  # among the weights that the layer passes on


def set_heads(model: nn.Module, tracer: Tracer, choice: Choice) -> None:
    """Update the numbers of attention heads that modules store."""
    for name, attribute, cells in tracer.heads:
        module = model.get_submodule(name)
        count = int((~choice.removed[cells]).sum())
        before = getattr(module, attribute)
        setattr(module, attribute, count)
        for width in WIDTHS if before == len(cells) else ():
            old = vars(module).get(width)
            if isinstance(old, int) and old % len(cells) == 0:
                setattr(module, width, old // len(cells) * count)
