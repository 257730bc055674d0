"""Changes that must not change a result: ``python -m benchmarks.faults.invariants --trials 1000``.

A random network is scored and pruned twice, the second time with hidden neurons permuted, weights scaled, another
layout, another number of threads or another order of the parameters, in none of which the method's formula changes.
"""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults.chains import Chain, Pair
from benchmarks.faults.injection import quiet
from benchmarks.faults.report import Finding, command
from torch_synflow import prune

#: relatively to the largest score; sums in another order round differently
ROUNDING = 1e-9

#: whose scores stay where a layer is scaled up and the next one down by as much
SCALE_FREE = (prune.SynFlow, prune.SNIP, prune.SynapticSaliency, prune.TaylorFO, prune.OptimalBrainDamage)
METHODS = (*SCALE_FREE, prune.GraSP, prune.GraSPMagnitude, prune.FORCE, prune.GraSPIt, prune.IterativeSNIP)


def _unequal(what: str, left: Sequence[Tensor], right: Sequence[Tensor], rounding: float = 0.0) -> list[str]:
    """The tensors that differ by more than rounding, relative to the largest element of all."""
    largest = max(float(tensor.abs().max()) for tensor in left)
    texts = []
    for number, (a, b) in enumerate(zip(left, right, strict=True)):
        away = float((a - b).abs().max())
        if not away <= rounding * largest:
            texts.append(f"{what} of layer {number} differ by {away:.3g}, the largest being {largest:.3g}")
    return texts


def permutation(draw: random.Random) -> tuple[str, list[str]]:
    """Reorder hidden neurons: the scores must be in that order."""
    chain, method = Chain(draw), draw.choice(METHODS)
    other = chain.copied()
    orders: list[Tensor | None] = [None] * len(chain.layers)
    modules = list(other.model)
    numbers = {id(layer): number for number, layer in enumerate(other.layers)}
    order: Tensor | None = None
    with torch.no_grad():
        for module in modules:
            tensors = [*module.parameters(recurse=False), *(b for b in module.buffers(recurse=False) if b.dim())]
            if id(module) in numbers:
                weight: Any = module.weight
                if order is not None:
                    weight.copy_(weight[:, order])
                last = numbers[id(module)] == len(numbers) - 1
                order = None if last else torch.randperm(len(weight))
                orders[numbers[id(module)]] = order
            if order is not None:
                for tensor in tensors:
                    tensor.copy_(tensor[order])
    ours, theirs = chain.scores(method), other.scores(method)
    before: Tensor | None = None
    for number, mine in enumerate(orders):
        if before is not None:
            ours[number] = ours[number][:, before]
        if mine is not None:
            ours[number] = ours[number][mine]
        before = mine
    return method.__name__, _unequal("scores", ours, theirs, ROUNDING)


def scaling(draw: random.Random) -> tuple[str, list[str]]:
    """Multiply a layer by s and divide the next by s, from 1e-20 to 1e6: same function, scores and masks."""
    chain, method = Chain(draw, norms=False), draw.choice(SCALE_FREE)
    precision = draw.choice((torch.float32, torch.float64))
    chain.model.to(precision)
    other = chain.copied()
    exponents = [draw.randint(-66, 20) for _ in chain.layers[1:]]
    so_far = 0
    with torch.no_grad():
        for layer, exponent in zip(other.layers, [*exponents, 0], strict=True):
            layer.weight.mul_(2.0 ** (exponent - so_far))
            if layer.bias is not None:
                layer.bias.mul_(2.0**exponent)
            so_far = exponent
    texts = _unequal("scores", chain.scores(method), other.scores(method), ROUNDING)
    texts += _unequal("masks", chain.masks(method, 0.6), other.masks(method, 0.6))
    return f"{method.__name__} in {precision}, by 2 to the {exponents}", texts


