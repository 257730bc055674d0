"""The work of a trial: ``Bench(trial, source, device).measure()``, a pure function of the settings."""

from __future__ import annotations

import math
import time
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from benchmarks.sweep.ablate import ablate
from benchmarks.sweep.cuts import prune_and_cut_sizes
from benchmarks.sweep.described import described, shares
from benchmarks.sweep.methods import METHODS
from benchmarks.sweep.start import batches_of, dense_states, new_network, on_device
from benchmarks.sweep.trial import Trial
from benchmarks.sweep.units import sums_at_units
from benchmarks.training.datasets import Source
from benchmarks.training.images import Images
from benchmarks.training.kinds import KINDS
from benchmarks.training.loop import train
from benchmarks.training.networks import pruned_parameters
from torch_synflow import ablations, diagnostics, prune, rewinding
from torch_synflow.budget.counts import kept_counts
from torch_synflow.model.masks import masked_entries_of, report_of
from torch_synflow.model.parameters import PrunableParameters
from torch_synflow.prune import PruningReport, exponential, linear

Numbers = dict[str, Any]
SCHEDULES = {"exponential": exponential, "linear": linear}


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
            "accuracy": self.accuracy, "masks": self.masks, "structure": self.structure, "cuts": self.cuts,
            "scores": self.scores, "limit": self.limit, "magnitudes": self.magnitudes,
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
        """The arguments of the method in addition to the network."""
        if not self.trial.examples:
            return {}
        generator = self.generator(1)
        batch = self.data()[0].of_each_class(self.trial.examples, generator, self.device)
        return {"data": batches_of(batch, generator), "loss_fn": F.cross_entropy}

    def pairs(self, model: nn.Module) -> PrunableParameters:
        """The pairs of the network that are pruned."""
        return pruned_parameters(self.trial.network, model)

    def weights(self, model: nn.Module) -> list[Tensor]:
        """The weights that are pruned as they are now, without gradients."""
        return [getattr(module, name).detach() for module, name in self.pairs(model)]

    def ones(self) -> Tensor:
        """An input, for methods and diagnostics that need its shape alone."""
        return torch.ones(1, *self.kind.shape, device=self.device)

    def remove(self, model: nn.Module, amount: int) -> PruningReport:
        """Prune a number of weights."""
        start, trial, parameters = time.perf_counter(), self.trial, self.pairs(model)
        method = self.method.pruning_method if self.method is not None else prune.L1Unstructured
        if trial.ablation == "invert":
            method = ablations.inverted(method)
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), warnings.catch_warnings():
            warnings.simplefilter("ignore", prune.EmptiedLayersWarning)  # results name the layers
            torch.manual_seed(trial.seed * 10 + 2)  # for random scores
            report = prune.global_iterative_unstructured(
                parameters, method, amount, example_inputs=self.ones(), iterations=trial.iterations,
                schedule=SCHEDULES[trial.pruning_schedule],
                layer_densities=self.method.layer_densities if self.method is not None else None, **self.scoring(),
            )  # fmt: skip
        self.seconds["pruning"] = round(self.seconds.get("pruning", 0) + time.perf_counter() - start, 3)
        return report

    def prune(self, model: nn.Module, density: float, already: float = 1.0) -> PruningReport:
        """Prune to a density of the whole, from the density that is already reached; then ablate."""
        trial = self.trial
        if self.method is None and density != 1:
            raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {trial.method!r}")
        total = sum(weight.numel() for weight in self.weights(model))
        report = self.remove(model, round(total * already) - max(1, round(total * density)))
        ablate(model, trial, self.ones(), self.generator(3))
        return report

    def accuracy(self) -> Numbers:
        """Train the pruned network with the full schedule, and test it.

        Without a path from input to output, a network gives all images the same answer, and training changes only
        which: with ``shrink``, it is tested alone.
        """
        model, report = self.subnetwork()
        if self.trial.recipe.shrink and not diagnostics.trainability(model, self.ones()).reached:
            return {**self.trained(model, *self.data(), until=0), **described(report)}
        return {**self.trained(self.to_train(model), *self.data()), **described(report)}

    def to_train(self, model: nn.Module) -> nn.Module:
        """The pruned network or, if the recipe says so, the smaller network that ``shrink`` makes of it."""
        if not self.trial.recipe.shrink:
            return model
        start = time.perf_counter()
        small = prune.shrink(model, self.ones())
        self.seconds["shrinking"] = round(time.perf_counter() - start, 3)
        return small

    def subnetwork(self) -> tuple[nn.Module, PruningReport]:
        """Train, prune and rewind as the trial says, for its number of rounds."""
        trial, model = self.trial, self.network()
        states = {0.0: rewinding.take_snapshot(model)}
        already = 1.0
        for level in range(1, trial.levels + 1):
            if trial.prune_epoch and level == 1:
                states = dense_states(trial, self.source, self.device)
                rewinding.rewind(model, states[trial.prune_epoch])
            elif trial.prune_epoch:
                train(model, self.data()[0], trial.recipe, self.order(level), until=trial.prune_epoch)
            report = self.prune(model, trial.density ** (level / trial.levels), already)
            already = report.density
            if trial.rewind_epoch is not None:
                rewinding.rewind(model, states[trial.rewind_epoch])
        return model, report

    def trained(self, model: nn.Module, images: Images, test: Images, until: float | None = None) -> Numbers:
        """Train with the full schedule, or until an epoch, and record the times."""
        found = train(model, images, self.trial.recipe, self.order(0), until=until, test=test)
        self.seconds["training"] = found.pop("training_seconds")
        self.images_per_second = found.pop("images_per_second")
        return found

    def order(self, phase: int) -> int:
        """The seed of the order of the images in one phase of training."""
        return self.trial.seed * 1000 + phase

    def masks(self) -> Numbers:
        """The density of each layer and neuron, and the share of weights on a path."""
        model, report = self.subnetwork()
        neurons = diagnostics.neuron_collapse(model)
        convolutions = [(m, name) for m, name in self.pairs(model) if isinstance(m, _ConvNd)]
        channels = diagnostics.neuron_collapse(model, convolutions) if convolutions else None
        effective = diagnostics.effective_sparsity(model, self.ones())
        return {
            **described(report),
            "neurons": neurons.neurons,
            "collapsed_neurons": neurons.collapsed,
            "channels": channels.neurons if channels else 0,  # of convolutions: what Frankle et al. 2021 count
            "collapsed_channels": channels.collapsed if channels else 0,
            "neuron_sparsity": shares(neurons),
            "channel_sparsity": shares(channels) if channels else [],
            "effective": effective.effective,
        }

    def cuts(self) -> Numbers:
        """The prune size and cut size of each iteration: the score that it prunes, and that of the lowest layer."""
        assert self.method is not None
        trial, model = self.trial, self.network()
        total = sum(weight.numel() for weight in self.weights(model))
        kept = max(1, round(total * trial.density))
        counts = kept_counts(SCHEDULES[trial.pruning_schedule], trial.iterations, total, kept)
        given = self.scoring() or {"example_inputs": self.ones()}
        pruned, cut = prune_and_cut_sizes(model, self.method.pruning_method, self.pairs(model), counts, **given)
        return {**described(report_of(masked_entries_of(model))), "prune_sizes": pruned, "cut_sizes": cut}

    def structure(self) -> Numbers:
        """The share of the kept weights that is on a path, their cost, and the flow through them."""
        model = self.network()
        report = self.prune(model, self.trial.density)
        cost = diagnostics.cost(model, self.ones(), self.pairs(model))
        norm = diagnostics.path_norm(model, self.ones()).path_norm
        return {
            **described(report),
            "effective": diagnostics.effective_sparsity(model, self.ones(), self.pairs(model)).effective,
            "flops": cost.flops,
            "sparse_flops": cost.sparse_flops,
            "log10_path_norm": math.log10(norm) if 0 < norm < math.inf else None,
        }

    def scores(self) -> Numbers:
        """The average score of each layer, and the sums of scores into and out of hidden units."""
        assert self.method is not None
        start, method = time.perf_counter(), self.method.pruning_method
        model = self.network()
        pairs = self.pairs(model)
        if issubclass(method, prune.SaliencyUnstructured):
            inputs = None if self.trial.examples else self.ones()
            scores = method.scores(model, example_inputs=inputs, **self.scoring())
            scored = [scores[pair].detach().as_subclass(Tensor).double() for pair in pairs]
        else:
            generator = self.generator(2)
            scored = [
                w.double().abs()
                if self.trial.method == "magnitude"
                else torch.rand(w.shape, generator=generator).double()
                for w in self.weights(model)
            ]
        self.seconds["scoring"] = round(time.perf_counter() - start, 3)
        into, out = sums_at_units(scored)
        return {"layers": [[s.numel(), float(s.mean())] for s in scored], "into": into, "out": out}

    def limit(self) -> Numbers:
        """The critical compression, by bisection of its logarithm."""
        model = self.network()
        found = diagnostics.critical_compression(model, lambda amount: self.remove(model, amount))
        return {
            "critical_log10_compression": math.log10(found.ratio),
            "max_log10_compression": math.log10(found.max_ratio),
            "first_empty": list(found.first_empty),
        }

    def magnitudes(self) -> Numbers:
        """The mean square of each layer's weights, before and after training."""
        images, test = self.data()
        model = self.network()

        def squares() -> list[float]:
            return [float(weight.square().mean()) for weight in self.weights(model)]

        sizes, before = [weight.numel() for weight in self.weights(model)], squares()
        found = self.trained(model, images, test)
        return {**found, "sizes": sizes, "before": before, "after": squares()}
