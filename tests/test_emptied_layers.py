"""A call that empties layers, or cuts inputs or outputs off, says so, once, by name, before anything is attached."""

from __future__ import annotations

import copy
import itertools
import logging
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.faults.fingerprint import fingerprint
from tests.models import Residual
from torch_synflow import prune

X = torch.ones(1, 30)


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    widths = (30, 60, 5, 40, 3)
    layers = [nn.Linear(a, b, bias=False) for a, b in itertools.pairwise(widths)]
    return nn.Sequential(*[module for layer in layers for module in (layer, nn.ReLU())][:-1])


def test_emptied_layers_are_named_with_what_to_do() -> None:
    with pytest.warns(prune.EmptiedLayersWarning) as caught:
        report = prune.global_iterative_unstructured(chain(), prune.SynFlow, 0.99, example_inputs=X, iterations=1)
    (warning,) = caught
    message = str(warning.message)
    assert warning.filename == __file__
    assert f"nothing is left of {len(report.empty_layers)} of 4 layers: {', '.join(report.empty_layers)};" in message
    assert "; no path from the input to any output is left; consider " in message
    assert (report.bypassed, report.collapsed) == ((), report.empty_layers)
    for advice in ("prune.BalancedSynFlow", "a smaller amount", "more iterations", "keep_layers = True"):
        assert advice in message


def test_methods_that_have_no_such_option_do_not_name_it() -> None:
    with pytest.warns(prune.EmptiedLayersWarning) as caught:
        prune.global_iterative_unstructured(chain(), prune.L1Unstructured, 0.999)
    assert "keep_layers" not in str(caught[0].message)
    assert "SynFlow" not in str(caught[0].message)


