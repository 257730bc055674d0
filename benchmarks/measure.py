"""What a trial does: ``Bench(trial, source, device).measure()``, a pure function of the settings."""

from __future__ import annotations

import copy
import math
import time
from functools import lru_cache
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.datasets import KINDS, Source, load
from benchmarks.images import Images
from benchmarks.methods import METHODS, inverted, shuffle
from benchmarks.networks import NETWORKS, initialise
from benchmarks.recipes import Recipe
from benchmarks.training import train
from benchmarks.trial import Trial
from torch_synflow import prune

Numbers = dict[str, Any]


class Bench:
    """The network, the data and the random numbers of one trial."""

    def __init__(self, trial: Trial, source: Source, device: torch.device) -> None:
        self.trial, self.source, self.device = trial, source, device
        self.kind, self.method = KINDS[trial.dataset], METHODS.get(trial.method)
        self.seconds: Numbers = {}
        self.fingerprint: str | None = None
        self.images_per_second: float | None = None

    def measure(self) -> Numbers:
        """Run the trial; everything that decides the numbers is in its settings and the data."""
        what = {
            "accuracy": self.accuracy, "masks": self.masks, "scores": self.scores, "limit": self.limit,
            "magnitudes": self.magnitudes,
        }  # fmt: skip
        return what[self.trial.measure]()

    def data(self) -> tuple[Images, Images]:
        """The training and the test images, on the device."""
        train_images, test_images = on_device(self.trial.dataset, self.source, self.device)
        self.fingerprint = train_images.fingerprint
        return train_images, test_images

    def network(self) -> nn.Module:
        """The network at initialisation."""
        return new_network(self.trial).to(self.device)

    def generator(self, purpose: int) -> torch.Generator:
        """Random numbers for one purpose, apart from those of all others."""
        return torch.Generator().manual_seed(self.trial.seed * 10 + purpose)

    def scoring(self) -> dict[str, Any]:
        """What the method is given beside the network."""
        if not self.trial.examples:
            return {}
        batch = self.data()[0].of_each_class(self.trial.examples, self.generator(1), self.device)
        return {"data": batches_of(batch), "loss_fn": F.cross_entropy}

    def prune(self, model: nn.Module, density: float, already: float = 1.0) -> prune.PruningReport:
        """Prune to a density of the whole, then ablate."""
        start, trial = time.perf_counter(), self.trial
        parameters = prune.prunable_parameters(model, example_inputs=torch.ones(1, *self.kind.shape).to(self.device))
        total = sum(module.weight.numel() for module, _ in parameters)
        if self.method is None:
            if density != 1:
                raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {trial.method!r}")
            return prune.global_iterative_unstructured(parameters, prune.L1Unstructured, 0)
        method = self.method.pruning_method
        if trial.ablation == "invert":
            method = inverted(method)
        amount = round(total * already) - max(1, round(total * density))
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(trial.seed * 10 + 2)  # for random scores
            report = prune.global_iterative_unstructured(
                parameters, method, amount, iterations=trial.iterations, **self.scoring()
            )
        if trial.ablation == "shuffle":
            shuffle(parameters, self.generator(3))
        if trial.ablation == "reinitialise":
            reinitialise(model, trial)
        self.seconds["pruning"] = round(self.seconds.get("pruning", 0) + time.perf_counter() - start, 3)
        return report

    def accuracy(self) -> Numbers:
        """Train with the whole schedule what was pruned, and test it."""
        model, report = self.subnetwork()
        return {**self.trained(model, *self.data()), **described(report)}

    def subnetwork(self) -> tuple[nn.Module, prune.PruningReport]:
        """Train as far as the trial says, prune, and perhaps rewind; as often as it says."""
        trial, model = self.trial, self.network()
        states = {0.0: copy.deepcopy(model.state_dict())}
        already = 1.0
        for level in range(1, trial.levels + 1):
            if trial.prune_epoch and level == 1:
                states = dense_states(trial, self.source, self.device)
                model.load_state_dict(states[trial.prune_epoch])
            elif trial.prune_epoch:
                train(model, self.data()[0], trial.recipe, self.order(level), until=trial.prune_epoch)
            report = self.prune(model, trial.density ** (level / trial.levels), already)
            already = report.density
            if trial.rewind_epoch is not None:
                rewind(model, states[trial.rewind_epoch])
        return model, report

    def trained(self, model: nn.Module, images: Images, test: Images) -> Numbers:
        """Train with the whole schedule; the times go to where times are kept."""
        found = train(model, images, self.trial.recipe, self.order(0), test=test)
        self.seconds["training"] = found.pop("training_seconds")
        self.images_per_second = found.pop("images_per_second")
        return found

    def order(self, phase: int) -> int:
        """The seed of the order of the images in one phase of training."""
        return self.trial.seed * 1000 + phase

    def masks(self) -> Numbers:
        """What is left of each layer and neuron, and how much of it a path uses."""
        model = self.network()
        report = self.prune(model, self.trial.density)
        return {**described(report), **neurons(model), "effective": effective(model, self.kind.shape)}

    def scores(self) -> Numbers:
        """The average score of each layer, and the sums of scores into and out of hidden units."""
        assert self.method is not None
        start, method = time.perf_counter(), self.method.pruning_method
        model = self.network()
        pairs = prune.prunable_parameters(model)
        if issubclass(method, prune.SaliencyUnstructured):
            with_input = {} if self.trial.examples else {"example_inputs": torch.ones(1, *self.kind.shape)}
            scores = method.scores(model, **with_input, **self.scoring())
            scored = [scores[pair].detach().as_subclass(Tensor).double() for pair in pairs]
        else:
            generator = self.generator(2)
            weights = [module.weight.detach().double() for module, _ in pairs]
            scored = [
                w.abs() if self.trial.method == "magnitude" else torch.rand(w.shape, generator=generator).double()
                for w in weights
            ]
        self.seconds["scoring"] = round(time.perf_counter() - start, 3)
        layers = [[s.numel(), float(s.mean())] for s in scored]
        into, out = [], []
        for before, after in pairwise(scored):
            if before.dim() == after.dim() == 4 and after.shape[1] == before.shape[0]:
                into.append(before.sum((1, 2, 3)))
                out.append(after.sum((0, 2, 3)))
        chosen = torch.linspace(0, sum(map(len, into)) - 1, 600).long() if into else torch.zeros(0, dtype=torch.long)
        units = [[float(f"{v:.5g}") for v in torch.cat(sums)[chosen].tolist()] if into else [] for sums in (into, out)]
        return {"layers": layers, "into": units[0], "out": units[1]}

    def limit(self) -> Numbers:
        """The critical compression, by bisection of its logarithm."""
        start = time.perf_counter()
        total = sum(m.weight.numel() for m, _ in prune.prunable_parameters(self.network()))
        layers = len(prune.prunable_parameters(self.network()))
        top = math.log10(total / layers)
        low, high = 0.0, top

        def collapses(log10: float) -> bool:
            return bool(self.prune(self.network(), 10**-log10).empty_layers)

        if not collapses(top):
            low = top
        while high - low > 0.01:
            middle = (low + high) / 2
            low, high = (low, middle) if collapses(middle) else (middle, high)
        self.seconds["pruning"] = round(time.perf_counter() - start, 3)
        return {"critical_log10_compression": low, "max_log10_compression": top, "total": total}

    def magnitudes(self) -> Numbers:
        """The mean square of each layer's weights, before and after training."""
        images, test = self.data()
        model = self.network()

        def squares() -> list[float]:
            return [float(m.weight.detach().square().mean()) for m, _ in prune.prunable_parameters(model)]

        sizes, before = [m.weight.numel() for m, _ in prune.prunable_parameters(model)], squares()
        found = self.trained(model, images, test)
        return {**found, "sizes": sizes, "before": before, "after": squares()}


