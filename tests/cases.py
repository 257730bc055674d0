"""The table of methods and models that every contract test runs over, and what the tests measure models with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from torch_synflow import prune

CLASSES = 3
EXAMPLES = 12

Pair = tuple[nn.Module, str]


# --- networks -----------------------------------------------------------------------------------------------


class Residual(nn.Module):
    """A stem and one residual block whose shortcut is a 1x1 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.conv1 = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(6)
        self.shortcut = nn.Sequential(nn.Conv2d(4, 6, 1, stride=2, bias=False), nn.BatchNorm2d(6))
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn(self.stem(x)))
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return self.head(torch.relu(y + self.shortcut(x)).mean((2, 3)))


class TwoInputs(nn.Module):
    """A model that is called with two tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(5, 6)
        self.right = nn.Linear(4, 6)
        self.head = nn.Linear(6, CLASSES)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.head(torch.relu(self.left(left) + self.right(right)))


class Auxiliary(nn.Module):
    """A model that returns two outputs, as a tuple or by name."""

    def __init__(self, *, named: bool) -> None:
        super().__init__()
        self.named = named
        self.body = nn.Linear(5, 8)
        self.head = nn.Linear(8, CLASSES)
        self.auxiliary = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Any:
        x = torch.relu(self.body(x))
        logits, auxiliary = self.head(x), self.auxiliary(x)
        return {"logits": logits, "auxiliary": auxiliary} if self.named else (logits, auxiliary)


class TiedLayers(nn.Module):
    """Two linear layers that hold one weight, each with a bias of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(5, 6)
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)
        self.second.weight = self.first.weight
        self.head = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.second(torch.relu(self.first(torch.relu(self.embed(x)))))))


class TiedEmbedding(nn.Module):
    """A language model in small: the output layer holds the weight of the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(CLASSES, 6)
        self.body = nn.Linear(6, 6)
        self.head = nn.Linear(6, CLASSES, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(self.embedding(tokens).mean(1))))


class KeepsNotes(nn.Module):
    """A model whose forward pass writes to buffers, plain tensors, numbers and lists that it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(5, 8)
        self.head = nn.Linear(8, CLASSES)
        self.register_buffer("mean", torch.zeros(8))
        self.largest = torch.zeros(())
        self.calls = 0
        self.sizes: list[int] = []
        self.cache: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.sizes.append(len(x))
        self.cache = self.body(x)
        with torch.no_grad():
            self.mean.mul_(0.9).add_(self.cache.mean(0).detach(), alpha=0.1)
            self.largest.copy_(self.cache.detach().abs().max())
        return self.head(torch.relu(self.cache))


def _mlp(*, bias: bool = True) -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 8, bias=bias), nn.ReLU(), nn.Linear(8, CLASSES, bias=bias))


def _conv_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, CLASSES),
    )


def _mobile() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.Conv2d(4, 4, 3, groups=4, bias=False),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, groups=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(6 * 4, CLASSES),
    )


def _conv1d() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Conv1d(4, 3, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(6, CLASSES)
    )


def _conv3d() -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(1, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 8, CLASSES))


def _transposed() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2),
        nn.ReLU(),
        nn.ConvTranspose2d(4, 3, 2, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(3, CLASSES),
    )


def _strided_weight() -> nn.Sequential:
    model = _mlp()
    model[0].weight = nn.Parameter(model[0].weight.detach().t().contiguous().t())
    return model


def _few_values() -> nn.Sequential:
    """Weights that are -1/4, 0 or 1/4, so that many scores are zero and many are equal."""
    model = _mlp()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((4 * parameter).round() / 4)
    return model


def _dropout() -> nn.Sequential:
    return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, CLASSES))


def _frozen() -> nn.Sequential:
    model = _conv_net()
    for parameter in (*model[0].parameters(), *model[1].parameters()):
        parameter.requires_grad_(False)
    return model


def _mixed_modes() -> nn.Sequential:
    """BatchNorm that has seen data; one in evaluation mode inside a model in training mode."""
    model = _conv_net()
    for _ in range(2):
        model(torch.randn(6, 3, 6, 6))
    model[1].eval()
    return model


def _pruned_by_torch() -> nn.Sequential:
    model = _mlp()
    torch_prune.l1_unstructured(model[0], "weight", 0.4)
    return model