def test_as_an_error_it_leaves_the_model_as_it_was() -> None:
    model = chain()
    before = fingerprint(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", prune.EmptiedLayersWarning)
        with pytest.raises(prune.EmptiedLayersWarning):
            prune.global_iterative_unstructured(model, prune.SynFlow, 0.99, example_inputs=X, iterations=1)
    assert fingerprint(model) == before


def test_nothing_is_said_where_nothing_is_emptied_or_that_was_asked_for() -> None:
    model = chain()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prune.global_iterative_unstructured(model, prune.SynFlow, 0.9, example_inputs=X)
        densities = {"0.weight": 0.0, "2.weight": 0.5, "4.weight": 0.5, "6.weight": 0.5}
        params = prune.prunable_parameters(chain())
        kept = sum(round(densities[f"{i}.weight"] * params[i // 2][0].weight.numel()) for i in (0, 2, 4, 6))
        total = sum(module.weight.numel() for module, _ in params)
        prune.global_iterative_unstructured(params, prune.L1Unstructured, total - kept, layer_densities=densities)
        prune.global_iterative_unstructured(copy.deepcopy(model), prune.L1Unstructured, 1.0)  # everything
        emptied = chain()
        prune.custom_from_mask(emptied[2], "weight", torch.zeros(5, 60))
        prune.global_iterative_unstructured(emptied, prune.L1Unstructured, 0.1)  # which was empty before


IMAGE = torch.ones(1, 3, 6, 6)


def weak(model: nn.Module, *names: str) -> nn.Module:
    """A model that magnitude pruning takes these layers of first."""
    with torch.no_grad():
        for name in names:
            model.get_submodule(name).weight.mul_(1e-6)
    return model


def elements(model: nn.Module, *names: str) -> int:
    return sum(model.get_submodule(name).weight.numel() for name in names)


def message_of(
    model: nn.Module, amount: int, example_inputs: object, **more: object
) -> tuple[str, prune.PruningReport]:
    with pytest.warns(prune.EmptiedLayersWarning) as caught:
        report = prune.global_iterative_unstructured(
            model, prune.L1Unstructured, amount, model=model, example_inputs=example_inputs, **more
        )
    (warning,) = caught
    assert warning.filename == __file__
    return str(warning.message), report


def test_a_bypassed_layer_is_told_from_one_that_cuts() -> None:
    names = ("shortcut.0",)
    message, report = message_of(weak(Residual(), *names), elements(Residual(), *names), IMAGE)
    assert "nothing is left of 1 of 5 layers: shortcut.0.weight; bypassed by a shortcut: all; consider" in message
    assert (report.bypassed, report.collapsed) == (("shortcut.0.weight",), ())
    assert report.verdict.endswith("; 1 of 5 layers empty (bypassed)")
    names = ("shortcut.0", "conv2")
    message, report = message_of(weak(Residual(), *names), elements(Residual(), *names), IMAGE)
    assert "2 of 5 layers: conv2.weight, shortcut.0.weight; no path from the input to any output is left;" in message
    assert (report.bypassed, report.collapsed) == ((), ("conv2.weight", "shortcut.0.weight"))


class TwoHeads(nn.Module):
    """Two inputs, two outputs, a branch, and an output that no input leads to."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.branch, self.one, self.two, self.unused = (nn.Linear(4, 4) for _ in range(6))

    def forward(self, left: Tensor, right: Tensor, unread: Tensor) -> tuple[Tensor, ...]:
        x = self.left(left) + self.right(right)
        x = x + self.branch(x)
        return self.one(x), self.two(x), self.unused.bias * 2


def test_outputs_and_inputs_that_are_cut_off_are_named_and_no_others() -> None:
    inputs = {name: torch.ones(1, 4) for name in ("left", "right", "unread")}
    message, report = message_of(weak(TwoHeads(), "two", "branch"), 32, inputs)
    assert "branch.weight, two.weight; bypassed by a shortcut: branch.weight; " in message
    assert "; no path from the input to 4 of 8 outputs of an example is left; consider" in message
    assert (report.bypassed, report.collapsed) == (("branch.weight",), ("two.weight",))
    message, report = message_of(weak(TwoHeads(), "left"), 16, inputs)
    assert "left.weight; no path from input 'left' to any output is left; consider" in message
    assert report.collapsed == ("left.weight",)
    message, _ = message_of(weak(TwoHeads(), "left"), 16, tuple(inputs.values()))
    assert "no path from input 0 to any output is left" in message


def test_what_was_cut_off_before_is_not_said_again() -> None:
    model = weak(TwoHeads(), "branch")
    prune.custom_from_mask(model.two, "weight", torch.zeros(4, 4))
    message, report = message_of(model, 16, (torch.ones(1, 4),) * 3)
    assert "nothing is left of 1 of 6 layers: branch.weight; bypassed by a shortcut: all; consider" in message
    assert (report.bypassed, report.collapsed) == (("branch.weight",), ("two.weight",))


def test_the_inputs_of_a_batch_tell_as_well() -> None:
    model = weak(Residual(), "shortcut.0")
    data = (torch.rand(6, 3, 6, 6), torch.arange(6) % 3)
    message, _ = message_of(model, elements(model, "shortcut.0"), None, data=data)
    assert "bypassed by a shortcut: all" in message
    message, _ = message_of(weak(Residual(), "shortcut.0"), elements(model, "shortcut.0"), None, data=[data])
    assert "bypassed by a shortcut: all" in message


def test_layers_that_were_to_be_emptied_are_named_only_if_that_cuts_something_off() -> None:
    model = Residual()
    densities = dict.fromkeys(prune.layer_densities(model), 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prune.global_iterative_unstructured(
            model, prune.L1Unstructured, elements(model, "shortcut.0"), example_inputs=IMAGE,
            layer_densities={**densities, "shortcut.0.weight": 0.0},
        )  # fmt: skip
    model = Residual()
    asked = {**densities, "head.weight": 0.0}
    message, _ = message_of(model, elements(model, "head"), IMAGE, layer_densities=asked)
    assert "1 of 5 layers: head.weight; no path from the input to any output is left" in message


def test_a_model_that_can_not_be_traced_is_pruned_and_the_log_says_what_was_not_looked_at(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Refusing(Residual):
        def forward(self, x: Tensor) -> Tensor:
            raise RuntimeError("no such device")

    model = weak(Refusing(), "shortcut.0")
    torch.manual_seed(3)
    with caplog.at_level(logging.INFO, logger="torch_synflow"):
        message, report = message_of(model, elements(model, "shortcut.0"), IMAGE)
    assert "1 of 5 layers: shortcut.0.weight; consider" in message
    assert (report.empty_layers, report.bypassed, report.collapsed) == (("shortcut.0.weight",), (), ())
    assert "paths are not checked after pruning, because the check failed: RuntimeError: no such device" in caplog.text
    assert prune.is_pruned(model)
    caplog.clear()
    model = weak(Residual(), "shortcut.0")
    with caplog.at_level(logging.INFO, logger="torch_synflow"):
        message_of(model, elements(model, "shortcut.0"), None)
    assert "paths are not checked after pruning, because there is no input" in caplog.text


def test_what_is_cut_off_is_named_where_no_layer_is_empty() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.ReLU(), nn.Linear(4, 4, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(1 + torch.diag(torch.tensor([9.0, 9, 0, 0])))  # the middle neurons that are read
        model[2].weight.copy_(1 + torch.diag(torch.tensor([0.0, 0, 9, 9])))  # are not those that are written
    message, report = message_of(model, 28, torch.ones(1, 4))
    assert message.startswith("L1Unstructured: no path from the input to any output is left; consider a smaller amount")
    assert report.empty_layers == report.collapsed == ()


def test_outputs_that_are_cut_off_are_named_where_no_layer_is_empty() -> None:
    model = chain()
    with torch.no_grad():
        model[6].weight[1].mul_(1e-6)
    with pytest.warns(prune.EmptiedLayersWarning) as caught:
        report = prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=X)
    (warning,) = caught
    message = str(warning.message)
    assert message.startswith("SynFlowUnstructured: no path from the input to 1 of 3 outputs of an example is left; ")
    assert report.empty_layers == ()


def test_the_batches_of_a_loader_tell_as_well_and_are_not_read_again() -> None:
    read = []

    class Counting(Dataset[tuple[Tensor, Tensor]]):
        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            read.append(index)
            return torch.ones(30) + index, torch.tensor(0)

    model = chain()
    with torch.no_grad():
        model[6].weight[1].mul_(1e-6)
        model[6].weight[2].mul_(1e-6)
    loader = DataLoader(Counting(), batch_size=2)
    with pytest.warns(prune.EmptiedLayersWarning, match="no path from the input to 2 of 3 outputs of an example"):
        prune.global_iterative_unstructured(model, prune.SNIP, 0.5, data=loader, loss_fn=lambda y, _: y[:, 0].sum())
    assert read == list(range(6))


def test_nothing_is_run_where_nothing_is_removed() -> None:
    ran = []

    class Counting(Residual):
        def forward(self, x: Tensor) -> Tensor:
            ran.append(x)
            return super().forward(x)

    for amount, runs in ((0.0, False), (0.1, True)):
        model = Counting()
        prune.global_iterative_unstructured(model, prune.L1Unstructured, amount, example_inputs=IMAGE)
        assert prune.is_pruned(model)
        assert bool(ran) == runs
