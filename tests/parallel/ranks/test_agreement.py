"""What differs between ranks, in words."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from torch_synflow import prune
from torch_synflow.model.parameters import resolve
from torch_synflow.parallel.ranks.agreement import SHOWN, differences_of
from torch_synflow.parallel.ranks.description import described, in_words
from torch_synflow.parallel.ranks.fingerprints import fingerprint


def test_what_is_the_same_is_not_named_and_what_is_missing_is() -> None:
    text = differences_of([{"a": "1", "b": "2"}, {"a": "1"}], [4, 6])
    assert text == "b: 2 on rank 4, none on rank 6"


def test_many_differences_are_counted() -> None:
    first, second = ({f"layer{n}": str(n + shift) for n in range(SHOWN + 3)} for shift in (0, 1))
    text = differences_of([first, second], [0, 1])
    assert text.count(" on rank 0") == SHOWN
    assert text.endswith("; and 3 more")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.5, "0.5"),
        (None, "None"),
        ("logits", "'logits'"),
        (F.cross_entropy, "torch.nn.functional.cross_entropy"),
        (partial(F.cross_entropy, label_smoothing=0.1), "partial(torch.nn.functional.cross_entropy)"),
        (nn.CrossEntropyLoss(), "torch.nn.modules.loss.CrossEntropyLoss"),
        ({}, "builtins.dict"),
    ],
)
def test_words_without_addresses(value: object, words: str) -> None:
    assert in_words(value) == words


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.bool, torch.complex64])
def test_fingerprints_tell_values_and_places_apart_and_not_layouts(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    tensor = (torch.rand(3, 5, 4, 4) > 0.5).to(dtype)
    same = tensor.clone().to(memory_format=torch.channels_last)
    assert fingerprint(same) == fingerprint(tensor)
    swapped = tensor.flatten().clone()
    place = int((swapped[1:] != swapped[:-1]).nonzero()[0])
    swapped[place], swapped[place + 1] = swapped[place + 1].clone(), swapped[place].clone()
    assert fingerprint(swapped) != fingerprint(tensor)
    other = tensor.flatten().clone()
    other[7] = other[7] == 0
    assert fingerprint(other) != fingerprint(tensor)


def test_long_tensors_and_empty_ones_have_fingerprints() -> None:
    long = torch.zeros((1 << 20) + 3)
    before = fingerprint(long)
    long[-1] = 1
    assert fingerprint(long) != before
    assert fingerprint(torch.zeros(0)) == fingerprint(torch.zeros(0))


def test_a_description_names_weights_others_settings_and_arguments() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    entries = resolve([(model[0], "weight")], model)
    found = described(entries, model, prune.GraSP, {"amount": 0.5})
    assert list(found) == ["pruning_method", "amount", "parameters", "0.weight", "0.bias", "1.weight", "1.bias"]
    assert "temperature=200.0" in found["pruning_method"]
    assert found["0.weight"].startswith("(2, 3) float32 on cpu with values ")
    model[0].bias.data[0] += 1
    again = described(entries, model, prune.GraSP, {"amount": 0.5})
    assert [name for name in found if found[name] != again[name]] == ["0.bias"]
