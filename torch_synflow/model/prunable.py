"""Whether torch's pruning works on a parameter of a module, and if not, why."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from torch_synflow._torch.classes import AttentionOutput
from torch_synflow._torch.flat_shards import is_flat_shard, wrapped_in_fsdp1
from torch_synflow.model.layout import is_sharded

Pair = tuple[nn.Module, str]

_FSDP1 = (
    "torch.distributed.fsdp.FullyShardedDataParallel (FSDP1), which keeps a part of a flattened tensor on each rank; "
    "prune before wrapping the model, or shard it with torch.distributed.fsdp.fully_shard (FSDP2) instead"
)
_SCRIPTED = "prune before torch.jit.script or torch.jit.trace"


def prunable(pair: Pair, label: str) -> nn.Parameter:
    """The parameter of a pair, or an error that says why a pruning hook cannot work on it."""
    module, name = pair
    if isinstance(module, torch.jit.ScriptModule):
        raise ValueError(
            f"{label}: expected a module that runs in Python, got one in TorchScript, which runs no pruning hook; "
            f"{_SCRIPTED}"
        )
    if parametrize.is_parametrized(module, name):
        raise ValueError(
            f"{label}: expected a plain parameter, got one that torch.nn.utils.parametrize computes; "
            f'prune (module.parametrizations.{name}, "original") instead, or call remove_parametrizations first'
        )
    if isinstance(module, AttentionOutput):
        raise ValueError(
            f"{label}: nn.MultiheadAttention reads its output projection without calling it, so a pruning hook "
            "there never runs; leave this pair out"
        )
    if f"{name}_orig" in module._parameters and f"{name}_mask" not in module._buffers:
        raise ValueError(
            f"{label}: expected a plain parameter, got one that a hook computes from {name}_orig, which has no mask "
            "(the old torch.nn.utils.spectral_norm does that); call torch.nn.utils.remove_spectral_norm first, or "
            "use torch.nn.utils.parametrizations.spectral_norm and prune its original"
        )
    parameter = _held(module, name)
    if parameter is None:
        raise ValueError(f"{label}: {_not_a_parameter(module, name)}")
    if is_flat_shard(parameter):
        raise ValueError(f"{label}: expected a whole parameter, got one of {_FSDP1}")
    if is_lazy(parameter):
        raise ValueError(f"{label}: a lazy parameter has no shape yet; run the model once on an input first")
    if parameter.is_meta:
        raise ValueError(f"{label}: a parameter on the meta device has no values; materialise the model first")
    if not _has_order(parameter):
        why = ", which torch does not compare" if parameter.is_floating_point() else ""
        raise TypeError(
            f"{label}: expected a floating-point parameter, got {parameter.dtype}{why}; leave this pair out"
        )
    return parameter


def refuse_flat_shards(model: nn.Module) -> None:
    """Raise a ``ValueError`` if FSDP1 wraps a model or a part of it."""
    where = wrapped_in_fsdp1(model)
    if where is not None:
        raise ValueError(f"model: expected whole parameters, got {where or 'a model'} wrapped in {_FSDP1}")


def refuse_scripted(model: nn.Module) -> None:
    """Raise a ``ValueError`` if a part of a model is in TorchScript, whose weights cannot be replaced."""
    for name, module in model.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ValueError(
                f"{name or 'model'}: expected a module that runs in Python, got one in TorchScript, which cannot be "
                f"scored; {_SCRIPTED}"
            )


def refuse_sharded(model: nn.Module, purpose: str) -> None:
    """Raise a ``ValueError`` if a parameter of a model is a ``DTensor``, with what to do, for what reads whole ones."""
    for name, parameter in model.named_parameters():
        if is_sharded(parameter):
            raise ValueError(
                f"{name.removesuffix('_orig')}: expected a whole parameter {purpose}, got a sharded one (DTensor); "
                "gather the state by torch.distributed.checkpoint.state_dict.get_model_state_dict(model, "
                "options=StateDictOptions(full_state_dict=True)) and pass a model that is not sharded, into which "
                "prune.load_pruned has loaded it"
            )


def obstacle(pair: Pair) -> str:
    """A short reason why a pruning hook cannot work on an existing parameter; empty if it can."""
    module, name = pair
    if isinstance(module, torch.jit.ScriptModule):
        return "in TorchScript; prune before scripting"
    if parametrize.is_parametrized(module, name) or isinstance(module, parametrize.ParametrizationList):
        return "inputs of a parametrization"
    parameter = _held(module, name)
    if parameter is None or (f"{name}_orig" in module._parameters and f"{name}_mask" not in module._buffers):
        return "computed by a hook"
    if isinstance(module, AttentionOutput):
        return "read by nn.MultiheadAttention without calling the layer"
    if is_lazy(parameter):
        return "lazy, so without a shape; run the model once first"
    if parameter.is_meta:
        return "without values yet"
    return "" if _has_order(parameter) else f"of {parameter.dtype}".replace("torch.", "")


def _has_order(parameter: Tensor) -> bool:
    """Whether a parameter has floating-point numbers that torch compares, which those of 8 bits are not."""
    return parameter.is_floating_point() and parameter.element_size() > 1


def _held(module: nn.Module, name: str) -> nn.Parameter | None:
    """The dense parameter behind ``module.name``, pruned or not."""
    return module._parameters.get(f"{name}_orig", module._parameters.get(name))


def _not_a_parameter(module: nn.Module, name: str) -> str:
    if name in module._parameters:
        return "it is None (the layer has none); leave this pair out"
    if isinstance(getattr(module, name, None), Tensor):
        return (
            "expected an nn.Parameter, got a plain tensor or buffer (as made by the old torch.nn.utils.weight_norm, or "
            "by FSDP1, which must wrap the model after pruning); prune the parameters that it is computed from"
        )
    names = ", ".join(n for n, p in module._parameters.items() if p is not None) or "none"
    return f"{type(module).__name__} has no parameter of that name; it has: {names}"
