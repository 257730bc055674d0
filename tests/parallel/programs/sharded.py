"""Ranks that hold parts of one model prune it, beside one process that holds all of it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from tests.parallel.programs.ranks import join, save
from torch_synflow import parallel, prune


class KeepingLayers(prune.SynFlowUnstructured):
    """A method that undoes and divides what would cut off a layer."""

    keep_layers = True


METHODS: dict[str, dict[str, Any]] = {
    "L1Unstructured": {},
    "RandomUnstructured": {},
    "SynFlow": {"iterations": 3},
    "BalancedSynFlow": {"iterations": 2},
    "SNIP": {},
    "IterativeSNIP": {"iterations": 2},
    "GraSP": {},
    "GraSPIt": {"iterations": 2},
    "FORCE": {"iterations": 4, "amount": 0.9},
    "KeepingLayers": {"iterations": 1, "amount": -12},
}
LAYOUTS = ("fsdp", "mixed", "hybrid", "tensor")
#: with a pattern
PATTERNS: dict[str, dict[str, Any]] = {
    "L1Unstructured": {}, "RandomUnstructured": {}, "SynFlow": {"iterations": 3}, "FORCE": {"iterations": 3},
}  # fmt: skip


def net(width: int = 17) -> nn.Sequential:
    """Rows that two and four ranks do not divide evenly, and one row, of which most ranks have nothing."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, 1)).double()


