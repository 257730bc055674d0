"""Lists of parameters of every kind: each is pruned, or one error names the entry and the fix."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.nn.utils import parametrize

from tests.small_net import BATCH, Net, X, kept, refuses, state, weights
from torch_synflow import SNIP, GraSP, SynFlow, prune


def test_a_model_that_does_not_contain_the_parameters() -> None:
    model, other = Net(), Net()
    refuses(
        ValueError,
        r"parameters\[0\] \(Linear\.weight\): expected a module of the model Net",
        model,
        lambda: prune.global_iterative_unstructured(weights(model), SynFlow, 0.5, model=other, example_inputs=X),
    )


def test_an_empty_list_and_things_that_are_no_list() -> None:
    run = prune.global_iterative_unstructured
    model = Net()
    refuses(ValueError, "parameters: expected at least one", model, lambda: run([], prune.L1Unstructured, 0.5))
    refuses(ValueError, "parameters: expected at least one", model, lambda: run(nn.ReLU(), prune.L1Unstructured, 0.5))
    for wrong in (3, "weight", {model[0]: "weight"}, X):
        refuses(
            TypeError,
            "parameters: expected a model or an iterable",
            model,
            lambda w=wrong: run(w, prune.L1Unstructured, 0.5),
        )
    message = "parameters: expected a model .* got the class Net, of which a model is an instance"
    refuses(TypeError, message, model, lambda: run(Net, prune.L1Unstructured, 0.5))  # type: ignore[arg-type]
    for wrong, seen in (
        (model.parameters(), r"got Parameter, as returned by model\.parameters\(\)"),
        (model.named_parameters(), r"got str, Parameter, as returned by model\.named_parameters\(\)"),
        (model.modules(), r"got Net, as returned by model\.modules\(\)"),
        (model.named_modules(), r"got str, Net, as returned by model\.named_modules\(\)"),
        (list(model.state_dict()), r"got str, as returned by model\.state_dict\(\)"),
    ):
        message = rf"parameters\[0\]: expected a \(module, name\) pair such as .*{seen}; prune\.prunable_parameters"
        refuses(TypeError, message, model, lambda w=wrong: run(w, prune.L1Unstructured, 0.5))
    alone = r'parameters: expected a list of pairs, got one pair; pass \[\(module, "weight"\)\]'
    for wrong in ((model[0], "weight"), [model[0], "weight"]):
        refuses(TypeError, alone, model, lambda w=wrong: run(w, prune.L1Unstructured, 0.5))
    for wrong in ([model[0]], [(model[0], "weight", 1)], [("0", "weight")], [(model[0], 0)]):
        refuses(TypeError, r"parameters\[0\]: expected a", model, lambda w=wrong: run(w, prune.L1Unstructured, 0.5))


def test_a_generator_and_duplicates() -> None:
    once, twice = Net(), Net()
    prune.global_iterative_unstructured(weights(once), SynFlow, 0.5, model=once, example_inputs=X)
    report = prune.global_iterative_unstructured(
        (pair for pair in weights(twice) * 2), SynFlow, 0.5, model=twice, example_inputs=X
    )
    assert report.total == 56
    assert len(report.layers) == 2
    assert torch.equal(once[0].weight_mask, twice[0].weight_mask)
    assert torch.equal(once[3].weight_mask, twice[3].weight_mask)
    assert len(twice[0]._forward_pre_hooks) == 1


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_entries_that_can_not_be_pruned_are_named() -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.nobias = nn.Linear(5, 3, bias=False)
            self.lazy = nn.LazyLinear(3)
            self.meta = nn.Linear(5, 3, device="meta")
            self.attention = nn.MultiheadAttention(6, 2)
            self.whole = nn.Linear(5, 3)
            self.whole.index = nn.Parameter(torch.arange(3), requires_grad=False)
            self.whole.register_buffer("table", torch.ones(3))
            self.normed = parametrize.register_parametrization(nn.Linear(5, 3), "weight", nn.Tanh())

    model = Holder()
    for module, name, error, message in (
        (model.nobias, "bias", ValueError, r"nobias\.bias: it is None.*leave this pair out"),
        (model.lazy, "weight", ValueError, r"lazy\.weight: a lazy parameter.*run the model once"),
        (model.meta, "weight", ValueError, r"meta\.weight: .*meta device.*materialise"),
        (model.attention.out_proj, "weight", ValueError, r"attention\.out_proj\.weight: nn\.MultiheadAttention"),
        (model.whole, "index", TypeError, r"whole\.index: expected a floating-point parameter, got torch\.int64"),
        (model.whole, "table", ValueError, r"whole\.table: expected an nn\.Parameter, got a plain tensor"),
        (
            model.whole,
            "wieght",
            ValueError,
            r"whole\.wieght: Linear has no parameter of that name; it has: weight, bias, index",
        ),
        (
            model.normed,
            "weight",
            ValueError,
            r'normed\.weight: .*parametrize.*\(module\.parametrizations\.weight, "original"\)',
        ),
    ):
        for method in (SynFlow, prune.L1Unstructured):
            refuses(
                error,
                message,
                model,
                lambda m=module, n=name, method=method: prune.global_iterative_unstructured(
                    [(model.nobias, "weight"), (m, n)], method, 0.5, model=model, example_inputs=X
                ),
            )
    refuses(
        ValueError,
        r"parameters\[0\] \(Linear\.bias\): it is None",
        model,
        lambda: prune.global_iterative_unstructured([(model.nobias, "bias")], prune.L1Unstructured, 0.5),
    )
    refuses(ValueError, "nobias|lazy", model, lambda: prune.synflow_scores(model, X, [(model.nobias, "weight")]))


def test_the_fix_for_parametrized_weights_works() -> None:
    model = Net()
    parametrize.register_parametrization(model[0], "weight", nn.Tanh())
    params = [(model[0].parametrizations.weight, "original"), (model[3], "weight")]
    report = prune.global_iterative_unstructured(params, SynFlow, 0.5, model=model, example_inputs=X)
    assert report.kept == 28
    model(X)
    assert int((model[0].weight == 0).sum()) + int((model[3].weight == 0).sum()) == 28


def test_attention_without_its_output_projection() -> None:
    model = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)
    params = prune.prunable_parameters(model, example_inputs=torch.rand(2, 4, 6))
    assert not any(module is model.self_attn.out_proj for module, _ in params)
    assert (model.self_attn, "in_proj_weight") in params
    report = prune.global_iterative_unstructured(
        params,
        SNIP,
        0.5,
        data=(torch.rand(2, 4, 6), torch.rand(2, 4, 6)),
        loss_fn=F.mse_loss,
    )
    assert report.kept == report.total // 2
    assert model(torch.rand(2, 4, 6)).shape == (2, 4, 6)


def test_frozen_parameters_are_pruned_and_stay_frozen() -> None:
    model = Net()
    model[0].weight.requires_grad_(False)
    prune.global_iterative_unstructured(model, SynFlow, 0.5, example_inputs=X)
    assert kept(model) == 28
    assert not model[0].weight_orig.requires_grad
    assert model[3].weight_orig.requires_grad


def test_parameters_on_several_devices() -> None:
    """A fake tensor stands for the second device, which the machine of the tests does not have."""
    model = Net()
    mode, raw = FakeTensorMode(allow_non_fake_inputs=True), torch.empty(3, 7, device="meta")
    with mode:
        model[3].weight = nn.Parameter(FakeTensor(mode, raw, torch.device("cuda:0")))
        with pytest.raises(
            ValueError, match=r"3\.weight: expected device cpu, that of 0\.weight, got cuda:0; move the model"
        ):
            prune.global_iterative_unstructured(model, SynFlow, 0.5, example_inputs=X)
    assert not any(hasattr(model[index], "weight_mask") for index in (0, 3))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(5, 6, num_layers=2, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.lstm(x)[0][:, -1])


@pytest.mark.parametrize("method", [SynFlow, SNIP, GraSP, prune.L1Unstructured])
def test_an_lstms_weights(method: Any) -> None:
    model = Recurrent()
    x = torch.rand(4, 7, 5)
    names = [name for name, _ in model.lstm.named_parameters() if name.startswith("weight")]
    params = [(model.lstm, name) for name in names] + [(model.head, "weight")]
    before = state(model)
    flat = list(model.lstm._flat_weights)
    method_scores = getattr(method, "scores", None)
    if method_scores:
        scores = method_scores(
            model, params, example_inputs=x, data=(x, torch.tensor([0, 1, 2, 0])), loss_fn=F.cross_entropy
        )
        assert all(bool(score.any()) for score in scores.values())
        assert state(model) == before
        assert all(a is b for a, b in zip(flat, model.lstm._flat_weights, strict=True))
    for _ in range(2):
        report = prune.global_iterative_unstructured(
            params,
            method,
            0.5,
            model=model,
            example_inputs=x,
            data=(x, torch.tensor([0, 1, 2, 0])),
            loss_fn=F.cross_entropy,
        )
    assert report.kept == sum(int(getattr(m, f"{n}_mask").sum()) for m, n in params)
    with torch.no_grad():
        model.lstm.weight_hh_l0_orig.add_(1.0)
    model(x).sum().backward()
    assert torch.equal(model.lstm.weight_hh_l0 == 0, model.lstm.weight_hh_l0_mask == 0)
    assert (model.lstm.weight_ih_l1_orig.grad[model.lstm.weight_ih_l1_mask == 0] == 0).all()


@pytest.mark.parametrize("method", [SynFlow, SNIP, GraSP, prune.L1Unstructured])
def test_wrappers_are_seen_through(method: Any) -> None:
    for wrap in (nn.DataParallel, lambda model: torch.compile(model, backend="eager")):
        plain, inner = Net(), Net()
        prune.global_iterative_unstructured(plain, method, 0.5, example_inputs=X, **BATCH)
        wrapped = wrap(inner)
        report = prune.global_iterative_unstructured(wrapped, method, 0.5, example_inputs=X, **BATCH)
        assert torch.equal(inner[0].weight_mask, plain[0].weight_mask)
        assert [layer.name for layer in report.layers] == ["0.weight", "3.weight"]


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of torch's old spectral_norm, where it has one
def test_a_weight_that_the_old_spectral_norm_computes_is_refused_before_anything_is_scored() -> None:
    model = nn.Sequential(nn.utils.spectral_norm(nn.Linear(4, 3)), nn.ReLU(), nn.Linear(3, 2))
    for call in (
        lambda: prune.synflow_scores(model, torch.ones(1, 4), [(model[0], "weight")]),
        lambda: prune.global_iterative_unstructured([(model[0], "weight")], prune.L1Unstructured, 0.5),
    ):
        with pytest.raises(ValueError, match=r"weight\)?: .*computes from weight_orig.*remove_spectral"):
            call()
    nn.utils.remove_spectral_norm(model[0])
    assert prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.5).kept == 9
