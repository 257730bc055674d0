"""A fingerprint says where two states of a model differ, and equals that of a model built apart if asked to."""

from __future__ import annotations

import torch
from torch import nn

from benchmarks.faults.fingerprint import differences, fingerprint
from benchmarks.faults.models import random_subject


def test_differences_name_the_place() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = fingerprint(model)
    assert differences(before, fingerprint(model)) == []
    model[1].running_mean.add_(1)
    assert [text.split(":")[0] for text in differences(before, fingerprint(model))] == [
        "1._buffers.running_mean bits",
        "1._buffers.running_mean version",
    ]


def test_minus_zero_and_one_for_true_are_changes() -> None:
    model = nn.Linear(2, 2)
    model.flag = True
    model.weight.data.zero_()
    before = fingerprint(model, versions=False)
    model.weight.data.neg_()
    assert len(differences(before, fingerprint(model, versions=False))) == 1
    model.weight.data.neg_()
    model.flag = 1
    assert len(differences(before, fingerprint(model, versions=False))) == 1


def test_models_built_apart_are_equal_without_identities() -> None:
    prints = []
    for _ in range(2):
        model = random_subject(11).model
        torch.manual_seed(0)
        prints.append(fingerprint(model, identities=False))
    assert differences(*prints) == []
    assert prints[0] != fingerprint(model)
    next(model.parameters()).data.add_(1)
    assert prints[0] != fingerprint(model, identities=False)
