"""What ``prunable_parameters`` lists, and what it says of the rest."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from torch_synflow import prune


class Experts(nn.Module):
    """A matrix for each of four experts."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Parameter(0.1 * torch.rand(4, 6, 8))
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 6))
        self.gamma = nn.Parameter(torch.ones(6, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("btd,edh->bth", x + self.pos_embed + self.gamma.mean(), self.up)


class Everything(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(7, 6)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.lstm = nn.LSTM(6, 6, batch_first=True)
        self.cell = nn.GRUCell(6, 6)
        self.experts = Experts()
        self.pair = nn.Bilinear(8, 8, 6)
        self.normed = parametrizations.weight_norm(nn.Linear(6, 6))
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 7, bias=False)
        self.head.weight = self.words.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.words(tokens)
        x = self.lstm(self.attention(x, x, x)[0])[0]
        x = self.experts(x)
        x = self.pair(x, torch.relu(x)).mean(1)
        return self.head(self.norm(self.normed(self.cell(x, x))))


TOKENS = torch.arange(10).remainder(7).reshape(2, 5)
WARNS = pytest.warns(UserWarning, match="prunable_parameters: lists")


def names(model: nn.Module, **options: Any) -> list[str]:
    prefixes = {module: prefix for prefix, module in model.named_modules()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [f"{prefixes[module]}.{name}" for module, name in prune.prunable_parameters(model, **options)]


LISTED = [
    "attention.in_proj_weight",
    "lstm.weight_ih_l0",
    "lstm.weight_hh_l0",
    "cell.weight_ih",
    "cell.weight_hh",
    "experts.up",
    "pair.weight",
]


def test_what_multiplies_is_listed() -> None:
    assert names(Everything()) == LISTED


def test_embeddings_and_what_is_tied_to_them_are_listed_on_request() -> None:
    assert names(Everything(), embeddings=True) == ["words.weight", *LISTED, "head.weight"]


def test_separate_projections_are_listed() -> None:
    assert names(nn.Sequential(nn.MultiheadAttention(6, 2, kdim=4, vdim=5))) == [
        "0.q_proj_weight", "0.k_proj_weight", "0.v_proj_weight",
    ]  # fmt: skip


@pytest.mark.parametrize("method", [prune.SynFlow, prune.BalancedSynFlow, prune.SNIP, prune.L1Unstructured])
def test_all_that_is_listed_is_pruned_and_stays_so(method: Any) -> None:
    torch.manual_seed(0)
    model = Everything()
    with WARNS:
        params = prune.prunable_parameters(model, example_inputs=TOKENS)
    data = {"data": (TOKENS, torch.tensor([1, 2])), "loss_fn": F.cross_entropy}
    report = prune.global_iterative_unstructured(
        params, method, 0.5, iterations=2, **(data if method is prune.SNIP else {})
    )
    assert report.kept == report.total - round(report.total / 2)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):
        F.cross_entropy(model(TOKENS), torch.tensor([1, 2])).backward()
        optimizer.step()
    model(TOKENS)
    for module, name in params:
        assert torch.equal(getattr(module, name) == 0, getattr(module, f"{name}_mask") == 0)


def test_one_warning_says_what_share_is_listed_and_why_the_rest_is_not() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        prune.prunable_parameters(Everything())
    (warning,) = caught
    message = str(warning.message)
    assert "lists 91% of the model's weights" in message
    assert "words.weight (embeddings; embeddings=True lists them, 3%)" in message
    assert "attention.out_proj.weight (read by nn.MultiheadAttention without calling the layer, 3%)" in message
    assert "normed.parametrizations.weight.original1 (inputs of a parametrization, 3%)" in message
    assert warning.filename == __file__


def test_a_small_share_is_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(nn.Embedding(2, 10), nn.Linear(10, 1000))
    with caplog.at_level(logging.INFO, "torch_synflow"):
        prune.prunable_parameters(model)
    assert "lists 100% of the model's weights; left out: 0.weight (embeddings" in caplog.text


def test_nothing_is_said_where_all_is_listed_or_left_out_by_the_user(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "torch_synflow"), warnings.catch_warnings():
        warnings.simplefilter("error")
        prune.prunable_parameters(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)))
        prune.prunable_parameters(nn.Sequential(nn.Embedding(20, 10), nn.Linear(10, 10)), exclude=nn.Embedding)
    assert not caplog.text


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        ("0", ["1.0.weight", "1.1.weight"]),
        ("1", ["0.weight"]),
        ("1.*", ["0.weight"]),
        (["0", "1.1"], ["1.0.weight"]),
        (nn.Conv2d, ["1.1.weight"]),
        ((nn.Sequential, "0"), []),
    ],
)
def test_modules_are_excluded_by_name_and_class_with_all_that_they_contain(exclude: Any, left: list[str]) -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.add_module("0", nn.Conv2d(3, 4, 3))
            self.add_module("1", nn.Sequential(nn.Conv2d(4, 5, 3), nn.Linear(5, 2)))

    assert names(Net(), exclude=exclude) == left