def sharded(model: nn.Sequential, layout: str = "fsdp") -> nn.Sequential:
    """The model over all ranks."""
    size = torch.distributed.get_world_size()
    mesh = init_device_mesh("cpu", (size,))
    settings: dict[str, Any] = {}
    if layout == "tensor":
        return parallelize_module(model, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    if layout == "hybrid":
        mesh = init_device_mesh("cpu", (2, size // 2), mesh_dim_names=("replicas", "shards"))
    if layout == "mixed":
        settings = {"mp_policy": MixedPrecisionPolicy(param_dtype=torch.float32), "reshard_after_forward": False}
    for layer in (model[0], model[2], model[4]):
        fully_shard(layer, mesh=mesh, **settings)
    fully_shard(model, mesh=mesh, **settings)
    return model


def sharded_inputs() -> nn.Sequential:
    """A layer whose inputs are divided into odd numbers on two ranks."""
    mesh = init_device_mesh("cpu", (torch.distributed.get_world_size(),))
    return parallelize_module(nn.Sequential(nn.Linear(6, 4)), mesh, {"0": RowwiseParallel()})


def batches(ranks: int) -> list[tuple[Tensor, Tensor]]:
    torch.manual_seed(3)
    return [(torch.rand(4, 6).double(), torch.rand(4, 1).double()) for _ in range(2 * ranks)]


def pruned(name: str, model: nn.Module, data: Any, amount: float = 0.6, **settings: Any) -> Any:
    method = KeepingLayers if name == "KeepingLayers" else getattr(prune, name)
    given: dict[str, Any] = {}
    if issubclass(method, prune.SynFlow):
        given = {"example_inputs": torch.rand(1, 6).double()}
    elif "Unstructured" not in name:
        given = {"data": data, "loss_fn": F.mse_loss}
    listed = prune.prunable_parameters(model)
    if amount < 0:  # so many are left
        amount += sum(module.weight.numel() for module, _ in listed)
    return prune.global_iterative_unstructured(listed, method, amount, **given, **settings)


def whole(tensor: Any) -> Tensor:
    return (tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor).detach().clone()


def masks_of(model: nn.Sequential) -> list[Tensor]:
    return [whole(layer.weight_mask) for layer in model if isinstance(layer, nn.Linear)]


def trained(model: nn.Module, data: Any) -> list[Tensor]:
    """The parameters after a few steps on the same data on all ranks."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for inputs, targets in data:
        optimizer.zero_grad()
        F.mse_loss(model(inputs), targets).backward()
        optimizer.step()
    return [whole(parameter) for parameter in model.parameters()]


def by_method(rank: int, ranks: int) -> dict[str, Any]:
    """Masks and trained weights of each method, of one process and of all ranks, and both reports."""
    found = {}
    data = batches(ranks)
    for name, settings in METHODS.items():
        one, parts = net(), sharded(net())
        torch.manual_seed(7)
        with parallel.alone():
            alone = pruned(name, one, data, **settings)
        torch.manual_seed(7 + rank)
        together = pruned(name, parts, data[rank::ranks], **settings)
        found[name] = {
            "masks": (masks_of(one), masks_of(parts)),
            "reports": (str(alone), str(together)),
            "placed": all(m.weight_mask.placements == m.weight_orig.placements for m in parts if hasattr(m, "weight")),
            "trained": (trained(one, data[:3]), trained(parts, data[:3])),
        }
    return found


def by_layout(rank: int, ranks: int) -> dict[str, Any]:
    """Masks of SynFlow, and of magnitudes that are all the same, of one process and of each layout."""
    found = {}
    for layout in LAYOUTS:
        if layout == "hybrid" and ranks < 4:
            continue
        width = 16 if layout == "tensor" else 17  # tensor parallelism divides evenly
        one, parts = net(width), sharded(net(width), layout)
        parts(torch.rand(2, 6).double())  # leaves whole parameters where they are not sharded again
        with parallel.alone():
            pruned("SynFlow", one, None, iterations=2)
        pruned("SynFlow", parts, None, iterations=2)
        equal = net(width)
        for parameter in equal.parameters():
            nn.init.constant_(parameter, 0.5)
        ties = sharded(equal, layout)
        pruned("L1Unstructured", ties, None)
        found[layout] = {"masks": (masks_of(one), masks_of(parts)), "ties": masks_of(ties)}
    return found


def by_pattern(rank: int, ranks: int) -> dict[str, Any]:
    """Masks of one of two weights, of one process and of each layout."""
    found = {}
    data = batches(ranks)
    for layout in ("fsdp", "tensor"):
        for name, settings in PATTERNS.items():
            given = {"amount": 0.5, "pattern": prune.n_of_m(1, 2), **settings}
            one, parts = net(16), sharded(net(16), layout)
            torch.manual_seed(7)
            with parallel.alone():
                pruned(name, one, data, **given)
            torch.manual_seed(7 + rank)
            pruned(name, parts, data[rank::ranks], **given)
            found[layout, name] = (masks_of(one), masks_of(parts))
    return found


def lifecycle(rank: int, ranks: int, folder: Path) -> dict[str, Any]:
    """Pruned before, twice, refused, undone, saved, loaded, and made permanent."""
    found: dict[str, Any] = {}
    data = batches(ranks)
    early = net()
    with parallel.alone():
        pruned("L1Unstructured", early, None)
    before = masks_of(early)
    early = sharded(early)
    trained(early, data[:2])
    found["early"] = [(whole(layer.weight), mask) for layer, mask in zip(early[::2], before, strict=True)]

    model = sharded(net())
    kept = [whole(parameter) for parameter in model.parameters()]
    names = [name for name, _ in model.named_parameters()]
    errors = []

    def refused(work: Any) -> None:
        try:
            work()
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")

    def stop(step: int, report: Any) -> None:
        raise KeyError("stop")

    given: dict[str, Any] = {"model": model, "data": data, "loss_fn": F.mse_loss}
    refused(lambda: prune.global_iterative_unstructured(model, prune.OptimalBrainDamage, 0.5, **given))
    split = sharded_inputs()
    pattern = prune.n_of_m(1, 2)
    refused(lambda: prune.global_iterative_unstructured(split, prune.L1Unstructured, 0.5, pattern=pattern))
    some = prune.prunable_parameters(model)[rank:]
    refused(lambda: prune.global_iterative_unstructured(some, prune.L1Unstructured, 0.5, model=model))
    own = pattern if rank else None
    refused(lambda: prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5, pattern=own))
    refused(lambda: prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5, iterations=-1 if rank else 1))
    refused(lambda: prune.global_iterative_unstructured([(model[0], "weight")], prune.L1Unstructured, 0.5))
    refused(lambda: pruned("SynFlow", model, None, iterations=2, callback=stop))
    found["same"] = names == [name for name, _ in model.named_parameters()] and all(
        torch.equal(whole(parameter), value) for parameter, value in zip(model.parameters(), kept, strict=True)
    )
    pruned("L1Unstructured", model, None, 0.5)
    first = masks_of(model)
    pruned("L1Unstructured", model, None, 0.5)
    found["twice"] = (first, masks_of(model))
    refused(lambda: prune.remove(model[0], "weight"))
    trained(model, data[:2])
    dcp.save(model.state_dict(), checkpoint_id=folder / "checkpoint")
    fresh = sharded(net())
    pruned("RandomUnstructured", fresh, None, 0.75)
    state = fresh.state_dict()
    dcp.load(state, checkpoint_id=folder / "checkpoint")
    fresh.load_state_dict(state)
    found["loaded"] = all(
        torch.equal(whole(a), whole(b))
        for a, b in zip(model.state_dict().values(), fresh.state_dict().values(), strict=True)
    )
    outputs = model(data[0][0]).detach()
    prune.remove_all(model)
    found["removed"] = (outputs, model(data[0][0]).detach(), [name for name, _ in model.named_parameters()])
    trained(model, data[:1])
    x = torch.rand(1, 6).double()
    few = [(model[4], "weight")]
    refused(lambda: prune.global_iterative_unstructured(few, KeepingLayers, amount=8, model=model, example_inputs=x))
    recurrent = fully_shard(nn.LSTM(6, 4))
    refused(lambda: prune.global_iterative_unstructured(recurrent, prune.SynFlow, 0.5, example_inputs=x.float()))
    return {**found, "errors": errors}


if __name__ == "__main__":
    rank, ranks = join(60), torch.distributed.get_world_size()
    wanted = {
        "methods": lambda: by_method(rank, ranks),
        "layouts": lambda: by_layout(rank, ranks),
        "patterns": lambda: by_pattern(rank, ranks),
        "lifecycle": lambda: lifecycle(rank, ranks, Path(sys.argv[1])),
    }
    save({name: wanted[name]() for name in sys.argv[2:]})
    torch.distributed.destroy_process_group()
