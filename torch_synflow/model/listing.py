"""The weights of a model that are pruned by default, and messages about weights that are not."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from torch_synflow._torch.classes import Convolution
from torch_synflow._warnings import listed, warn_user
from torch_synflow.model.prunable import Pair, obstacle, refuse_flat_shards

_log = logging.getLogger("torch_synflow")

#: the inputs of a model: a tensor, a tuple or list of positional arguments, or a mapping of keyword arguments
ExampleInputs = Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any]
#: a pattern of names, a class of modules, or several of these
Exclude = str | type[nn.Module] | Iterable[str | type[nn.Module]]

_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
#: the share of omitted weights below which a line in the log replaces the warning
_SMALL = 0.01


class PrunableParameters(list[Pair]):
    """A list of ``(module, name)`` pairs that remembers its model and the model's inputs.

    It is an ordinary list: you can remove pairs, and torch's own functions accept it.

    Attributes:
        model: the model that the modules belong to.
        example_inputs: the model's inputs, or ``None``.
    """

    def __init__(self, pairs: Iterable[Pair], model: nn.Module, example_inputs: ExampleInputs | None = None) -> None:
        super().__init__(pairs)
        self.model = model
        self.example_inputs: Any = example_inputs


def prunable_parameters(
    model: nn.Module,
    *,
    example_inputs: ExampleInputs | None = None,
    exclude: Exclude = (),
    embeddings: bool = False,
) -> PrunableParameters:
    """List the weights of linear, convolution and recurrent layers, of attention and of experts.

    The list omits biases, normalisation, and, by default, embeddings and layers tied to them. It also omits weights on
    which a pruning hook cannot work: the output projection of ``nn.MultiheadAttention``, which that module reads
    without calling it, weights that a parametrization computes, weights without values, and integer weights.

    Args:
        model: any module. It is only read.
        example_inputs: the model's inputs: a tensor, a tuple of positional arguments or a mapping of keyword arguments,
            with the batch as the first dimension. Methods that need an input take its shape from here. If the only
            argument is itself a mapping ``d``, pass ``(d,)``.
        exclude: the modules to leave out: a pattern of names such as ``"classifier*"``, a class of modules, or several
            of these. A matching module is left out with all its submodules, and so are layers that share its tensors.
        embeddings: whether to list the weights of embeddings, and of layers tied to them. SynFlow gives embeddings no
            score, because it treats embedded values as the network's input. SNIP, GraSP and magnitude score them.

    Returns:
        A list of ``(module, name)`` pairs, in the order of ``model.modules()``, that remembers the model.

    Raises:
        TypeError: if ``model`` is not a module, or ``exclude`` holds anything other than names and classes of modules.
        ValueError: if an item of ``exclude`` matches no module, or FSDP1 has flattened the model's parameters.

    Warns:
        UserWarning: if the list omits one weight in a hundred or more without being asked to. The warning gives the
            share that is listed and names the rest. Smaller shares are lines in the log ``"torch_synflow"``.

    Example:
        >>> model = nn.Sequential(
        ...     nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2)
        ... )
        >>> params = prunable_parameters(model, example_inputs=torch.rand(8, 1, 3, 3))
        >>> [(type(module).__name__, name) for module, name in params]
        [('Conv2d', 'weight'), ('Linear', 'weight')]
        >>> params.remove((model[3], "weight"))  # leave the classifier dense
        >>> len(params), params.model is model
        (1, True)
        >>> len(prunable_parameters(model, exclude=nn.Conv2d))
        1
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected an nn.Module, got {type(model).__name__}")
    refuse_flat_shards(model)
    excluded = _excluded(model, exclude)
    pairs = weights_of(model, embeddings=embeddings)
    _say(model, pairs, excluded)
    return PrunableParameters([pair for pair in pairs if id(_tensor(pair)) not in excluded], model, example_inputs)


def weights_of(model: nn.Module, *, embeddings: bool = False) -> list[Pair]:
    """The list of :func:`prunable_parameters`, without warnings."""
    tied = {id(p) for m in model.modules() if isinstance(m, _EMBEDDINGS) for p in m.parameters(recurse=False)}
    return [
        (module, name)
        for module in model.modules()
        for name, parameter in _held(module)
        if _multiplies(module, name, parameter, embeddings=embeddings)
        and (embeddings or id(parameter) not in tied)
        and not obstacle((module, name))
    ]


