"""Prune size and cut size, schedules, and the ablations of each granularity, as trials have them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("sklearn")

from benchmarks.figures import FIGURES
from benchmarks.sweep.choice import Choice
from benchmarks.sweep.executors import InProcess
from benchmarks.sweep.measure import Bench
from benchmarks.sweep.run import run_search
from benchmarks.sweep.store import Store
from benchmarks.sweep.trial import ABLATIONS, Trial
from benchmarks.training.datasets import Source
from benchmarks.training.recipes import Recipe
from torch_synflow import diagnostics, prune


def bench(**settings: Any) -> Bench:
    given = {"measure": "masks", "dataset": "digits", "network": "vgg_small", "recipe": Recipe(epochs=1, gamma="one")}
    return Bench(Trial(**{**given, **settings}), Source(), torch.device("cpu"))


def test_sizes_are_sums_of_the_scores_of_what_goes_and_of_the_least_layer() -> None:
    one = bench(measure="cuts", method="synflow", density=0.1)
    result, model = one.measure(), one.network()
    pairs = prune.prunable_parameters(model)
    scores = [s.as_subclass(Tensor) for s in prune.synflow_scores(model, one.ones()).values()]
    report = prune.global_iterative_unstructured(pairs, prune.SynFlow, 0.9, example_inputs=one.ones(), iterations=1)
    gone = sum(float((s * (1 - m.weight_mask)).sum()) for s, (m, _) in zip(scores, pairs, strict=True))
    assert result["kept"] == report.kept
    assert result["prune_sizes"] == [pytest.approx(gone)]
    assert result["cut_sizes"] == [pytest.approx(min(float(s.sum()) for s in scores))]


@pytest.mark.parametrize("schedule", ["linear", "exponential"])
def test_the_masks_are_those_of_the_loop_with_the_same_schedule(schedule: str) -> None:
    settings: dict[str, Any] = {"method": "synflow", "density": 0.05, "iterations": 6, "pruning_schedule": schedule}
    cuts, masks = bench(measure="cuts", **settings).measure(), bench(**settings).measure()
    assert cuts["layers"] == masks["layers"]
    assert len(cuts["prune_sizes"]) == 6


def test_schedules_differ_and_many_exponential_iterations_stay_below_the_cut() -> None:
    def ratio(schedule: str) -> float:
        found = bench(
            measure="cuts", method="synflow", density=0.01, iterations=30, pruning_schedule=schedule
        ).measure()
        return max(p / c for p, c in zip(found["prune_sizes"], found["cut_sizes"], strict=True))

    assert ratio("exponential") < 1 < ratio("linear")


def test_sizes_of_a_method_without_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="method: expected one that scores a model, got L1Unstructured"):
        bench(measure="cuts", method="magnitude", density=0.1).measure()


@pytest.mark.parametrize("ablation", [kind for kind in ABLATIONS if kind.startswith("shuffle")])
def test_shuffles_of_each_granularity_keep_what_they_say(ablation: str) -> None:
    def pruned(ablation: str) -> torch.nn.Module:
        one = bench(method="synflow", density=0.1, iterations=3, ablation=ablation)
        model = one.network()
        one.prune(model, 0.1)
        return model

    plain, shuffled = pruned("none"), pruned(ablation)
    before, after = prune.masks(plain), prune.masks(shuffled)
    assert {k: int(m.sum()) for k, m in before.items()} == {k: int(m.sum()) for k, m in after.items()}
    assert any(not torch.equal(before[key], after[key]) for key in before)
    kept = {
        "shuffle_neuron": lambda mask: mask.flatten(1).sum(1),
        "shuffle_input": lambda mask: mask.transpose(0, 1).flatten(1).sum(1),
        "shuffle_kernel": lambda mask: mask.flatten(2).sum(2) if mask.dim() > 2 else mask,
    }.get(ablation)
    if kept is not None:
        assert all(torch.equal(kept(before[key]), kept(after[key])) for key in before)
    if ablation == "shuffle_effective":
        ones = bench().ones()
        counts = [diagnostics.effective_sparsity(model, ones).effective for model in (plain, shuffled)]
        assert counts[0] == counts[1]


@pytest.mark.parametrize("method", ["iterative_grasp", "damage"])
def test_iterative_grasp_and_optimal_brain_damage_run_in_sweeps(method: str) -> None:
    trial = Choice(examples=2, iterations=3).trial(
        "masks", "digits/vgg_small", Recipe(epochs=1), 0, method, density=0.2
    )
    assert trial.iterations == (3 if method == "iterative_grasp" else 1)
    result = Bench(trial, Source(), torch.device("cpu")).measure()
    assert result["kept"] == round(0.2 * result["total"])


def test_a_search_runs_what_its_results_ask_for_and_goes_on(tmp_path: Any) -> None:
    """Of 24 densities four or so are tried; run again, nothing runs."""
    figure = FIGURES["matching"]
    densities = tuple(0.8**step for step in range(1, 24))
    choice = Choice(
        pair=("digits/vgg_small",), seeds=2, epochs_scale=0.1, methods=("random",), densities=densities, margin=5.0
    )
    panels, trials, store = figure.chosen(choice), figure.trials(choice), Store(tmp_path)
    assert figure.search is not None

    def executor() -> InProcess:
        return InProcess(Source(), "cpu", torch.get_num_threads())

    def proposed() -> list[Trial]:
        assert figure.search is not None
        return figure.search(panels, store.records(trials))

    first = run_search(proposed, store, executor(), executor, bar=False)
    assert not first.failed
    assert 6 <= first.done < len(trials) / 2
    assert proposed() == []
    again = run_search(proposed, store, executor(), executor, bar=False)
    assert again.done == 0
