"""Which of a model's outputs count."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from torch_synflow import prune


class TwoHeads(nn.Module):
    """A main head, an auxiliary one, and hidden states that end in NaN."""

    def __init__(self, form: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.form = form
        self.body, self.main, self.aux = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(8, 30)

    def forward(self, x: Tensor) -> Any:
        hidden = torch.relu(self.body(x))
        return self.form(self.main(hidden), self.aux(hidden), hidden + torch.nan)


class Attributes:
    def __init__(self, main: Tensor, aux: Tensor, hidden: Tensor) -> None:
        self.main, self.aux, self.hidden = main, aux, hidden


CHOICES = [
    (lambda *parts: dict(zip(("main", "aux", "hidden"), parts, strict=True)), "main"),
    (lambda *parts: parts, 0),
    (lambda *parts: list(parts), -3),
    (Attributes, "main"),
    (lambda *parts: parts, lambda outputs: outputs[0]),
]


def expected(method: Any, **arguments: Any) -> list[Tensor]:
    model = TwoHeads(lambda main, *_: main)
    params = [(model.body, "weight"), (model.main, "weight")]
    return list(method.scores(model, params, **arguments).values())


@pytest.mark.parametrize(("form", "chosen"), CHOICES)
def test_only_the_output_that_is_chosen_counts(form: Any, chosen: Any) -> None:
    model = TwoHeads(form)
    params = [(model.body, "weight"), (model.main, "weight")]
    batch = {"data": (torch.ones(3, 4), torch.arange(3)), "loss_fn": F.cross_entropy}
    for method, arguments in ((prune.SynFlow, {"example_inputs": torch.ones(1, 4)}), (prune.SNIP, batch)):
        found = method.scores(model, params, outputs=chosen, **arguments).values()
        for score, value in zip(found, expected(method, **arguments), strict=True):
            torch.testing.assert_close(score.as_subclass(Tensor), value.as_subclass(Tensor))


def test_a_head_that_does_not_count_is_no_output_that_is_cut_off() -> None:
    model = TwoHeads(lambda main, aux, hidden: {"main": main, "aux": aux})
    with pytest.warns(UserWarning, match="SynFlow") as caught:
        report = prune.global_iterative_unstructured(
            model, prune.SynFlow, 0.9, example_inputs=torch.ones(1, 4), outputs="main"
        )
    assert report.empty_layers == ("aux.weight",)
    said = " ".join(str(warning.message) for warning in caught)
    assert "on no path from input to output in evaluation mode, so scored zero and pruned first: aux.weight" in said
    assert "no path from the input to" not in said


def test_a_bound_class_remembers_what_counts() -> None:
    model = TwoHeads(lambda *parts: parts)
    bound = prune.SynFlow.bind(model, example_inputs=torch.ones(1, 4), outputs=0)
    params = [(model.body, "weight"), (model.main, "weight")]
    found = bound.scores(parameters=params).values()
    for score, value in zip(found, expected(prune.SynFlow, example_inputs=torch.ones(1, 4)), strict=True):
        torch.testing.assert_close(score.as_subclass(Tensor), value.as_subclass(Tensor))


@pytest.mark.parametrize(
    ("chosen", "error", "message"),
    [
        (
            "logits",
            ValueError,
            r"outputs: expected an output that the model returns or a submodule of it, got 'logits' of dict with main",
        ),
        (7, ValueError, r"outputs: expected an output .* got 7 of dict with main, aux"),
        (2.5, TypeError, r"outputs: expected a key, .* or a list of these, got 2\.5"),
        (True, TypeError, r"outputs: expected a key, .* or a list of these, got True"),
    ],
)
def test_what_chooses_nothing_is_an_error(chosen: Any, error: type[Exception], message: str) -> None:
    model = TwoHeads(CHOICES[0][0])
    with pytest.raises(error, match=message):
        prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=torch.ones(1, 4), outputs=chosen)
    assert not hasattr(model.body, "weight_mask")
