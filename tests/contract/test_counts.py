"""Counts are exact, reports say what masks say, and masks only shrink."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from benchmarks.faults.fingerprint import bits
from tests.cases import METHODS, SCORED, MethodCase, ModelCase, prune_case
from tests.contract.runs import equal, every_method, every_model
from tests.masks import alive_in, dense, distinct, masks_of, removed
from torch_synflow import prune

AMOUNTS = [0, 7, 0.37, 1.0]


def test_every_exported_scored_method_is_in_the_table() -> None:
    exported = {
        value
        for value in (getattr(prune, name) for name in dir(prune))
        if isinstance(value, type)
        and issubclass(value, prune.SaliencyUnstructured)
        and value is not prune.SaliencyUnstructured
    }
    assert {prune.SynFlow, prune.SNIP, prune.GraSP} <= exported
    assert exported == {method.method for method in SCORED}


@every_model
def test_models_of_the_table_are_the_same_at_each_build(case: ModelCase) -> None:
    first, second = case.build().state_dict(), case.build().state_dict()
    assert list(first) == list(second)
    assert all(bits(first[name]) == bits(second[name]) for name in first)


@every_model
@every_method
def test_keeps_exactly_the_count(method: MethodCase, case: ModelCase) -> None:
    for amount in AMOUNTS:
        model = case.build()
        alive = alive_in(model)
        report = prune_case(method, case, model, amount)
        assert alive_in(model) == report.kept == alive - removed(amount, alive), f"amount {amount}"


@every_model
@every_method
def test_report_says_what_the_masks_say(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    report = prune_case(method, case, model, 0.6)
    inside = model.module if isinstance(model, nn.DataParallel) else model
    paths = {id(module): path for path, module in inside.named_modules()}
    pairs = distinct(model)
    assert [layer.name for layer in report.layers] == [f"{paths[id(module)]}.{name}" for module, name in pairs]
    assert [layer.kept for layer in report.layers] == [int(mask.sum(dtype=torch.int64)) for mask in masks_of(model)]
    assert [layer.total for layer in report.layers] == [dense(pair).numel() for pair in pairs]


@every_model
@every_method
def test_callback_is_told_each_step_and_counts_never_rise(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    alive = alive_in(model)
    steps: list[int] = []
    reports: list[prune.PruningReport] = []

    def callback(step: int, report: prune.PruningReport) -> None:
        steps.append(step)
        reports.append(report)

    final = prune_case(method, case, model, 0.8, iterations=4, callback=callback)
    density = (alive - round(0.8 * alive)) / alive
    assert steps == [1, 2, 3, 4]
    assert [report.kept for report in reports] == [round(density ** (k / 4) * alive) for k in steps]
    assert reports[-1].layers == final.layers  # what is cut off is known at the end
    for before, after in pairwise(reports):
        assert method.returning or all(a.kept <= b.kept for a, b in zip(after.layers, before.layers, strict=True))


@every_model
@every_method
def test_masks_are_nested_over_repeated_pruning(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    before = masks_of(model)
    for amount in (0.3, 11, 0.5):
        alive = alive_in(model)
        prune_case(method, case, model, amount)
        after = masks_of(model)
        assert all(bool((new <= old).all()) for new, old in zip(after, before, strict=True))
        assert alive_in(model) == alive - removed(amount, alive)
        before = after


@every_model
@pytest.mark.parametrize(
    "method", [method for method in METHODS if not method.returning], ids=lambda method: method.name
)
def test_iterating_is_pruning_again_and_again(method: MethodCase, case: ModelCase) -> None:
    """Each iteration scores what the one before has left, as if that had been attached to the model."""
    counts: list[int] = []
    once = case.build()
    prune_case(method, case, once, 0.8, callback=lambda step, report: counts.append(report.kept))
    torch.manual_seed(3)
    again = case.build()
    for count in counts:
        prune_case(method, case, again, alive_in(again) - count, iterations=1)
    assert equal(masks_of(once), masks_of(again))
