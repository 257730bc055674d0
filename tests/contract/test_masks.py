"""Masks are ones on the highest scores, in the form of the parameter, one for each tensor."""

from __future__ import annotations

import torch

from tests.cases import MODELS, MethodCase, ModelCase, prune_case, score_case
from tests.contract.runs import equal, every_method, every_model, every_scored_method, structure
from tests.masks import dense, distinct, listed, mask_of, masks_of, places
from torch_synflow import prune


@every_model
@every_method
def test_masks_are_zeros_and_ones_in_the_form_of_the_parameter(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    for _ in range(2):  # the second time there are masks already
        prune_case(method, case, model, 0.4)
        for pair in places(model):
            mask, parameter = mask_of(pair), dense(pair)
            assert set(mask.unique().tolist()) <= {0.0, 1.0}
            assert mask.shape == parameter.shape
            assert mask.dtype == parameter.dtype
            assert mask.device == parameter.device
            assert mask.stride() == parameter.stride()
            assert not mask.requires_grad
            assert mask.is_leaf
            assert mask.data_ptr() != parameter.data_ptr()


@every_model
@every_scored_method
def test_highest_scores_are_kept_and_ties_go_to_the_lower_index(method: MethodCase, case: ModelCase) -> None:
    model = case.build()
    pairs = distinct(model)
    alive = [mask_of(pair).reshape(-1).tolist() for pair in pairs]
    scores = score_case(method, case, model)
    ranked = [
        (-score, layer, index)
        for layer, pair in enumerate(pairs)
        for index, score in enumerate(scores[pair].reshape(-1).tolist())
        if alive[layer][index]
    ]
    keep = len(ranked) - round(0.55 * len(ranked))
    expected = {(layer, index) for _, layer, index in sorted(ranked)[:keep]}
    torch.manual_seed(3)
    prune_case(method, case, model, 0.55, iterations=1)
    kept = {
        (layer, index)
        for layer, pair in enumerate(pairs)
        for index, value in enumerate(mask_of(pair).reshape(-1).tolist())
        if value
    }
    assert kept == expected


@every_model
@every_method
def test_outputs_are_those_of_a_dense_copy_with_masked_weights(method: MethodCase, case: ModelCase) -> None:
    model, copied = case.build(), case.build()
    prune_case(method, case, model, 0.5)
    with torch.no_grad():
        for pair, source in zip(places(copied), places(model), strict=True):
            dense(pair).copy_(dense(source) * mask_of(source))
    model, copied = case.runnable(model).eval(), case.runnable(copied).eval()
    torch.testing.assert_close(case.outputs(model), case.outputs(copied), rtol=0, atol=0)


@every_method
def test_one_tensor_gets_one_mask_in_all_its_places(method: MethodCase) -> None:
    for name, count in (("tied_layers", 2), ("tied_embedding", 2)):
        (case,) = [case for case in MODELS if case.name == name]
        model = case.build()
        prune_case(method, case, model, 0.7)
        shared = [
            pair for pair in places(model) if sum(dense(pair) is dense(other) for other in places(model)) == count
        ]
        assert len(shared) == count
        assert torch.equal(mask_of(shared[0]), mask_of(shared[1]))
        assert not bool(mask_of(shared[0]).all())


@every_method
def test_a_pair_that_is_listed_twice_counts_once(method: MethodCase) -> None:
    case = MODELS[0]
    once, twice = case.build(), case.build()
    expected = prune_case(method, case, once, 0.5)
    torch.manual_seed(3)
    pairs = list(listed(twice))
    report = prune.global_iterative_unstructured(
        [*pairs, *pairs], method.method, 0.5, model=twice, iterations=3, **method.arguments(case)
    )
    assert report == expected
    assert equal(masks_of(once), masks_of(twice))
    assert structure(once) == structure(twice)
