"""The weights of a model that are pruned by default, and what is said of those that are not."""

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

#: what a model is called with: a tensor, a tuple or list of positional arguments, or a mapping of keyword arguments
ExampleInputs = Tensor | tuple[Any, ...] | list[Any] | Mapping[str, Any]
#: a pattern of names, a class of modules, or several of these
Exclude = str | type[nn.Module] | Iterable[str | type[nn.Module]]

_PROJECTIONS = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)
#: below this share of the weights what is left out is a line in the log rather than a warning
_SMALL = 0.01


class PrunableParameters(list[Pair]):
    """A list of ``(module, name)`` pairs that remembers its model and an example of its inputs.

    It is a list in every respect: entries can be removed, and torch's own functions take it.

    Attributes:
        model: the model that the modules belong to.
        example_inputs: what the model is called with, or ``None``.
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
    """List the weights of a model that multiply: of linear, convolution and recurrent layers, attention and experts.

    Biases and normalisation are left out, and so are embeddings unless they are asked for. So is what a pruning hook
    cannot work on: the output projection of ``nn.MultiheadAttention``, which that module reads without calling it, a
    weight that a parametrization computes, one without values or of integers. A layer that is tied to an embedding is
    one with it.

    Args:
        model: any module. It is only read.
        example_inputs: what the model is called with: a tensor, a tuple of positional arguments or a mapping
            of keyword arguments, the first dimension being the batch. Methods that need an input take its
            shape from here. A model whose one argument is a mapping ``d`` is given it as ``(d,)``.
        exclude: what to leave out: a pattern of names such as ``"classifier*"``, a class of modules, or several of
            these. A module that matches is left out with all that it contains.
        embeddings: whether to list the weights of embeddings too, and of layers tied to them. SynFlow gives these no
            score, as it reads what is embedded as the network's input; SNIP, GraSP and magnitude do.

    Returns:
        A list of ``(module, name)`` pairs, in the order of ``model.modules()``, that remembers the model.

    Raises:
        TypeError: if ``model`` is no module, or ``exclude`` holds something else than names and classes of modules.
        ValueError: if something in ``exclude`` matches no module, or FSDP1 has flattened the model's parameters.

    Warns:
        UserWarning: with the share of the weights that is listed and what is not, where one in a hundred is not and
            nobody asked for that. Smaller shares are lines in the log ``"torch_synflow"``.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
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
    return PrunableParameters([pair for pair in pairs if pair[0] not in excluded], model, example_inputs)


def weights_of(model: nn.Module, *, embeddings: bool = False) -> list[Pair]:
    """What :func:`prunable_parameters` lists, without a word."""
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
    """The parameters of a module by the names without ``_orig``."""
    for name, parameter in module._parameters.items():
        if parameter is not None:
            bare = name.removesuffix("_orig")
            yield bare if f"{bare}_mask" in module._buffers else name, parameter


def _multiplies(module: nn.Module, name: str, parameter: Tensor, *, embeddings: bool) -> bool:
    if isinstance(module, (nn.Linear, Convolution, nn.Bilinear, *_of_transformers())):
        return name == "weight"
    if isinstance(module, _EMBEDDINGS):
        return embeddings and name == "weight"
    if isinstance(module, nn.MultiheadAttention):
        return name in _PROJECTIONS
    if isinstance(module, (nn.RNNBase, nn.RNNCellBase)):
        return name.startswith("weight_")
    # a matrix for each expert, where positions and tokens have one row for all examples, and scales a column
    return not is_lazy(parameter) and parameter.dim() == 3 and min(parameter.shape) > 1


def _is_matrix(parameter: Tensor) -> bool:
    """Whether a parameter may multiply as a weight does: no vector, and no offset with one row for all examples."""
    return parameter.numel() > max(parameter.shape, default=1) and (parameter.dim() == 2 or parameter.shape[0] > 1)


def _of_transformers() -> tuple[type[nn.Module], ...]:
    """The linear layer of GPT-2, where the library that it comes from is in use."""
    layer = getattr(sys.modules.get("transformers.pytorch_utils"), "Conv1D", None)
    return () if layer is None else (layer,)


def _excluded(model: nn.Module, exclude: Exclude) -> set[nn.Module]:
    """The modules that match, with all that they contain."""
    found: set[nn.Module] = set()
    for item in [exclude] if isinstance(exclude, (str, type)) else list(exclude):
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
        found.update(inner for module in matches for inner in module.modules())
    return found


def _say(model: nn.Module, pairs: list[Pair], excluded: set[nn.Module]) -> None:
    """Say what share of the weights is listed, and why the rest is not."""
    chosen = {id(parameter) for module, name in pairs for held, parameter in _held(module) if held == name}
    left: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    total = 0
    seen: set[int] = set()
    for prefix, module in model.named_modules():
        for name, parameter in _held(module):
            if id(parameter) in seen or module in excluded or is_lazy(parameter) or not _is_matrix(parameter):
                continue
            seen.add(id(parameter))
            total += parameter.numel()
            if id(parameter) not in chosen:
                reason = _reason(module, name)
                left.setdefault(reason, []).append(f"{prefix}.{name}".removeprefix("."))
                sizes[reason] = sizes.get(reason, 0) + parameter.numel()
    if not left or not total:
        return
    share = sum(sizes.values()) / total
    parts = [f"{listed(names)} ({reason}, {sizes[reason] / total:.0%})" for reason, names in left.items()]
    message = f"prunable_parameters: lists {1 - share:.0%} of the model's weights; left out: {'; '.join(parts)}"
    if share >= _SMALL:
        warn_user(message)
    else:
        _log.info("%s", message)


def _reason(module: nn.Module, name: str) -> str:
    if isinstance(module, _EMBEDDINGS):
        return "embeddings; embeddings=True lists them"
    if name.endswith(("_orig", "_g", "_v")):
        return "what a hook computes a weight from"
    return obstacle((module, name)) or "read in a way that is not known; add the pairs that multiply yourself"
