"""Ranks that hold the same model prune it, by every kind of method, before and after it is wrapped."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tests.parallel.programs.ranks import all_batches, join, masks_of, own_batches, save, small_net
from torch_synflow import parallel, prune

DATA = {"SNIP": {}, "GraSP": {}, "IterativeSNIP": {"iterations": 4}, "FORCE": {"iterations": 4}}
FREE = {
    "SynFlow": {"iterations": 5},
    "BalancedSynFlow": {"iterations": 3},
    "L1Unstructured": {},
    "RandomUnstructured": {},
}
WRAPPED: dict[str, dict[str, Any]] = {
    "buffers": {"broadcast_buffers": False},
    "static": {"static_graph": True},
    "unused": {"find_unused_parameters": True},
}


def pruned(name: str, model: nn.Module, batches: Any, **settings: Any) -> dict[str, torch.Tensor]:
    """The masks that a method of this name leaves."""
    given: dict[str, Any] = {"data": batches, "loss_fn": F.cross_entropy} if name in DATA else {}
    if "SynFlow" in name:
        given = {"example_inputs": torch.rand(1, 8)}
    prune.global_iterative_unstructured(model, getattr(prune, name), 0.7, **given, **settings)
    return masks_of(model.module if isinstance(model, DistributedDataParallel) else model)


def both(rank: int) -> dict[str, Any]:
    """Each method on all ranks, and on one process with all data."""
    found = {}
    for name, settings in {**DATA, **FREE}.items():
        torch.manual_seed(7 + rank)  # ranks draw different numbers, and are in the state of no other
        net = small_net()
        torch.manual_seed(7 + rank)
        shared = pruned(name, net, own_batches(), **settings)
        with parallel.alone():
            net = small_net()
            torch.manual_seed(7)  # as the first rank
            found[name] = shared, pruned(name, net, all_batches(), **settings)
    return found


def wrapped(rank: int) -> dict[str, Any]:
    """Each way to wrap: the masks, and the weights after some steps of training."""
    found = {}
    for kind, settings in WRAPPED.items():
        net = small_net()
        net[1].running_var.add_(rank)  # buffers of this rank's own
        model = DistributedDataParallel(net, **settings)
        if kind == "buffers":
            net[1].running_var.add_(rank)
        if kind == "unused":
            step(model, own_batches()[0])  # pruned in the middle of training
        masks = pruned("SNIP", model, own_batches()) if kind == "static" else pruned("SynFlow", model, None)
        for _ in range(2):
            step(model, own_batches()[0])
        found[kind] = masks, [parameter.detach().clone() for parameter in net.parameters()], prune.masks(model)
    return found


def step(model: nn.Module, batch: Any) -> None:
    """One step of training."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    F.cross_entropy(model(batch[0]), batch[1]).backward()
    optimizer.step()
    optimizer.zero_grad()


def scored() -> dict[str, Any]:
    """Scores of all data, and a bound class in the hands of torch's functions."""
    net, ours = small_net(), own_batches()
    scores = prune.snip_scores(net, ours, F.cross_entropy)
    with parallel.alone():
        one = prune.snip_scores(net, all_batches(), F.cross_entropy)
    found: dict[str, Any] = {"scores": (list(scores.values()), list(one.values()))}
    pairs = [(net[0], "weight"), (net[3], "weight")]
    bound = prune.SNIP.bind(net, data=ours, loss_fn=F.cross_entropy)
    torch.nn.utils.prune.global_unstructured(pairs, bound, amount=0.5)
    found["bound"] = masks_of(net)
    net = small_net()
    prune.snip_unstructured(net[0], "weight", 0.5, model=net, data=ours, loss_fn=F.cross_entropy)
    net[1].running_var.add_(torch.distributed.get_rank() * torch.rand(24))
    prune.synflow_unstructured(net[3], "weight", 0.5, model=net, example_inputs=torch.rand(1, 8))
    found["one tensor"] = masks_of(net)
    return found


def groups(rank: int) -> dict[str, Any]:
    """Each rank its own model; and a group of one rank within the two."""
    with parallel.alone():
        own = pruned("SynFlow", small_net(rank), None)
    smaller = [torch.distributed.new_group([member]) for member in range(torch.distributed.get_world_size())]
    with parallel.within(smaller[rank]):
        within = pruned("SynFlow", small_net(rank), None)
    pair = torch.distributed.new_group()
    with parallel.within(pair):
        shared = pruned("SNIP", small_net(), own_batches())
    return {"alone": own, "within one": within, "within": shared}


def main() -> None:
    rank = join(60)
    save({"both": both(rank), "wrapped": wrapped(rank), "scored": scored(), "groups": groups(rank)})


if __name__ == "__main__":
    main()
