"""The boolean pass, with and without the elements of the tensors."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.cases import MODELS, ModelCase
from torch_synflow import prune
from torch_synflow.model.parameters import resolve, unwrap
from torch_synflow.reachability.reached import reach


@pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)
def test_without_elements_the_rest_is_the_same(case: ModelCase) -> None:
    model, inputs = unwrap(case.build()), case.inputs()
    entries = resolve(prune.prunable_parameters(model), model)
    for emptied in range(-1, len(entries)):
        under = [
            replace(entry, mask=torch.zeros_like(entry.mask)) if index == emptied else entry
            for index, entry in enumerate(entries)
        ]
        whole, rest = reach(model, inputs, under), reach(model, inputs, under, elements=False)
        assert len(whole.used) == len(entries)
        assert rest.used == []
        for ours, theirs in zip(rest.outputs, whole.outputs, strict=True):
            assert torch.equal(ours, theirs)
        assert (rest.inputs, rest.bypassed, rest.collapsed) == (whole.inputs, whole.bypassed, whole.collapsed)
