"""The table of methods and models that every contract test runs over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from tests.masks import Pair, listed
from tests.models import (
    CLASSES,
    Auxiliary,
    KeepsNotes,
    Residual,
    TiedEmbedding,
    TiedLayers,
    TwoInputs,
    conv1d,
    conv3d,
    conv_net,
    dropout,
    few_values,
    frozen,
    mixed_modes,
    mlp,
    mobile,
    pruned_by_torch,
    pruned_by_us,
    pruned_twice_by_torch,
    strided_weight,
    transposed,
)
from torch_synflow import prune

EXAMPLES = 12
#: inputs and targets for the networks that take five features
BATCH = (torch.rand(12, 5, generator=torch.Generator().manual_seed(3)), torch.arange(12) % 3)


def _logits(outputs: Any, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets)


def _named_logits(outputs: Any, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs["logits"], targets) + 0.3 * F.cross_entropy(outputs["auxiliary"], targets)


def _first_logits(outputs: Any, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs[0], targets) + 0.3 * F.cross_entropy(outputs[1], targets)


def _normal(*shape: int, dtype: torch.dtype = torch.float32) -> Callable[[torch.Generator], Any]:
    return lambda generator: torch.randn(EXAMPLES, *shape, generator=generator).to(dtype)


def _pair_of_tensors(generator: torch.Generator) -> Any:
    return torch.randn(EXAMPLES, 5, generator=generator), torch.randn(EXAMPLES, 4, generator=generator)


def _tokens(generator: torch.Generator) -> Any:
    return torch.randint(CLASSES, (EXAMPLES, 4), generator=generator)


@dataclass(frozen=True)
class ModelCase:
    """A network with what it is called with.

    Attributes:
        name: in the ids of the tests.
        make: builds the network from torch's random state.
        draw: draws its inputs from a generator.
        loss_fn: ``loss_fn(outputs, targets)``.
        random: whether its forward pass in training mode draws random numbers.
        half: whether it is in a precision that the CPU does not run on every version of torch.
    """

    name: str
    make: Callable[[], nn.Module]
    draw: Callable[[torch.Generator], Any]
    loss_fn: Callable[[Any, Any], Tensor] = _logits
    random: bool = False
    half: bool = False

    def build(self) -> nn.Module:
        """The network, the same at each call; torch's random state stays as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(7)
            return self.make()

    def inputs(self) -> Any:
        """A batch of inputs, the same at each call."""
        return self.draw(torch.Generator().manual_seed(11))

    def batch(self) -> tuple[Any, Tensor]:
        """Inputs and targets, the same at each call."""
        return self.inputs(), torch.arange(EXAMPLES) % CLASSES

    def runnable(self, model: nn.Module) -> nn.Module:
        """``model`` in a precision that every CPU runs, and without a wrapper that looks for other devices."""
        model = model.module if isinstance(model, nn.DataParallel) else model
        return model.float() if self.half else model

    def outputs(self, model: nn.Module) -> Any:
        """What ``runnable(model)`` returns."""
        inputs = self.inputs()
        if self.half:
            inputs = inputs.float()
        return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


MODELS = [
    ModelCase("mlp", mlp, _normal(5)),
    ModelCase("mlp_without_bias", lambda: mlp(bias=False), _normal(5)),
    ModelCase("mlp_of_few_values", few_values, _normal(5)),
    ModelCase("mlp_with_strided_weight", strided_weight, _normal(5)),
    ModelCase("mlp_in_float64", lambda: mlp().double(), _normal(5, dtype=torch.float64)),
    ModelCase("mlp_in_bfloat16", lambda: mlp().bfloat16(), _normal(5, dtype=torch.bfloat16), half=True),
    ModelCase("conv_in_float16", lambda: conv_net().half(), _normal(3, 6, 6, dtype=torch.float16), half=True),
    ModelCase("conv", conv_net, _normal(3, 6, 6)),
    ModelCase("conv_channels_last", lambda: conv_net().to(memory_format=torch.channels_last), _normal(3, 6, 6)),
    ModelCase("conv1d", conv1d, _normal(2, 8)),
    ModelCase("conv3d", conv3d, _normal(1, 3, 3, 3)),
    ModelCase("conv_transposed", transposed, _normal(3, 6, 6)),
    ModelCase("conv_grouped", mobile, _normal(3, 6, 6)),
    ModelCase("residual", Residual, _normal(3, 6, 6)),
    ModelCase("tied_layers", TiedLayers, _normal(5)),
    ModelCase("tied_embedding", TiedEmbedding, _tokens),
    ModelCase("two_inputs", TwoInputs, _pair_of_tensors),
    ModelCase("named_outputs", lambda: Auxiliary(named=True), _normal(5), _named_logits),
    ModelCase("two_outputs", lambda: Auxiliary(named=False), _normal(5), _first_logits),
    ModelCase("keeps_notes", KeepsNotes, _normal(5)),
    ModelCase("dropout", dropout, _normal(5), random=True),
    ModelCase("data_parallel", lambda: nn.DataParallel(conv_net()).cpu(), _normal(3, 6, 6)),
    ModelCase("frozen_first_layer", frozen, _normal(3, 6, 6)),
    ModelCase("mixed_modes", mixed_modes, _normal(3, 6, 6)),
    ModelCase("pruned_by_torch", pruned_by_torch, _normal(5)),
    ModelCase("pruned_twice_by_torch", pruned_twice_by_torch, _normal(3, 6, 6)),
    ModelCase("pruned_by_us", pruned_by_us, _normal(3, 6, 6)),
]


