"""The cost of a pruned model in parameters and FLOPs, and the cost of finding its masks in passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils.prune import BasePruningMethod

from torch_synflow._drawing import bar_positions
from torch_synflow._reporting import Report, Table
from torch_synflow.flow.positive import positive_input
from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.model.masks import entries_of
from torch_synflow.model.parameters import ExampleInputs, Parameters, unwrap
from torch_synflow.reachability.from_inputs import Inspection
from torch_synflow.scoring.opening import opened

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class LayerCost:
    """The cost of one layer.

    Attributes:
        name: the name of its weight.
        kept: the number of weights kept.
        total: the number of weights, including pruned ones.
        flops: floating-point operations of its module for one example, with all weights.
        sparse_flops: the share of ``flops`` of the weights that are kept.
    """

    name: str
    kept: int
    total: int
    flops: int
    sparse_flops: float


@dataclass(frozen=True, repr=False)
class Cost(Report):
    """Parameters and FLOPs of a model for one example, dense and sparse; prints as a table.

    ``draw`` shows dense and sparse FLOPs of each layer.

    Attributes:
        layers: one per tensor that is or may be pruned.
        other_parameters: elements of all other parameters, which are dense.
        other_flops: all other operations that torch counts.
    """

    layers: tuple[LayerCost, ...]
    other_parameters: int
    other_flops: int

    @property
    def parameters(self) -> int:
        """All parameters of the model."""
        return sum(layer.total for layer in self.layers) + self.other_parameters

    @property
    def kept_parameters(self) -> int:
        """All parameters that are not pruned."""
        return sum(layer.kept for layer in self.layers) + self.other_parameters

    @property
    def flops(self) -> int:
        """Dense FLOPs of one example."""
        return sum(layer.flops for layer in self.layers) + self.other_flops

    @property
    def sparse_flops(self) -> float:
        """FLOPs of one example if only kept weights cost any. This is a bound, because zeros alone save no time."""
        return sum(layer.sparse_flops for layer in self.layers) + self.other_flops

    @property
    def verdict(self) -> str:
        """The remaining parameters and FLOPs, in one line."""
        parameters = f"{self.kept_parameters:,} of {self.parameters:,} parameters"
        return f"{parameters} and {self.sparse_flops:,.0f} of {self.flops:,} FLOPs are left"

    def _table(self) -> Table:
        """One line per tensor, then all else and the sum."""
        rows = [(layer.name, layer.kept, layer.total, layer.sparse_flops, layer.flops) for layer in self.layers]
        rows.append(("other", self.other_parameters, self.other_parameters, float(self.other_flops), self.other_flops))
        rows.append(("all", self.kept_parameters, self.parameters, self.sparse_flops, self.flops))
        cells = [[name, *(f"{number:,.0f}" for number in numbers)] for name, *numbers in rows]
        return ["layer", "kept", "parameters", "sparse FLOPs", "FLOPs"], cells

    def _draw(self, ax: Axes) -> None:
        places = bar_positions(ax, [layer.name.removesuffix(".weight") for layer in self.layers])
        ax.bar(places, [layer.flops for layer in self.layers], color="0.8", label="dense")
        ax.bar(places, [layer.sparse_flops for layer in self.layers], width=0.5, label="sparse")
        ax.set_ylabel("FLOPs for one example")
        ax.legend()


def cost(model: nn.Module, example_inputs: ExampleInputs, parameters: Parameters | None = None) -> Cost:
    """Count the kept parameters, and the FLOPs of one example with torch's own counter.

    A multiplication and an addition count as two operations. The sparse count multiplies the operations of each layer
    by its density. Torch counts matrix products, convolutions and attention.

    Args:
        model: any model, pruned or not. It is only read.
        example_inputs: the model's inputs, with the batch as the first dimension; only shapes matter.
        parameters: ``(module, name)`` pairs; by default all prunable weights and every other parameter with a mask.

    Returns:
        The numbers of each layer, which print as a table.

    Raises:
        TypeError, ValueError: if the model has nothing to prune, or ``example_inputs`` is missing.

    Source: ``torch.utils.flop_counter``.

    Example:
        >>> from torch_synflow import diagnostics
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> _ = prune.random_unstructured(model[0], "weight", amount=0.75)
        >>> print(diagnostics.cost(model, torch.rand(16, 4)))
        34 of 58 parameters and 48 of 96 FLOPs are left
        layer     kept  parameters  sparse FLOPs  FLOPs
        0.weight     8          32            16     64
        2.weight    16          16            32     32
        other       10          10             0      0
        all         34          58            48     96
    """
    from torch.utils.flop_counter import FlopCounterMode  # imported here because it imports a lot

    entries = entries_of(model, parameters)
    network = Inspection.network_of(model, example_inputs, entries)
    spent: dict[nn.Module, int] = {}

    def count() -> int:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            for module in {module for entry in entries for module, _ in entry.locations}:
                started: list[int] = []

                def start(module: nn.Module, args: Any, started: list[int] = started) -> None:
                    started.append(counter.get_total_flops())

                def stop(module: nn.Module, args: Any, output: Any, started: list[int] = started) -> None:
                    spent[module] = spent.get(module, 0) + counter.get_total_flops() - started.pop()

                module.register_forward_pre_hook(start)  # the model is open, and is restored later
                module.register_forward_hook(stop)
            network(network.weights, network.prepared(positive_input(example_inputs)))
            return int(counter.get_total_flops())

    every = opened(network, count, training=False)
    layers = []
    for entry in entries:
        kept = entry.alive
        # in a module with several such parameters, the operations go through the largest one, a weight
        modules = {module for module, _ in entry.locations if _largest(entries, module) is entry}
        flops = sum(spent.get(module, 0) for module in modules)
        layers.append(LayerCost(entry.label, kept, entry.total, flops, flops * kept / max(entry.total, 1)))
    parameters_in_all = sum(parameter.numel() for parameter in unwrap(model).parameters())
    return Cost(
        tuple(layers),
        other_parameters=parameters_in_all - sum(entry.total for entry in entries),
        other_flops=every - sum(layer.flops for layer in layers),
    )


def _largest(entries: list[Any], module: nn.Module) -> Any:
    own = [entry for entry in entries if any(place is module for place, _ in entry.locations)]
    return max(own, key=lambda entry: entry.total)


def passes(
    pruning_method: type[BasePruningMethod],
    *,
    examples: int | None = None,
    iterations: int | None = None,
) -> int:
    """The cost of finding the masks: iterations times examples per iteration.

    Args:
        pruning_method: a method. A method that reads no model, such as magnitude or random pruning, costs no pass.
        examples: the number of examples per iteration, for methods that need data (ten per class in the papers).
        iterations: the number of iterations; by default the method's own.

    Returns:
        The number of examples that pass forward and backward. It is 100 for SynFlow, and for SNIP and GraSP 1,000 on
        CIFAR-100 and 10,000 on ImageNet.

    Raises:
        TypeError, ValueError: if ``pruning_method`` is not a method, or reads data and ``examples`` is missing.

    Source: Tanaka et al. 2020, section 6, "Computational cost of SynFlow".

    Example:
        >>> from torch_synflow import diagnostics
        >>> diagnostics.passes(prune.SynFlow), diagnostics.passes(prune.SNIP, examples=10 * 100)
        (100, 1000)
    """
    if not (isinstance(pruning_method, type) and issubclass(pruning_method, BasePruningMethod)):
        raise TypeError(f"pruning_method: expected a BasePruningMethod class, got {pruning_method!r}")
    for name, value in (("examples", examples), ("iterations", iterations)):
        if value is not None and value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    if not issubclass(pruning_method, SaliencyUnstructured):
        return 0
    if "data" not in pruning_method.needs:
        examples = 1
    if examples is None:
        raise ValueError(
            f"examples: {pruning_method.__name__} reads data, expected the number of its examples, got none; the "
            "papers use ten per class"
        )
    return (pruning_method.iterations if iterations is None else iterations) * examples