def _held(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of a module, by names without ``_orig``."""
    for name, parameter in module._parameters.items():
        if parameter is not None:
            bare = name.removesuffix("_orig")
            yield bare if f"{bare}_mask" in module._buffers else name, parameter


def _tensor(pair: Pair) -> nn.Parameter:
    return dict(_held(pair[0]))[pair[1]]


def _multiplies(module: nn.Module, name: str, parameter: Tensor, *, embeddings: bool) -> bool:
    if isinstance(module, (nn.Linear, Convolution, nn.Bilinear, *_of_transformers())):
        return name == "weight"
    if isinstance(module, _EMBEDDINGS):
        return embeddings and name == "weight"
    if isinstance(module, nn.MultiheadAttention):
        return name in _PROJECTIONS
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        return name.startswith("weight_")
    # experts have one matrix each; positions and tokens have one row for all examples, and scales have one column
    return not is_lazy(parameter) and parameter.dim() == 3 and min(parameter.shape) > 1


def _is_matrix(parameter: Tensor) -> bool:
    """Whether a parameter can multiply like a weight: not a vector, and not an offset with one row for all examples."""
    return parameter.numel() > max(parameter.shape, default=1) and (parameter.dim() == 2 or parameter.shape[0] > 1)


def _of_transformers() -> tuple[type[nn.Module], ...]:
    """The linear layer of GPT-2, if its library is in use."""
    layer = getattr(sys.modules.get("transformers.pytorch_utils"), "Conv1D", None)
    return () if layer is None else (layer,)


def _excluded(model: nn.Module, exclude: Exclude) -> set[int]:
    """The identities of the parameters of the matching modules."""
    found: set[int] = set()
    for item in [exclude] if isinstance(exclude, (str, type)) or not isinstance(exclude, Iterable) else list(exclude):
        if isinstance(item, str):
            matches = [module for name, module in model.named_modules() if fnmatchcase(name, item)]
        elif isinstance(item, type) and issubclass(item, nn.Module):
            matches = [module for module in model.modules() if isinstance(module, item)]
        else:
            raise TypeError(f"exclude: expected patterns of names and classes of modules, got {item!r}")
        if not matches:
            kind = repr(item) if isinstance(item, str) else item.__name__
            raise ValueError(
                f"exclude: expected something that matches a module, got {kind}, which matches none of "
                f"{type(model).__name__}; names are those of model.named_modules(), such as "
                f"{listed([name for name, _ in model.named_modules() if name])}"
            )
        found.update(id(parameter) for module in matches for parameter in module.parameters())
    return found


def _say(model: nn.Module, pairs: list[Pair], excluded: set[int]) -> None:
    """Report the share of the weights that is listed, and why the rest is not."""
    chosen = {id(_tensor(pair)) for pair in pairs}
    left: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    total = 0
    seen = set(excluded)
    for prefix, module in model.named_modules():
        for name, parameter in _held(module):
            lazy = is_lazy(parameter)
            weighs = _multiplies(module, name, parameter, embeddings=False) if lazy else _is_matrix(parameter)
            if id(parameter) in seen or not weighs:
                continue
            seen.add(id(parameter))
            size = 0 if lazy else parameter.numel()
            total += size
            if id(parameter) not in chosen:
                reason = _reason(module, name)
                left.setdefault(reason, []).append(f"{prefix}.{name}".removeprefix("."))
                sizes[reason] = sizes.get(reason, 0) + size
    if not left:
        return
    share = sum(sizes.values()) / total if total else 1.0
    shares = {reason: f", {size / total:.0%}" if size else "" for reason, size in sizes.items()}
    parts = [f"{listed(names)} ({reason}{shares[reason]})" for reason, names in left.items()]
    unknown = 0 in sizes.values()  # the sizes of lazy weights
    weights = "weights that have a shape" if unknown else "weights"
    message = f"prunable_parameters: lists {1 - share:.0%} of the model's {weights}; left out: {'; '.join(parts)}"
    if share >= _SMALL or unknown:
        warn_user(message)
    else:
        _log.info("%s", message)


def _reason(module: nn.Module, name: str) -> str:
    if isinstance(module, _EMBEDDINGS):
        return "embeddings; embeddings=True lists them"
    if name.endswith(("_orig", "_g", "_v")):
        return "inputs of a hook that computes a weight"
    return obstacle((module, name)) or "of unknown use; add the pairs that are factors yourself"