class LargestUnstructured(torch_prune.BasePruningMethod):
    """A method as a user writes one from torch's tutorial: removes the largest weights, signs included."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: float) -> None:
        self.amount = amount

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = self.amount if isinstance(self.amount, int) else round(self.amount * t.numel())
        mask = default_mask.clone()
        mask.view(-1)[t.view(-1).argsort(descending=True)[:count]] = 0
        return mask


def _nothing(model: ModelCase) -> dict[str, Any]:
    return {}


def _example_inputs(model: ModelCase) -> dict[str, Any]:
    return {"example_inputs": model.inputs()}


def _data(model: ModelCase) -> dict[str, Any]:
    return {"data": model.batch(), "loss_fn": model.loss_fn}


def _few_data(model: ModelCase) -> dict[str, Any]:
    """For a method with a gradient for each example and output."""
    inputs, targets = model.batch()
    few = tuple(x[:4] for x in inputs) if isinstance(inputs, (tuple, list)) else inputs[:4]
    return {"data": (few, targets[:4]), "loss_fn": model.loss_fn}


@dataclass(frozen=True)
class MethodCase:
    """A pruning method with the arguments that it needs besides the model.

    Attributes:
        method: the class.
        arguments: keyword arguments for ``global_iterative_unstructured`` on a model of the table.
        scored: whether it is one of ours, which reads the model.
        masks_matter: whether weights that are zero without a mask change the scores: GraSP's gradient is that of
            the kept weights, and GraSP-It's score of a weight is not zero where the weight is.
    """

    method: type[torch_prune.BasePruningMethod]
    arguments: Callable[[ModelCase], dict[str, Any]]
    scored: bool
    masks_matter: bool = False

    @property
    def name(self) -> str:
        """In the ids of the tests."""
        return self.method.__name__

    @property
    def returning(self) -> bool:
        """Whether pruned entries may return within one call."""
        return self.scored and self.method.pruned_may_return  # type: ignore[attr-defined,no-any-return]


METHODS = [
    MethodCase(prune.SynFlow, _example_inputs, scored=True),
    MethodCase(prune.BalancedSynFlow, _example_inputs, scored=True),
    MethodCase(prune.SNIP, _data, scored=True),
    MethodCase(prune.GraSP, _data, scored=True, masks_matter=True),
    MethodCase(prune.GraSPLowest, _data, scored=True, masks_matter=True),
    MethodCase(prune.GraSPMagnitude, _data, scored=True, masks_matter=True),
    MethodCase(prune.IterativeSNIP, _data, scored=True),
    MethodCase(prune.FORCE, _data, scored=True),
    MethodCase(prune.GraSPIt, _data, scored=True, masks_matter=True),
    MethodCase(prune.SynapticSaliency, _data, scored=True),
    MethodCase(prune.TaylorFO, _data, scored=True),
    MethodCase(prune.OptimalBrainDamage, _few_data, scored=True),
    MethodCase(torch_prune.L1Unstructured, _nothing, scored=False),
    MethodCase(torch_prune.RandomUnstructured, _nothing, scored=False),
    MethodCase(LargestUnstructured, _nothing, scored=False),
]


SCORED = [case for case in METHODS if case.scored]


def prune_case(
    method: MethodCase, case: ModelCase, model: nn.Module, amount: float, **arguments: Any
) -> prune.PruningReport:
    """Prune all prunable weights of ``model`` in three iterations, unless ``arguments`` say otherwise."""
    parameters = listed(model)
    arguments = {"iterations": 3, **method.arguments(case), **arguments}
    return prune.global_iterative_unstructured(parameters, method.method, amount, **arguments)


def score_case(method: MethodCase, case: ModelCase, model: nn.Module) -> dict[Pair, Tensor]:
    """Scores of all prunable weights of ``model``."""
    assert issubclass(method.method, prune.SaliencyUnstructured)
    return method.method.scores(model, listed(model), **method.arguments(case))
