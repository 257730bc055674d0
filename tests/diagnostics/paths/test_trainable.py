"""What keeps a model from training, and what residual blocks have lost, by name."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from benchmarks.faults.fingerprint import fingerprint
from tests.models import Residual
from torch_synflow import diagnostics, prune

X = torch.rand(1, 3, 6, 6)


def emptied(*names: str) -> nn.Module:
    model = Residual()
    for name in names:
        torch_prune.random_unstructured(model.get_submodule(name), "weight", amount=1.0)
    return model


def test_a_dense_model_is_fine() -> None:
    found = diagnostics.trainability(emptied(), X)
    assert found.can_train
    assert (found.problems, found.residual, found.empty_layers, found.stopped_at) == ((), (), (), ())
    assert (found.reached, found.outputs) == (3, 3)
    assert set(found.effective) == {1.0}
    assert str(found) == "every output has a path from the input; no layer empty"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert diagnostics.warn_if_untrainable(emptied(), X) == found


@pytest.mark.parametrize("name", ["stem", "head"])
def test_an_empty_layer_that_cuts_is_named(name: str) -> None:
    model = emptied(name)
    before = fingerprint(model)
    message = f"no path from the input to any output: {name}.weight kept nothing and cuts the model"
    with pytest.warns(UserWarning, match=f"Residual cannot train as it should: {message}"):
        found = diagnostics.warn_if_untrainable(model, X)
    assert fingerprint(model) == before
    assert not found.can_train
    assert found.stopped_at == (f"{name}.weight",)
    assert (found.bypassed, found.collapsed) == ((), found.empty_layers)
    assert str(found).splitlines() == ["cannot train; 1 of 5 layers empty (layer collapse)", message]


def test_an_empty_layer_that_does_not_cut_is_no_reason_to_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = diagnostics.warn_if_untrainable(emptied("shortcut.0"), X)
    assert found.can_train
    assert found.empty_layers == ("shortcut.0.weight",)


def test_the_skip_path_is_gone() -> None:
    found = diagnostics.trainability(emptied("shortcut.0"), X)
    assert found.residual == ("inside a residual block, the skip path is gone (shortcut.0.weight)",)
    assert (found.bypassed, found.collapsed) == (found.empty_layers, ())
    verdict = "every output has a path from the input; 1 of 5 layers empty (bypassed)"
    assert str(found).splitlines() == [verdict, found.residual[0]]


@pytest.mark.parametrize("name", ["conv1", "conv2"])
def test_the_branch_is_gone(name: str) -> None:
    found = diagnostics.trainability(emptied(name), X)
    assert found.residual == ("inside a residual block, the branch is gone (conv1.weight, conv2.weight)",)


def test_both_sides_gone_cut_the_model() -> None:
    found = diagnostics.trainability(emptied("shortcut.0", "conv2"), X)
    assert found.residual == ()
    assert found.problems == (
        "no path from the input to any output: conv2.weight, shortcut.0.weight kept nothing and cuts the model",
    )


def test_layers_that_do_not_meet_cut_without_being_empty() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    torch_prune.custom_from_mask(model[0], "weight", torch.tensor([[1, 1], [0, 0]]))
    torch_prune.custom_from_mask(model[2], "weight", torch.tensor([[0, 1], [0, 1]]))
    found = diagnostics.trainability(model, torch.rand(1, 2))
    assert found.problems == ("no path from the input to any output: the input stops at 2.weight",)
    assert found.empty_layers == ()


def test_outputs_without_a_path_are_counted() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 3))
    torch_prune.custom_from_mask(model[2], "weight", torch.tensor([[1, 0], [0, 0], [0, 0]]))
    message = "no path from the input to 2 of 3 outputs of an example"
    with pytest.warns(UserWarning, match=message):
        found = diagnostics.warn_if_untrainable(model, torch.rand(1, 2))
    assert found.can_train
    assert found.problems == (message,)


def test_a_skip_path_that_is_the_identity_stays() -> None:
    class Identity(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.a, self.b, self.head = (nn.Linear(4, 4) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.stem(x))
            y = torch.relu(self.a(x))
            y = self.b(y)
            y += x
            return self.head(y)

    model = Identity()
    torch_prune.random_unstructured(model.a, "weight", amount=1.0)
    found = diagnostics.trainability(model, torch.rand(1, 4))
    assert found.residual == ("inside a residual block, the branch is gone (a.weight, b.weight)",)
    assert found.can_train


def test_a_sum_of_two_inputs_is_no_residual_block() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.head = nn.Linear(2, 3), nn.Linear(2, 3), nn.Linear(3, 2)

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.head(self.left(left) + self.right(right))

    model = Two()
    torch_prune.random_unstructured(model.left, "weight", amount=1.0)
    found = diagnostics.trainability(model, (torch.rand(1, 2), torch.rand(1, 2)))
    assert found.residual == ()
    assert str(found).splitlines() == [
        "every output has a path from the input; 1 of 3 layers empty (layer collapse)",
        "left.weight kept nothing (layer collapse)",  # of the left input nothing is left
    ]


def test_an_empty_layer_whose_name_ends_that_of_another_is_listed() -> None:
    class Concatenated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down, self.up, self.setup = nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.setup(torch.cat([x, self.up(self.down(x))], dim=1))

    model = Concatenated()
    for module in model.children():
        torch_prune.random_unstructured(module, "weight", amount=1.0)
    torch_prune.custom_from_mask(model.setup, "bias", torch.ones(2))  # so that something is kept
    assert str(diagnostics.trainability(model, torch.rand(1, 2))).splitlines() == [
        "cannot train; 3 of 4 layers empty (layer collapse)",
        "no path from the input to any output: down.weight, setup.weight kept nothing and cuts the model",
        "up.weight kept nothing (layer collapse)",
    ]


def test_outputs_in_part_are_said_first() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 3))
    torch_prune.custom_from_mask(model[2], "weight", torch.tensor([[1, 0], [0, 0], [0, 0]]))
    found = diagnostics.trainability(model, torch.rand(1, 2))
    assert str(found).splitlines() == ["can train in part; no layer empty", *found.problems]


def test_a_network_that_synflow_pruned_to_the_limit_can_train() -> None:
    model = Residual()
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.98, example_inputs=X)
    assert diagnostics.trainability(model, X).can_train
