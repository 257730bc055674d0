"""However the helper is called: inside torch's contexts, with lists, generators or the model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from tests.cases import METHODS, MODELS, MethodCase, ModelCase, prune_case
from tests.contract.runs import equal, every_method, every_model
from tests.masks import Pair, dense, distinct, listed, mask_of, masks_of
from tests.models import TiedEmbedding
from torch_synflow import prune


@cache
def masks_outside(method: MethodCase, case: ModelCase) -> list[torch.Tensor]:
    model = case.build()
    torch.manual_seed(3)
    prune_case(method, case, model, 0.6)
    return masks_of(model)


@pytest.mark.parametrize(
    "context",
    [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", dtype=torch.bfloat16)],
    ids=["no_grad", "inference_mode", "autocast"],
)
@every_model
@every_method
def test_masks_are_the_same_inside_torchs_contexts(
    method: MethodCase, case: ModelCase, context: Callable[[], Any]
) -> None:
    inside = case.build()
    torch.manual_seed(3)
    with context():
        prune_case(method, case, inside, 0.6)
    assert equal(masks_of(inside), masks_outside(method, case))
    assert not any(tensor.is_inference() for tensor in inside.state_dict(keep_vars=True).values())
    inside = case.runnable(inside).train()
    case.loss_fn(case.outputs(inside), case.batch()[1]).backward()
    trained = [dense(pair) for pair in distinct(inside) if dense(pair).requires_grad]
    assert trained
    assert all(parameter.grad is not None for parameter in trained)


@every_model
@every_method
def test_parameters_may_be_a_list_a_generator_or_the_model(method: MethodCase, case: ModelCase) -> None:
    remembering = case.build()
    expected = prune_case(method, case, remembering, 0.6)
    forms: list[Callable[[nn.Module], Any]] = [
        lambda model: list(listed(model)),
        lambda model: (pair for pair in listed(model)),
        lambda model: tuple([module, name] for module, name in listed(model)),
        lambda model: model,
    ]
    if case.make is TiedEmbedding:
        forms.pop()  # of which a weight that is an embedding's too is not listed unless it is asked for
    for form in forms:
        model = case.build()
        torch.manual_seed(3)
        report = prune.global_iterative_unstructured(
            form(model), method.method, 0.6, model=model, iterations=3, **method.arguments(case)
        )
        assert report == expected
        assert equal(masks_of(model), masks_of(remembering))


@pytest.mark.parametrize("method", [case for case in METHODS if not case.scored], ids=lambda method: method.name)
def test_unscored_methods_need_no_model(method: MethodCase) -> None:
    case = MODELS[0]
    known, unknown = case.build(), case.build()
    prune_case(method, case, known, 0.6)
    torch.manual_seed(3)
    report = prune.global_iterative_unstructured(list(listed(unknown)), method.method, 0.6, iterations=3)
    assert equal(masks_of(known), masks_of(unknown))
    assert [layer.name for layer in report.layers] == ["parameters[0] (Linear.weight)", "parameters[1] (Linear.weight)"]


@every_model
@every_method
def test_only_what_is_listed_is_pruned(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    first, left = distinct(model)[0], distinct(model)[1:]
    before = [mask_of(pair).clone() for pair in left]
    alive = int(mask_of(first).sum(dtype=torch.int64))
    pairs: list[Pair] = [first]
    report = prune.global_iterative_unstructured(
        pairs, method.method, 0.5, model=model, iterations=2, **method.arguments(case)
    )
    assert report.kept == alive - round(0.5 * alive)
    assert len(report.layers) == 1
    assert equal([mask_of(pair) for pair in left], before)