@pytest.mark.parametrize(
    ("exclude", "error", "message"),
    [
        ("hed", ValueError, r"exclude: expected something that matches a module, got 'hed', .*such as 0, 1"),
        (nn.Conv3d, ValueError, r"exclude: expected .* got Conv3d, which matches none of Sequential"),
        ([3], TypeError, r"exclude: expected patterns of names and classes of modules, got 3"),
        (int, TypeError, r"exclude: expected patterns of names and classes of modules, got <class 'int'>"),
        (nn.Linear(2, 3), TypeError, r"exclude: expected patterns .* got Linear\(in_features=2, .*\)$"),
        (0, TypeError, r"exclude: expected patterns of names and classes of modules, got 0$"),
        (None, TypeError, r"exclude: expected patterns of names and classes of modules, got None$"),
    ],
)
def test_what_excludes_nothing_is_an_error(exclude: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        prune.prunable_parameters(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), exclude=exclude)


def tied() -> nn.Module:
    model = nn.Sequential(nn.Embedding(20, 10), nn.Linear(10, 10), nn.Linear(10, 20, bias=False), nn.Linear(10, 10))
    model[2].weight, model[3].weight = model[0].weight, model[1].weight
    return model


@pytest.mark.parametrize(
    ("exclude", "embeddings", "left"),
    [
        (nn.Embedding, False, ["1.weight", "3.weight"]),
        (nn.Embedding, True, ["1.weight", "3.weight"]),
        ("2", True, ["1.weight", "3.weight"]),
        ("3", True, ["0.weight", "2.weight"]),
    ],
)
def test_a_tensor_of_an_excluded_module_is_left_out_wherever_it_is_tied(
    exclude: Any, *, embeddings: bool, left: list[str]
) -> None:
    model = tied()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        params = prune.prunable_parameters(model, exclude=exclude, embeddings=embeddings)
    assert [f"{[*model].index(module)}.{name}" for module, name in params] == left


def test_weights_of_8_bits_are_left_out_and_refused_by_name() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[0].weight = nn.Parameter(model[0].weight.to(torch.float8_e4m3fn), requires_grad=False)
    with pytest.warns(UserWarning, match=r"left out: 0\.weight \(of float8_e4m3fn, 50%\)"):
        assert prune.prunable_parameters(model) == [(model[1], "weight")]
    with pytest.raises(
        TypeError, match=r"0\.weight: expected .* got torch\.float8_e4m3fn, which torch does not compare"
    ):
        prune.global_iterative_unstructured([(model[0], "weight")], prune.L1Unstructured, 0.5, model=model)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_what_the_call_refuses_is_left_out_and_said() -> None:
    model = nn.Sequential(
        nn.utils.weight_norm(nn.Linear(4, 4)),
        nn.utils.spectral_norm(nn.Linear(4, 4)),
        nn.LazyLinear(4),
        nn.Linear(4, 4, device="meta"),
        nn.Linear(4, 4, dtype=torch.complex64),
        nn.Linear(4, 4),
    )
    with pytest.warns(UserWarning, match="lists .* of the model's weights that have a shape; left out") as caught:
        params = prune.prunable_parameters(model)
    assert params == [(model[5], "weight")]
    message = str(caught[0].message)
    for part in (
        "0.weight_v, 1.weight_orig (inputs of a hook",
        "3.weight (without values yet",
        "4.weight (of complex64",
        "2.weight (lazy, so without a shape; run the model once first)",
    ):
        assert part in message
    assert prune.global_iterative_unstructured(params, prune.L1Unstructured, 0.5).kept == 8


def test_the_linear_layer_of_transformers_is_listed() -> None:
    utils = pytest.importorskip("transformers.pytorch_utils")
    model = nn.Sequential(utils.Conv1D(8, 4), nn.ReLU(), utils.Conv1D(3, 8))
    assert names(model) == ["0.weight", "2.weight"]
    report = prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=torch.ones(1, 4))
    assert report.kept == 28
