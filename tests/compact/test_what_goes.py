"""Which channels go, which stay, and why: each rule on the smallest network that shows it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.compact.nets import Heads, Recurrent, Residual
from torch_synflow import prune


def keep(module: nn.Module, rows: list[int] | None = None, columns: list[int] | None = None) -> None:
    """Mask all of a weight but these output and input channels."""
    mask = torch.zeros_like(module.weight)
    every = [range(size) for size in mask.shape[:2]]
    rows, columns = (
        list(all_of) if some is None else some for some, all_of in zip((rows, columns), every, strict=True)
    )
    mask[torch.tensor(rows, dtype=torch.int)[:, None], torch.tensor(columns, dtype=torch.int)] = 1
    prune.custom_from_mask(module, "weight", mask)


def two_layers(activation: nn.Module, *, bias: bool) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4, bias=bias), activation, nn.Linear(4, 2))


def test_a_neuron_that_nothing_reads_goes_with_its_weights_and_its_bias() -> None:
    model = two_layers(nn.Sigmoid(), bias=True)
    keep(model[2], columns=[1, 3])
    small = prune.shrink(model, torch.rand(2, 3))
    assert small[0].weight.tolist() == model[0].weight[[1, 3]].tolist()
    assert small[0].bias.tolist() == model[0].bias[[1, 3]].tolist()
    assert (small[0].out_features, small[2].in_features) == (2, 2)


@pytest.mark.parametrize(("activation", "left"), [(nn.ReLU(), 2), (nn.GELU(), 2), (nn.Sigmoid(), 4)])
def test_a_neuron_without_inputs_and_bias_goes_if_the_activation_makes_zero_of_zero(
    activation: nn.Module, left: int
) -> None:
    model = two_layers(activation, bias=False)
    keep(model[0], rows=[0, 2])
    assert prune.shrink(model, torch.rand(2, 3))[0].out_features == left


def test_a_neuron_without_inputs_stays_if_its_bias_is_trained_and_the_report_says_so() -> None:
    model = two_layers(nn.ReLU(), bias=True)
    keep(model[0], rows=[0, 2, 3])
    small = prune.shrink(model, torch.rand(2, 3))
    assert small[0].out_features == 4
    assert small.shrink_report.layers[0].notes == ("1 pass on a constant, 0.bias, that is trained",)


@pytest.mark.parametrize(("activation", "left"), [(nn.ReLU(), 3), (nn.GELU(), 4)])
def test_a_bias_of_zero_stays_zero_behind_relu_alone(activation: nn.Module, left: int) -> None:
    model = two_layers(activation, bias=True)
    nn.init.zeros_(model[0].bias)
    keep(model[0], rows=[0, 2, 3])
    assert prune.shrink(model, torch.rand(2, 3))[0].out_features == left


def test_a_bias_of_zero_with_momentum_does_not_stay_zero() -> None:
    model = two_layers(nn.ReLU(), bias=True)
    nn.init.zeros_(model[0].bias)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.rand(9, 3)).sum().backward()
    optimizer.step()
    nn.init.zeros_(model[0].bias)
    keep(model[0], rows=[0, 2, 3])
    for state in optimizer.state.values():
        state["momentum_buffer"] += 1
    assert prune.shrink(model, torch.rand(2, 3))[0].out_features == 3
    assert prune.shrink(model, torch.rand(2, 3), optimizer=optimizer)[0].out_features == 4


def test_frozen_biases_of_zero_are_no_constants() -> None:
    model = two_layers(nn.GELU(), bias=True)
    nn.init.zeros_(model[0].bias)
    model[0].bias.requires_grad_(False)
    keep(model[0], rows=[0, 2])
    small = prune.shrink(model, torch.rand(2, 3))
    assert small[0].out_features == 2
    assert not small[0].bias.requires_grad


def test_a_running_mean_that_is_not_zero_is_a_constant() -> None:
    def normed() -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))

    fresh, moved = normed(), normed()
    moved[1].running_mean += 1
    for model in (fresh, moved):
        keep(model[0], rows=[1, 2])
    x = torch.rand(2, 3, 5, 5)
    assert [prune.shrink(model, x)[1].num_features for model in (fresh, moved)] == [2, 4]


def test_a_residual_channel_goes_only_where_all_that_write_to_it_are_empty() -> None:
    model = Residual()
    keep(model.stem, rows=[0, 1, 2, 3])
    keep(model.conv2, rows=[2, 3, 4, 5])
    small = prune.shrink(model, torch.rand(2, 3, 8, 8))
    assert (small.stem.out_channels, small.conv2.out_channels, small.head.in_features) == (6, 6, 6)
    assert "2 stay because other channels that are tied to them stay" in small.shrink_report.layers[0].notes


def test_heads_go_whole() -> None:
    model = Heads()
    keep(model.project, columns=[0, 1, 2, 3, 8, 10])
    x = torch.rand(2, 3, 8, 8)
    small = prune.shrink(model, x)
    assert (small.num_heads, small.head_dim, small.attn_dim) == (2, 4, 8)
    assert (small.qkv.out_features, small.project.in_features) == (24, 8)
    torch.testing.assert_close(small(x), model(x))


def test_whole_groups_go() -> None:
    model = nn.Sequential(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 9, 1, groups=3), nn.Conv2d(9, 2, 1))
    keep(model[2], columns=[0, 6, 7])
    small = prune.shrink(model, torch.rand(2, 3, 4, 4))
    assert (small[1].groups, small[1].in_channels, small[1].out_channels) == (2, 4, 6)


def test_hidden_channels_of_all_layers_of_an_lstm_go_together() -> None:
    model = Recurrent()
    keep(model.head, columns=[0, 1, 4])
    for name in ("weight_hh_l0", "weight_ih_l1", "weight_hh_l1"):
        mask = torch.ones(32, 8)
        mask[:, [2, 3, 7]] = 0
        prune.custom_from_mask(model.lstm, name, mask)
    x = torch.rand(2, 5, 6)
    small = prune.shrink(model, x)
    assert (small.lstm.hidden_size, small.lstm.weight_ih_l1.shape, small.head.in_features) == (5, (20, 5), 5)
    torch.testing.assert_close(small(x), model(x))


class _WidthInCode(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(3, 6), nn.Linear(6, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.third(torch.relu(self.second(torch.relu(self.first(x)).view(-1, 6))))


def test_channels_stay_where_code_has_their_number_and_others_go() -> None:
    model = _WidthInCode()
    keep(model.second, columns=[0, 1])
    keep(model.third, columns=[2, 3])
    small = prune.shrink(model, torch.rand(4, 3))
    assert (small.first.out_features, small.second.out_features) == (6, 2)
    assert small.shrink_report.notes[0].startswith("view in the model keeps its channels, because its code expects")
    assert "view in the model keeps" in str(small.shrink_report)


class _AttentionFirst(_WidthInCode):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(3, 3, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.attention(x, x, x)[0])


def test_they_are_found_behind_a_module_that_runs_other_operations_once_it_is_smaller() -> None:
    model = _AttentionFirst()
    prune.custom_from_mask(model.attention, "in_proj_weight", torch.tensor([1, 0, 0] * 3)[:, None].expand(9, 3))
    keep(model.second, columns=[0, 1])
    small = prune.shrink(model, torch.rand(2, 4, 3))
    assert (small.attention.num_heads, small.first.out_features) == (1, 6)
    assert small.shrink_report.notes[0].startswith("view in the model keeps its channels")


class _Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_what_a_computed_weight_or_bias_is_made_of_stays(layer: int, name: str) -> None:
    model = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    nn.utils.parametrize.register_parametrization(model[layer], name, _Doubled())
    keep(model[3], columns=[0, 1])
    small, x = prune.shrink(model, torch.rand(4, 3)), torch.rand(4, 3)
    assert all(len(parameter) == 6 for parameter in small[layer].parameters())
    assert small.shrink_report.notes == ()
    torch.testing.assert_close(small(x), model(x))


class _InTraining(nn.Module):
    """A channel that only the second output reads, which there is in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head, self.other = nn.Linear(3, 6), nn.Linear(6, 2), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        x = F.relu(self.body(x))
        return (self.head(x), self.other(x)) if self.training else self.head(x)


