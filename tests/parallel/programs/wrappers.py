"""What works on a model that is wrapped, and what FSDP1's is refused."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.nn.parallel import DistributedDataParallel

from tests.parallel.programs.ranks import error_of, join, own_batches, save, small_net
from tests.parallel.programs.replicas import step
from torch_synflow import diagnostics, prune, rewinding

X = torch.rand(1, 8)
CPU = torch.device("cpu")


def fsdp1() -> dict[str, Any]:
    """Everything that is refused, and what is advised instead."""
    found: dict[str, Any] = {}
    for keeps_names in (False, True):
        net = small_net().float()
        wrapped = FullyShardedDataParallel(net, use_orig_params=keeps_names, device_id=CPU)
        calls = {
            "model": lambda net=wrapped: prune.global_iterative_unstructured(net, prune.L1Unstructured, 0.5),
            "synflow": lambda net=wrapped: prune.global_iterative_unstructured(
                net, prune.SynFlow, 0.5, example_inputs=X
            ),
            "list": lambda net=wrapped: prune.prunable_parameters(net),
            "scores": lambda net=wrapped: prune.synflow_scores(net, X),
            "masks": lambda net=wrapped: prune.masks(net),
            "shrink": lambda net=wrapped: prune.shrink(net, X),
        }
        if keeps_names:
            pairs = [(net[0], "weight"), (net[3], "weight")]
            calls["pairs"] = lambda pairs=pairs: prune.global_iterative_unstructured(pairs, prune.L1Unstructured, 0.5)
        found |= {f"{name}, {keeps_names}": error_of(call) for name, call in calls.items()}
        net = small_net()
        prune.global_iterative_unstructured(net, prune.SynFlow, 0.5, example_inputs=X, iterations=2)
        mask = net[0].weight_mask.clone()
        weight = net[0].weight.clone()
        model = FullyShardedDataParallel(net, use_orig_params=keeps_names, device_id=CPU)
        for _ in range(2):  # a step is in the weights of the next forward pass
            step(model, own_batches()[0])
        found[f"before, {keeps_names}"] = mask, weight, net[0].weight.detach().clone()
    return found


def ddp() -> dict[str, Any]:
    """The rest of the package on a model in DistributedDataParallel."""
    net = small_net()
    model = DistributedDataParallel(net)
    report = prune.global_iterative_unstructured(model, prune.SynFlow, 0.9, example_inputs=X)
    found: dict[str, Any] = {"report": str(report), "cost": str(diagnostics.cost(model, X.double()))}
    found["neurons"] = str(diagnostics.neuron_collapse(model))
    masks = prune.masks(model)
    other = small_net()
    prune.apply_masks(DistributedDataParallel(other), masks)
    found["applied"] = [torch.equal(a, b) for a, b in zip(net.buffers(), other.buffers(), strict=True)]
    start = rewinding.take_snapshot(model)
    step(model, own_batches()[0])
    rewinding.rewind(model, start)
    small = prune.shrink(model, X.double())
    with torch.no_grad():
        batch = own_batches()[0][0]
        found["shrunk"] = net.eval()(batch), small.eval()(batch), type(small).__name__
    prune.remove_all(model)
    found["removed"] = prune.is_pruned(net)
    return found


def main() -> None:
    join(60)
    warnings.simplefilter("ignore")
    save({"fsdp1": fsdp1(), "ddp": ddp()})


if __name__ == "__main__":
    main()
