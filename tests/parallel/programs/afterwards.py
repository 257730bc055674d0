"""What a user does with a pruned model, on parts of it, beside the same on all of it in one process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from tests.parallel.programs.ranks import error_of, join, save
from tests.parallel.programs.sharded import batches, masks_of, net, sharded, trained, whole
from torch_synflow import ablations, diagnostics, parallel, prune, rewinding

X = torch.rand(2, 6).double()
DATA = batches(2)


def pruned(model: nn.Sequential) -> nn.Sequential:
    prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5)
    return model


def wholes(tensors: Any) -> dict[str, Tensor]:
    return {name: whole(tensor) for name, tensor in tensors.items()}


def tightened(model: nn.Sequential, fresh: Any, file: Path) -> Any:
    prune.apply_masks(model, {"0.weight": torch.eye(17, 6)})
    return masks_of(model)


def removed(model: nn.Sequential, fresh: Any, file: Path) -> Any:
    masks = prune.remove_all(model)
    dense = [whole(layer.weight) for layer in (model[0], model[2], model[4])]
    prune.apply_masks(model, masks)
    return [*masks_of(model), *dense]


def through_a_file(model: nn.Sequential, fresh: Any, file: Path) -> Any:
    prune.save_masks(model, file, method=prune.L1Unstructured)
    loaded = prune.load_masks(file, model)
    other = fresh()
    prune.apply_masks(other, loaded)
    return [*masks_of(other), str(loaded.provenance)]


def through_a_state(model: nn.Sequential, fresh: Any, file: Path) -> Any:
    in_parts, of_wholes = fresh(), fresh()
    prune.load_pruned(in_parts, model.state_dict())
    prune.load_pruned(of_wholes, wholes(model.state_dict()))
    return [*masks_of(in_parts), *masks_of(of_wholes), in_parts(X).detach(), of_wholes(X).detach()]


def rewound(model: nn.Sequential, fresh: Any, file: Path) -> Any:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    start = rewinding.take_snapshot(model, optimizer)
    trained(model, DATA[:2])
    prune.apply_masks(model, {"4.weight": torch.ones(1, 8)})
    rewinding.rewind(model, start, optimizer)
    return [*(whole(parameter) for parameter in model.parameters()), model(X).detach()]


def ticket(model: nn.Sequential, fresh: Any, file: Path) -> Any:
    report = rewinding.iterative_magnitude_pruning(model, lambda a, b: trained(model, DATA[:2]) and None, levels=2)
    return [str(report), *masks_of(model)]


def folded(model: nn.Sequential, fresh: Any, file: Path) -> Any:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with prune.folded(model, optimizer):
        for inputs, targets in DATA[:3]:
            optimizer.zero_grad()
            F.mse_loss(model(inputs), targets).backward()
            optimizer.step()
    return [*(whole(parameter) for parameter in model.parameters()), *masks_of(model), model(X).detach()]


def reports(model: nn.Sequential, fresh: Any, file: Path) -> Any:
    again = lambda amount: prune.global_iterative_unstructured(model, prune.L1Unstructured, amount)  # noqa: E731
    return [
        str(diagnostics.compression(model)), str(diagnostics.neuron_collapse(model)),
        str(diagnostics.critical_compression(model, again, tolerance=0.3)), sorted(prune.masks(model)),
        prune.erk(prune.prunable_parameters(model), 0.3),
    ]  # fmt: skip


def gathered(model: nn.Sequential, fresh: Any, file: Path) -> Any:
    """What is refused on parts, on a model of one process that has the state."""
    plain = net()
    prune.load_pruned(plain, get_model_state_dict(model, options=StateDictOptions(full_state_dict=True)))
    with parallel.alone():
        scores = prune.synflow_scores(plain, X)
    return [
        str(diagnostics.effective_sparsity(plain, X)),
        str(prune.shrink(plain, X)),
        *map(Tensor.clone, scores.values()),
    ]


WORKS: dict[str, Callable[[nn.Sequential, Any, Path], Any]] = {
    each.__name__: each
    for each in (tightened, removed, through_a_file, through_a_state, rewound, ticket, folded, reports, gathered)
}
REFUSED: dict[str, Callable[[nn.Module], object]] = {
    "shrink": lambda model: prune.shrink(model, X),
    "synflow_scores": lambda model: prune.synflow_scores(model, X),
    "snip_scores": lambda model: prune.snip_scores(model, DATA, F.mse_loss),
    "grasp_scores": lambda model: prune.grasp_scores(model, DATA, F.mse_loss),
    "cost": lambda model: diagnostics.cost(model, X),
    "effective_sparsity": lambda model: diagnostics.effective_sparsity(model, X),
    "effective_masks": lambda model: diagnostics.effective_masks(model, X),
    "trainability": lambda model: diagnostics.trainability(model, X),
    "conservation": lambda model: diagnostics.conservation(model, X),
    "path_norm": lambda model: diagnostics.path_norm(model, X),
    "shuffle_masks": ablations.shuffle_masks,
    "reinitialise": ablations.reinitialise,
}

if __name__ == "__main__":
    rank = join(60)
    folder = Path(sys.argv[1])
    found = {}
    for name, work in WORKS.items():
        with parallel.alone():
            one = work(pruned(net()), net, folder / f"one{rank}.safetensors")
        found[name] = (one, work(pruned(sharded(net())), lambda: sharded(net()), folder / f"parts{rank}.safetensors"))
    model = pruned(sharded(net()))
    found["refused"] = {name: error_of(lambda work=work: work(model))[:2] for name, work in REFUSED.items()}
    found["same"] = torch.equal(model(X), pruned(sharded(net()))(X))
    save(found)
    torch.distributed.destroy_process_group()