def test_what_is_read_in_training_alone_stays() -> None:
    model = _InTraining()
    keep(model.head, columns=[0, 1])
    keep(model.other, columns=[1, 2])
    assert prune.shrink(model, torch.rand(4, 3)).body.out_features == 3


def test_what_is_left_keeps_its_structure_and_can_be_pruned_and_shrunk_again() -> None:
    model = two_layers(nn.ReLU(), bias=True)
    keep(model[2], columns=[0, 1, 3])
    keep(model[0], columns=[0, 2])
    small = prune.shrink(model, torch.rand(2, 3))
    assert [name for name, _ in small.named_parameters()] == [name for name, _ in model.named_parameters()]
    assert [name for name, _ in small.named_buffers()] == ["0.weight_mask", "2.weight_mask"]
    assert torch.equal(small[0].weight_orig, model[0].weight_orig[[0, 1, 3]])
    assert small[0].weight_mask.sum() == 6
    keep(small[2], columns=[0, 1])
    again = prune.shrink(small, torch.rand(2, 3))
    assert again[0].weight_mask.tolist() == [[1, 0, 1]] * 2
    assert again.shrink_report.parameters == small.shrink_report.parameters_kept
    prune.remove(again[0], "weight")
    assert isinstance(again[0].weight, nn.Parameter)


def test_memory_format_training_and_frozen_parameters_stay() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 3)).to(memory_format=torch.channels_last)
    model[0].weight.requires_grad_(False)
    keep(model[2], columns=[0, 1, 5])
    model.train()[1].eval()
    small = prune.shrink(model, torch.rand(2, 3, 8, 8))
    assert small[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert small[2].weight_mask.is_contiguous(memory_format=torch.channels_last)
    assert not small[0].weight.requires_grad
    assert [module.training for module in small.modules()] == [module.training for module in model.modules()]