def magnitude(draw: random.Random) -> tuple[str, list[str]]:
    """All weights of a deep network times s, from 1e-20 to 1e6: SynFlow overflows nowhere, and prunes the same.

    A power of two, which rounds nothing: a neuron with one weight in and one out has two equal scores (theorem 1),
    between which any rounding decides.
    """
    torch.manual_seed(draw.getrandbits(30))
    depth, width, scale = draw.randint(2, 40), draw.randint(3, 6), 2.0 ** draw.randint(-66, 20)
    layers = [nn.Linear(3, width, bias=False)]
    layers += [nn.Linear(width, width, bias=False) for _ in range(depth)]
    model = nn.Sequential(*(module for layer in layers for module in (layer, nn.ReLU()))).double()
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(scale)
    texts: list[str] = []
    masks: list[list[Tensor]] = []
    for network in (model, other):
        scores = prune.synflow_scores(network, torch.ones(1, 3))
        if not all(bool(torch.isfinite(score).all() and (score > 0).all()) for score in scores.values()):
            texts.append("scores are not finite and positive")
        prune.global_iterative_unstructured(network, prune.SynFlow, 0.6, example_inputs=torch.ones(1, 3), iterations=3)
        masks.append([module.get_buffer("weight_mask") for module in network if isinstance(module, nn.Linear)])
    return f"SynFlow, {depth} layers, by {scale:.3g}", texts + _unequal("masks", masks[0], masks[1])


def layout(draw: random.Random) -> tuple[str, list[str]]:
    """Change the memory layout of weights and inputs."""
    chain, method = Chain(draw), draw.choice(METHODS)
    other = chain.copied()
    for layer in other.layers:
        if layer.weight.dim() == 4:
            layer.weight.data = layer.weight.detach().contiguous(memory_format=torch.channels_last)
        else:
            layer.weight.data = layer.weight.detach().t().contiguous().t()
    if other.images:
        other.inputs = other.inputs.contiguous(memory_format=torch.channels_last)
    else:
        other.inputs = other.inputs.t().contiguous().t()
    return method.__name__, _same_results(chain, other, method, draw)


def threads(draw: random.Random) -> tuple[str, list[str]]:
    """Change the number of torch's threads."""
    chain, method, number = Chain(draw), draw.choice(METHODS), draw.randint(2, 4)
    other = chain.copied()
    mine, usual = chain.masks(method, 0.6), torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        theirs = other.masks(method, 0.6)
    finally:
        torch.set_num_threads(usual)
    return f"{method.__name__}, {number} threads", _unequal("masks", mine, theirs)


def order_of_parameters(draw: random.Random) -> tuple[str, list[str] | None]:
    """Reorder the list of parameters, which only decides between equal scores."""
    chain, method = Chain(draw, dead=False), draw.choice(METHODS)
    other, between = chain.copied(), chain.copied()
    pairs: list[Pair] = [(layer, "weight") for layer in other.layers]
    draw.shuffle(pairs)
    amount, iterations = draw.choice((0.3, 0.6, 0.9)), 1 if method.pruned_may_return else 2
    mine = chain.masks(method, amount, iterations=iterations)
    theirs = other.masks(method, amount, pairs, iterations=iterations)
    if not all(bool(mask.any()) for mask in mine):
        return f"{method.__name__}, a layer emptied: all scores are zero, and equal", None
    texts = _unequal("masks", mine, theirs)
    if texts and iterations == 2:
        total = sum(mask.numel() for mask in mine)
        kept = method.schedule(1, 2, (total - round(amount * total)) / total)
        between.masks(method, total - round(kept * total), iterations=1)
        scores = between.scores(method)
        others = torch.cat([score[a != b] for score, a, b in zip(scores, mine, theirs, strict=True)])
        if float(others.max() - others.min()) <= ROUNDING * float(others.abs().max()):
            return f"{method.__name__}, equal scores of a neuron with one weight in and one out", None
    return f"{method.__name__}, {iterations} iterations", texts


def _same_results(chain: Chain, other: Chain, method: Any, draw: random.Random) -> list[str]:
    texts = _unequal("scores", chain.scores(method), other.scores(method), ROUNDING)
    return texts + _unequal("masks", chain.masks(method, 0.6), other.masks(method, 0.6))


INVARIANTS: dict[str, Callable[[random.Random], tuple[str, list[str] | None]]] = {
    "hidden neurons permuted": permutation,
    "layers scaled against each other, 1e-20 to 1e6": scaling,
    "all weights scaled, 1e-20 to 1e6": magnitude,
    "another layout of memory": layout,
    "another number of threads": threads,
    "another order of the parameters": order_of_parameters,
}


def hold(seed: int) -> Finding:
    """Run the trial of a seed."""
    draw = random.Random(f"invariant {seed}")
    kind = draw.choice(list(INVARIANTS))
    with quiet():
        what, violations = INVARIANTS[kind](draw)
    return Finding(seed, kind, what, reached=violations is not None, violations=violations or [])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    return command("invariants", __doc__ or "", hold, arguments)


if __name__ == "__main__":
    sys.exit(main())