def _pruned_twice_by_torch() -> nn.Sequential:
    model = _conv_net()
    torch_prune.random_unstructured(model[0], "weight", 0.2)
    torch_prune.ln_structured(model[0], "weight", 1, n=1, dim=0)
    model.eval()
    return model


def _pruned_by_us() -> nn.Module:
    model = Residual()
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.3, example_inputs=torch.ones(1, 3, 6, 6), iterations=2)
    return model


# --- inputs and losses --------------------------------------------------------------------------------------


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
    ModelCase("mlp", _mlp, _normal(5)),
    ModelCase("mlp_without_bias", lambda: _mlp(bias=False), _normal(5)),
    ModelCase("mlp_of_few_values", _few_values, _normal(5)),
    ModelCase("mlp_with_strided_weight", _strided_weight, _normal(5)),
    ModelCase("mlp_in_float64", lambda: _mlp().double(), _normal(5, dtype=torch.float64)),
    ModelCase("mlp_in_bfloat16", lambda: _mlp().bfloat16(), _normal(5, dtype=torch.bfloat16), half=True),
    ModelCase("conv_in_float16", lambda: _conv_net().half(), _normal(3, 6, 6, dtype=torch.float16), half=True),
    ModelCase("conv", _conv_net, _normal(3, 6, 6)),
    ModelCase("conv_channels_last", lambda: _conv_net().to(memory_format=torch.channels_last), _normal(3, 6, 6)),
    ModelCase("conv1d", _conv1d, _normal(2, 8)),
    ModelCase("conv3d", _conv3d, _normal(1, 3, 3, 3)),
    ModelCase("conv_transposed", _transposed, _normal(3, 6, 6)),
    ModelCase("conv_grouped", _mobile, _normal(3, 6, 6)),
    ModelCase("residual", Residual, _normal(3, 6, 6)),
    ModelCase("tied_layers", TiedLayers, _normal(5)),
    ModelCase("tied_embedding", TiedEmbedding, _tokens),
    ModelCase("two_inputs", TwoInputs, _pair_of_tensors),
    ModelCase("named_outputs", lambda: Auxiliary(named=True), _normal(5), _named_logits),
    ModelCase("two_outputs", lambda: Auxiliary(named=False), _normal(5), _first_logits),
    ModelCase("keeps_notes", KeepsNotes, _normal(5)),
    ModelCase("dropout", _dropout, _normal(5), random=True),
    ModelCase("data_parallel", lambda: nn.DataParallel(_conv_net()).cpu(), _normal(3, 6, 6)),
    ModelCase("frozen_first_layer", _frozen, _normal(3, 6, 6)),
    ModelCase("mixed_modes", _mixed_modes, _normal(3, 6, 6)),
    ModelCase("pruned_by_torch", _pruned_by_torch, _normal(5)),
    ModelCase("pruned_twice_by_torch", _pruned_twice_by_torch, _normal(3, 6, 6)),
    ModelCase("pruned_by_us", _pruned_by_us, _normal(3, 6, 6)),
]


# --- methods ------------------------------------------------------------------------------------------------


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
    MethodCase(prune.SNIP, _data, scored=True),
    MethodCase(prune.GraSP, _data, scored=True, masks_matter=True),
    MethodCase(prune.GraSPLowest, _data, scored=True, masks_matter=True),
    MethodCase(prune.GraSPMagnitude, _data, scored=True, masks_matter=True),
    MethodCase(prune.IterativeSNIP, _data, scored=True),
    MethodCase(prune.FORCE, _data, scored=True),
    MethodCase(prune.GraSPIt, _data, scored=True, masks_matter=True),
    MethodCase(prune.SynapticSaliency, _data, scored=True),
    MethodCase(prune.TaylorFO, _data, scored=True),
    MethodCase(torch_prune.L1Unstructured, _nothing, scored=False),
    MethodCase(torch_prune.RandomUnstructured, _nothing, scored=False),
    MethodCase(LargestUnstructured, _nothing, scored=False),
]
SCORED = [case for case in METHODS if case.scored]


# --- what tests measure -------------------------------------------------------------------------------------