def new_network(trial: Trial) -> nn.Module:
    """The network at initialisation, decided by the seed and the recipe alone."""
    kind = KINDS[trial.dataset]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(trial.seed)
        model = NETWORKS[trial.network](kind.classes, kind.channels, kind.size)
        return initialise(model, mode=trial.recipe.initialisation, uniform_gamma=trial.recipe.gamma == "uniform")


@lru_cache(maxsize=2)
def on_device(dataset: str, source: Source, device: torch.device) -> tuple[Images, Images]:
    """The data on the device, once a process."""
    train_images, test_images = load(dataset, source)
    return train_images.to(device), test_images.to(device)


def dense_states(trial: Trial, source: Source, device: torch.device) -> dict[float, dict[str, Tensor]]:
    """The unpruned network at the epochs of a trial, remembered for the trials that start from the same."""
    epochs = tuple(sorted({0.0, trial.prune_epoch, trial.rewind_epoch or 0.0}))
    return _dense_states(trial.dataset, trial.network, trial.recipe, trial.seed, source, device, epochs)


@lru_cache(maxsize=4)
def _dense_states(
    dataset: str,
    network: str,
    recipe: Recipe,
    seed: int,
    source: Source,
    device: torch.device,
    epochs: tuple[float, ...],
) -> dict[float, dict[str, Tensor]]:
    trial = Trial(measure="accuracy", dataset=dataset, network=network, recipe=recipe, seed=seed)
    model = new_network(trial).to(device)
    images, _ = on_device(dataset, source, device)
    states = {0.0: copy.deepcopy(model.state_dict())}
    *between, last = epochs
    for at in between[-1:]:

        def note(model: nn.Module, at: float = at) -> None:
            states[at] = copy.deepcopy(model.state_dict())

        train(model, images, recipe, seed * 1000 + 1, until=last, at=at, then=note)
    states[last] = copy.deepcopy(model.state_dict())
    return states


