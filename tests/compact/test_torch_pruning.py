"""What goes together by torch-pruning's dependency graph goes together here; cutting there gives the same network."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.compact.nets import emptied
from torch_synflow import prune
from torch_synflow._torch.classes import BatchNorm
from torch_synflow.compact.choice import choose
from torch_synflow.compact.copies import copied, dense
from torch_synflow.compact.slicing import Indices, indices_by_name
from torch_synflow.compact.trace import follow

tp = pytest.importorskip("torch_pruning")
pytest.importorskip("torchvision")

NAMES = ("resnet18", "vgg16_bn", "mobilenet_v2")
#: functions of torch-pruning that cut inputs, and those that cut outputs; each of all kinds of layers
INPUTS = {tp.prune_conv_in_channels, tp.prune_linear_in_channels}
Cuts = dict[tuple[str, int], set[int]]


def built(name: str) -> tuple[nn.Module, Tensor]:
    from benchmarks.training.networks import NETWORKS

    torch.manual_seed(0)
    return emptied(NETWORKS[name](10, 3, 32), 0, part=0.6), torch.randn(2, 3, 32, 32)


def indices(model: nn.Module, x: Tensor) -> dict[str, Indices]:
    """The indices that ``shrink`` keeps of each parameter."""
    plain = copied(model)
    tracer, _ = follow(plain, x, dense(plain), {})
    return indices_by_name(tracer, choose(tracer, tracer.cells.settled()), plain)


def ours(model: nn.Module, x: Tensor) -> Cuts:
    """The outputs and inputs of each layer that go; of a depthwise convolution they are one."""
    found: Cuts = {}
    for name, kept in indices(model, x).items():
        layer, _, parameter = name.rpartition(".")
        if parameter == "weight":
            shape = model.get_submodule(layer).weight.shape
            for axis, left in kept.items():
                found[layer, axis] = set(range(shape[axis])) - set(left.tolist())
    return found


def groups(model: nn.Module, x: Tensor, cuts: Cuts) -> list[Cuts]:
    """For the outputs of each layer that go: all that goes with them by torch-pruning."""
    graph = tp.DependencyGraph().build_dependency(model, example_inputs=x)
    names = {id(module): name for name, module in model.named_modules()}
    found = []
    for (name, axis), gone in cuts.items():
        layer = model.get_submodule(name)
        if axis or isinstance(layer, BatchNorm) or getattr(layer, "groups", 1) > 1:
            continue
        cut = tp.prune_linear_out_channels if isinstance(layer, nn.Linear) else tp.prune_conv_out_channels
        group: Cuts = {}
        for dependency, places in graph.get_pruning_group(layer, cut, idxs=sorted(gone)):
            if id(dependency.target.module) in names:
                key = names[id(dependency.target.module)], int(dependency.handler in INPUTS)
                group.setdefault(key, set()).update(places)
        found.append(group)
    return found


@pytest.mark.filterwarnings("ignore")  # of torch-pruning's own code
@pytest.mark.parametrize("name", NAMES)
def test_groups_are_those_of_torch_pruning(name: str) -> None:
    model, x = built(name)
    plain = copied(model)
    prune.remove_all(plain)
    cuts = ours(model, x)
    together: Cuts = {}
    for group in groups(plain, x, cuts):
        for key, gone in group.items():
            together.setdefault(key, set()).update(gone)
    assert sum(map(len, cuts.values())) > 100
    assert {key: gone for key, gone in together.items() if gone} == cuts


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_cutting_by_torch_pruning_gives_the_same_network(name: str) -> None:
    model, x = built(name)
    small = prune.shrink(model, x)
    prune.remove_all(small)
    other = copied(model)
    prune.remove_all(other)
    for (layer, axis), gone in ours(model, x).items():
        module: Any = other.get_submodule(layer)
        kind = "linear" if isinstance(module, nn.Linear) else "batchnorm" if isinstance(module, BatchNorm) else "conv"
        if getattr(module, "groups", 1) > 1:
            kind = "depthwise_conv"
        getattr(tp, f"prune_{kind}_{('out', 'in')[axis]}_channels")(module, sorted(gone))
    assert {key: value.shape for key, value in other.state_dict().items()} == {
        key: value.shape for key, value in small.state_dict().items()
    }
    torch.testing.assert_close(other.eval()(x), small.eval()(x), rtol=1e-4, atol=1e-5)