def prune_case(
    method: MethodCase, case: ModelCase, model: nn.Module, amount: float, **arguments: Any
) -> prune.PruningReport:
    """Prune all prunable weights of ``model`` in three iterations, unless ``arguments`` say otherwise."""
    parameters = prune.prunable_parameters(model)
    arguments = {"iterations": 3, **method.arguments(case), **arguments}
    return prune.global_iterative_unstructured(parameters, method.method, amount, **arguments)


def score_case(method: MethodCase, case: ModelCase, model: nn.Module) -> dict[Pair, Tensor]:
    """Scores of all prunable weights of ``model``."""
    assert issubclass(method.method, prune.SaliencyUnstructured)
    return method.method.scores(model, prune.prunable_parameters(model), **method.arguments(case))


def dense(pair: Pair) -> nn.Parameter:
    """The parameter behind ``(module, name)``, pruned or not."""
    module, name = pair
    return getattr(module, f"{name}_orig") if hasattr(module, f"{name}_orig") else getattr(module, name)


def mask_of(pair: Pair) -> Tensor:
    """The mask of ``(module, name)``, ones where it is not pruned."""
    module, name = pair
    mask: Tensor | None = getattr(module, f"{name}_mask", None)
    return torch.ones_like(dense(pair), requires_grad=False) if mask is None else mask


def distinct(model: nn.Module) -> list[Pair]:
    """The prunable weights of ``model``, those that are one tensor once."""
    first: dict[int, Pair] = {}
    for pair in prune.prunable_parameters(model):
        first.setdefault(id(dense(pair)), pair)
    return list(first.values())


def places(model: nn.Module) -> list[Pair]:
    """Every place of ``model`` that holds a prunable weight, tied embeddings included."""
    tensors = {id(dense(pair)) for pair in distinct(model)}
    return [
        (module, "weight")
        for module in model.modules()
        if getattr(module, "weight", None) is not None and id(dense((module, "weight"))) in tensors
    ]


def masks_of(model: nn.Module) -> list[Tensor]:
    """A copy of the mask of each prunable weight of ``model``."""
    return [mask_of(pair).clone() for pair in distinct(model)]


def alive_in(model: nn.Module) -> int:
    """How many entries of the prunable weights of ``model`` are kept."""
    return sum(int(mask.sum(dtype=torch.int64)) for mask in masks_of(model))


class Same:
    """An object that equals only itself, and lives as long as the comparison needs it."""

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.value is self.value

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self.value).__name__} at {id(self.value):#x}>"


def bits(tensor: Tensor) -> bytes:
    """The bits of ``tensor``'s values in logical order; ``-0.0`` and ``0.0`` differ, a NaN equals itself."""
    return bytes(tensor.detach().contiguous().reshape(-1).view(torch.uint8).tolist())


def _tensor(tensor: Tensor) -> dict[str, Any]:
    grad = tensor.grad if tensor.is_leaf else None
    return {
        "object": Same(tensor),
        "bits": bits(tensor),
        "layout": (tensor.dtype, tensor.device, tensor.shape, tensor.stride(), tensor.data_ptr()),
        "version": tensor._version,
        "requires_grad": tensor.requires_grad,
        "grad": (Same(grad), None if grad is None else bits(grad)),
        "grad_fn": Same(tensor.grad_fn),
        "hooks": [Same(hook) for hook in (getattr(tensor, "_backward_hooks", None) or {}).values()],
    }


def _value(value: object) -> object:
    if isinstance(value, Tensor):
        return _tensor(value)
    if isinstance(value, dict):
        return Same(value), [(key, _value(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return Same(value), [_value(item) for item in value]
    if isinstance(value, set):
        return Same(value), set(value)
    if isinstance(value, torch_prune.BasePruningMethod):
        return Same(value), [(key, _value(item)) for key, item in vars(value).items()]
    return Same(value)


def fingerprint(model: nn.Module) -> dict[str, Any]:
    """Everything that a failed call or a read must leave alone, comparable with ``==``.

    Of every module: its identity, each attribute in order (so the training flag, parameters, buffers, hooks of
    all kinds with the state of pruning hooks, submodules, plain attributes), of every tensor its identity, bits,
    memory, gradient, ``requires_grad``, hooks and version (in-place writes); and torch's random state.
    """
    found: dict[str, Any] = {
        path: (Same(module), [(key, _value(value)) for key, value in vars(module).items()])
        for path, module in model.named_modules()
    }
    found["random state"] = bits(torch.get_rng_state())
    return found