@torch.no_grad()
def rewind(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Set weights and buffers to an earlier state; masks stay."""
    for name, tensor in model.state_dict().items():
        if not name.endswith("_mask"):
            tensor.copy_(state[name.removesuffix("_orig")])


def reinitialise(model: nn.Module, trial: Trial) -> None:
    """New initial values for all that is trained, from the same distribution; masks stay."""
    other = Trial(
        measure="masks", dataset=trial.dataset, network=trial.network, recipe=trial.recipe, seed=trial.seed + 1_000_003
    )
    rewind(model, new_network(other).to(next(model.parameters()).device).state_dict())


def batches_of(batch: tuple[Tensor, Tensor], most: int = 256) -> list[tuple[Tensor, Tensor]]:
    """One batch in parts that fit into memory: of 256 images at 32x32, fewer if they are larger."""
    inputs, targets = batch
    count = max(1, min(len(inputs), most * 32 * 32 // inputs.shape[-1] ** 2 if inputs.shape[-1] > 32 else 1000))
    return list(zip(inputs.split(count), targets.split(count), strict=True))


def described(report: prune.PruningReport) -> Numbers:
    """A report as plain numbers."""
    layers = [[layer.name, layer.kept, layer.total] for layer in report.layers]
    return {"kept": report.kept, "total": report.total, "empty_layers": list(report.empty_layers), "layers": layers}


def neurons(model: nn.Module) -> Numbers:
    """How many output channels have nothing left, and the share with a sparsity of at least 0, 1, ... 100 %."""
    kept = [m.weight_mask.flatten(1).mean(1) for m, _ in prune.prunable_parameters(model) if hasattr(m, "weight_mask")]
    if not kept:
        return {"neurons": 0, "collapsed_neurons": 0, "neuron_sparsity": []}
    sparsity = 1 - torch.cat(kept).double().cpu()
    shares = [round(float((sparsity >= s / 100 - 1e-9).double().mean()), 6) for s in range(101)]
    return {"neurons": len(sparsity), "collapsed_neurons": int((sparsity == 1).sum()), "neuron_sparsity": shares}


def effective(model: nn.Module, shape: tuple[int, ...]) -> int:
    """How many kept entries a path from input to output uses (Frankle et al. 2021, appendix M)."""
    model = copy.deepcopy(model).double().eval()
    pairs = prune.prunable_parameters(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1 / 64 if parameter.dim() > 1 else 1)  # any positive number; these keep deep ones in range
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    weights = [getattr(m, "weight_orig", m.weight) for m, _ in pairs]
    masks = [getattr(m, "weight_mask", torch.ones_like(w)) for (m, _), w in zip(pairs, weights, strict=True)]
    out = model(torch.ones(1, *shape, dtype=torch.float64, device=weights[0].device)).sum()
    gradients = torch.autograd.grad(out, weights)
    return sum(int(((g != 0) & (m != 0)).sum()) for g, m in zip(gradients, masks, strict=True))
