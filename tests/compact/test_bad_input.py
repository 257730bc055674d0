"""Bad input is one error that names what is wrong, and leaves model and optimizer as they were."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.compact.nets import made
from torch_synflow import prune


def pruned() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2))
    prune.custom_from_mask(model[2], "weight", torch.tensor([[1, 1, 0, 0, 0, 0]] * 2))
    return model


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return 2 * x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * gradient


class Custom(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _Doubled.apply(x)


class Numpy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.detach().numpy())


class Silent(nn.Module):
    def forward(self, x: Tensor) -> None:
        return None


def test_a_model_without_masks_is_returned_as_it_is() -> None:
    model = nn.Linear(3, 2)
    with pytest.warns(
        UserWarning, match="no masks, and is returned unchanged; prune it first, or .* prune.apply_masks"
    ):
        assert prune.shrink(model, torch.rand(1, 3)) is model


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda model: model.insert(1, Custom()), r"^1: expected operations of torch.*_DoubledBackward made"),
        (lambda model: model.insert(1, Numpy()), "^numpy in 1: expected operations of torch .* that leave torch"),
        (lambda model: model.append(Silent()), "^model: expected outputs that are tensors"),
        (lambda model: model.insert(0, nn.Linear(4, 3)), r"^0: expected a model that runs on example_inputs"),
        (lambda model: prune.random_unstructured(model[2], "weight", 4), r"^2\.weight: expected a path from the input"),
    ],
)
def test_one_error_names_the_module_and_nothing_changes(change: Any, match: str) -> None:
    model = pruned()
    change(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    before, modes = copy.deepcopy(model.state_dict()), [module.training for module in model.modules()]
    held = list(model.parameters())
    with pytest.raises(ValueError, match=match):
        prune.shrink(model, torch.rand(2, 3), optimizer=optimizer)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(a is b for a, b in zip(model.parameters(), held, strict=True))
    assert all(a is b for a, b in zip(optimizer.param_groups[0]["params"], held, strict=True))
    assert [module.training for module in model.modules()] == modes


def test_an_error_while_the_networks_are_compared_names_the_first_module(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_synflow.compact import shrink as room

    real = room.cut

    def wrong(small: nn.Module, indices: Any) -> None:
        real(small, indices)
        small[2].bias.data += 1

    monkeypatch.setattr(room, "cut", wrong)
    with pytest.raises(
        ValueError, match=r"^2: expected the outputs of the pruned model in evaluation, got outputs that"
    ):
        prune.shrink(pruned(), torch.rand(2, 3))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((3, torch.rand(1, 3)), TypeError, "^model: expected an nn.Module, got int"),
        ((pruned(), None), ValueError, "^example_inputs: expected the model's inputs, got None"),
    ],
)
def test_arguments_of_other_kinds_are_refused(arguments: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        prune.shrink(*arguments)


def test_an_optimizer_of_another_kind_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^optimizer: expected a torch.optim.Optimizer, got list"):
        prune.shrink(pruned(), torch.rand(1, 3), optimizer=[])  # type: ignore[arg-type]


def test_a_state_that_can_not_be_cut_is_refused_and_the_optimizer_stays() -> None:
    model = pruned()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    optimizer.state[model[0].weight] = {"rows": torch.ones(6, 1)}
    held = list(optimizer.param_groups[0]["params"])
    with pytest.raises(ValueError, match=r"^0\.weight: rows: expected optimizer state .*\(6, 3\) .* got \(6, 1\)"):
        prune.shrink(model, torch.rand(1, 3), optimizer=optimizer)
    assert all(a is b for a, b in zip(optimizer.param_groups[0]["params"], held, strict=True))
    assert list(optimizer.state) == [model[0].weight]


def test_parameters_of_other_models_stay_in_the_optimizer() -> None:
    model, other = pruned(), nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([{"params": model.parameters()}, {"params": [other], "lr": 0.5}], 0.1)
    small = prune.shrink(model, torch.rand(1, 3), optimizer=optimizer)
    first, second = optimizer.param_groups
    assert all(a is b for a, b in zip(first["params"], small.parameters(), strict=True))
    assert second["params"][0] is other


def test_a_model_shrinks_after_a_step_of_training_and_keeps_its_gradients() -> None:
    model, x = made("residual")
    model(x).sum().backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    small = prune.shrink(model, x)
    assert all(p.grad is gradient for p, gradient in zip(model.parameters(), gradients, strict=True))
    assert all(parameter.grad is None for parameter in small.parameters())
    torch.testing.assert_close(small(x), model(x))


def test_random_states_and_inputs_stay_as_they_are() -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(), *pruned())
    x = torch.randn(2, 3)
    before, random = x.clone(), torch.get_rng_state()
    prune.shrink(model, x)
    assert torch.equal(x, before)
    assert torch.equal(torch.get_rng_state(), random)


def test_wrappers_are_left_off() -> None:
    small = prune.shrink(nn.DataParallel(pruned()), torch.rand(1, 3))
    assert isinstance(small, nn.Sequential)
    assert small[0].out_features == 2
