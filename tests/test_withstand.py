"""What users do to the helper: each works, or one clear error names the entry and the fix, and nothing changed."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.nn.utils import parametrize
from torch.utils.data import DataLoader, TensorDataset

from torch_synflow import SNIP, GraSP, SynFlow, prune, schedules

X = torch.linspace(-1, 1, 40).view(8, 5)
Y = torch.arange(8) % 3
BATCH = {"data": (X, Y), "loss_fn": F.cross_entropy}


class Net(nn.Sequential):
    """Linear, BatchNorm, ReLU, Linear: seeded, so that two of them are the same."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3))


def state(model: nn.Module) -> list[Any]:
    """Everything that an error must leave alone, comparable with ``==``."""
    found: list[Any] = [torch.get_rng_state().tolist()]
    for name, module in model.named_modules():
        found.append((name, id(module), module.training, sorted(module.__dict__)))
        found.append({k: list(v) for k, v in module.__dict__.items() if k.endswith("hooks")})
        for key, value in [*module._parameters.items(), *module._buffers.items(), *module.__dict__.items()]:
            if isinstance(value, Tensor) and not value.is_meta and not nn.parameter.is_lazy(value):
                grad = None if value.grad_fn is not None or value.grad is None else value.grad.tolist()
                bits = (
                    value.detach().contiguous().view(-1).clone().view(torch.uint8).tolist()
                    if value.dim()
                    else value.tolist()
                )
                found.append((key, id(value), bits, value.requires_grad, grad))
    return found


def refuses(error: type[Exception], message: str, model: nn.Module, call: Callable[[], object]) -> None:
    """``call`` raises ``error`` with a message of that pattern, and ``model`` is as it was."""
    before = state(model)
    with pytest.raises(error, match=message):
        call()
    assert state(model) == before


def weights(model: nn.Module) -> list[tuple[nn.Module, str]]:
    return [(m, "weight") for m in model.modules() if isinstance(m, nn.Linear)]


def kept(model: nn.Module) -> int:
    return sum(int(m.weight_mask.sum()) for m in model.modules() if hasattr(m, "weight_mask"))


# What a method needs


def test_a_plain_list_without_a_model_shows_the_call_that_works() -> None:
    model = Net()
    for method, needs in ((SynFlow, "model and example_inputs"), (SNIP, "model and data and loss_fn")):
        refuses(
            ValueError,
            rf"{method.__name__} needs {needs}, got none; for example prune\.global_iterative_unstructured\(params, ",
            model,
            lambda method=method: prune.global_iterative_unstructured(weights(model), method, 0.5),
        )


def test_no_input_no_data_or_no_loss_function() -> None:
    model = Net()
    run = prune.global_iterative_unstructured
    refuses(ValueError, "needs example_inputs, got none.*example_inputs=x", model, lambda: run(model, SynFlow, 0.5))
    refuses(ValueError, "needs data, got none", model, lambda: run(model, SNIP, 0.5, loss_fn=F.cross_entropy))
    refuses(ValueError, "needs loss_fn, got none", model, lambda: run(model, GraSP, 0.5, data=(X, Y)))
    refuses(TypeError, "loss_fn: expected a function", model, lambda: run(model, SNIP, 0.5, data=(X, Y), loss_fn=3))
    refuses(
        TypeError, "example_inputs: expected a tensor", model, lambda: run(model, SynFlow, 0.5, example_inputs=(5,))
    )
    refuses(
        TypeError,
        "model: expected an nn.Module",
        model,
        lambda: run(weights(model), SynFlow, 0.5, model=X, example_inputs=X),
    )
    refuses(
        TypeError,
        "model: expected an nn.Module",
        model,
        lambda: run(weights(model), prune.L1Unstructured, 0.5, model=3),
    )


def test_an_unbound_method_refuses_raw_weights_from_torchs_functions() -> None:
    """Frozen, without gradients, whatever their values: nothing but scores is ranked."""
    model = Net()
    torchs = torch.nn.utils.prune.global_unstructured
    for method in (SynFlow, SNIP, GraSP):
        message = rf"{method.__name__} ranks scores, not weights.*importance_scores.*prune\.global_iterative"
        refuses(ValueError, message, model, lambda method=method: torchs(weights(model), method, amount=0.5))
        with torch.no_grad():
            refuses(ValueError, message, model, lambda method=method: torchs(weights(model), method, amount=0.5))
        refuses(ValueError, message, model, lambda method=method: method.apply(model[0], "weight", 0.5))
        partial = {(model[0], "weight"): prune.synflow_scores(model, X)[model[0], "weight"]}
        refuses(
            ValueError,
            message,
            model,
            lambda method=method, partial=partial: torchs(
                weights(model), method, importance_scores=partial, amount=0.5
            ),
        )


def test_marked_scores_of_the_user_are_ranked() -> None:
    model = nn.Linear(3, 1)
    scores = {(model, "weight"): torch.tensor([[-3.0, 2.0, -1.0]]).as_subclass(prune.Scores)}
    torch.nn.utils.prune.global_unstructured([(model, "weight")], GraSP, importance_scores=scores, amount=2)
    assert model.weight_mask.tolist() == [[0.0, 1.0, 0.0]]
    assert type(model.weight_mask) is Tensor
    scores[model, "weight"] = torch.full((1, 3), torch.nan).as_subclass(prune.Scores)
    with pytest.raises(ValueError, match="scores: expected finite"):
        torch.nn.utils.prune.global_unstructured([(model, "weight")], SNIP, importance_scores=scores, amount=0)


# The list of parameters


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


class Tied(nn.Module):
    """A language model in small: the head is the embedding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(11, 6)
        self.body = nn.Linear(6, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(self.embed(tokens))))


@pytest.mark.parametrize("listed", ["head", "embed", "both"])
@pytest.mark.parametrize("method", [SynFlow, SNIP, GraSP, prune.L1Unstructured])
def test_tied_weights_count_once_and_get_one_mask(method: Any, listed: str) -> None:
    model = Tied()
    tokens = torch.arange(6).view(2, 3)
    names = ["head", "embed"] if listed == "both" else [listed]
    params = [(getattr(model, name), "weight") for name in names] + [(model.body, "weight")]
    report = prune.global_iterative_unstructured(
        params,
        method,
        0.5,
        model=model,
        example_inputs=tokens,
        data=(tokens, tokens),
        loss_fn=lambda out, target: F.cross_entropy(out.flatten(0, 1), target.flatten()),
    )
    assert report.total == 66 + 36
    assert report.kept == 51
    assert torch.equal(model.head.weight_mask, model.embed.weight_mask)
    assert model.head.weight_orig is model.embed.weight_orig
    out = model(tokens)
    assert torch.equal(model.head.weight, model.embed.weight)
    out.sum().backward()
    copy.deepcopy(
        Tied().load_state_dict({k.removesuffix("_orig"): v for k, v in model.state_dict().items() if "mask" not in k})
    )


def test_tied_weights_of_which_one_was_pruned_before() -> None:
    model = Tied()
    prune.l1_unstructured(model.head, "weight", 16)
    earlier = model.head.weight_mask.clone()
    report = prune.global_iterative_unstructured(
        [(model.embed, "weight")], SynFlow, 0.5, model=model, example_inputs=torch.arange(3).view(1, 3)
    )
    assert (report.kept, report.total) == (25, 66)
    assert torch.equal(model.head.weight_mask, model.embed.weight_mask)
    assert (model.embed.weight_mask <= earlier).all()


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
        (model.nobias, "bias", ValueError, r"nobias\.bias: it is None.*leave this entry out"),
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
    report = prune.global_iterative_unstructured(
        [*params, (model.self_attn, "in_proj_weight")],
        SNIP,
        0.5,
        model=model,
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


# Amount, iterations, schedule


@pytest.mark.parametrize(
    ("amount", "left"),
    [
        (1, 55),
        (1.0, 0),
        (0, 56),
        (0.0, 56),
        (0.5, 28),
        (56, 0),
        (np.float32(0.5), 28),
        (np.float64(0.5), 28),
        (np.int64(3), 53),
    ],
)
def test_amounts_that_torch_takes(amount: Any, left: int) -> None:
    for method in (SynFlow, prune.L1Unstructured):
        model = Net()
        report = prune.global_iterative_unstructured(model, method, amount, example_inputs=X)
        assert report.kept == kept(model) == left


@pytest.mark.parametrize(
    ("amount", "error"),
    [(True, TypeError), (np.True_, TypeError), ("0.5", TypeError), (None, TypeError), (torch.tensor(0.5), TypeError)]
    + [(value, ValueError) for value in (float("nan"), float("inf"), -0.1, 1.1, -1, 57, np.int64(57))],
)
def test_amounts_that_mean_nothing(amount: Any, error: type[Exception]) -> None:
    for method in (SynFlow, prune.L1Unstructured):
        model = Net()
        refuses(
            error,
            "amount: expected",
            model,
            lambda m=method, model=model: prune.global_iterative_unstructured(model, m, amount, example_inputs=X),
        )
    if not isinstance(amount, (int, np.integer)) or amount < 0 or isinstance(amount, bool):
        with pytest.raises(error, match="amount: expected"):
            SynFlow(amount)


@pytest.mark.parametrize(
    ("iterations", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError), (True, TypeError), ("3", TypeError)]
)
def test_iterations_that_mean_nothing(iterations: Any, error: type[Exception]) -> None:
    model = Net()
    refuses(
        error,
        "iterations: expected",
        model,
        lambda: prune.global_iterative_unstructured(model, SynFlow, 0.5, example_inputs=X, iterations=iterations),
    )


def test_iterations_may_be_numpy_integers() -> None:
    assert prune.global_iterative_unstructured(Net(), SynFlow, 0.5, example_inputs=X, iterations=np.int32(3)).kept == 28


@pytest.mark.parametrize(
    ("schedule", "error", "message"),
    [
        (lambda k, n, d: 0.5 if k == 1 else 0.9, ValueError, "never rise"),
        (lambda k, n, d: 1 - d, ValueError, "final density 0.1"),
        (lambda k, n, d: 1.5, ValueError, r"\(0, 1\]"),
        (lambda k, n, d: 0.0, ValueError, r"\(0, 1\]"),
        (lambda k, n, d: -0.1, ValueError, r"\(0, 1\]"),
        (lambda k, n, d: float("nan"), ValueError, r"\(0, 1\]"),
        (lambda k, n, d: "0.1", TypeError, "expected a density"),
        ("exponential", TypeError, "torch_synflow.schedules has exponential and linear"),
    ],
)
def test_schedules_that_can_not_be_followed(schedule: Any, error: type[Exception], message: str) -> None:
    model = nn.Sequential(nn.Linear(10, 10, bias=False))
    refuses(
        error,
        f"schedule: .*{message}",
        model,
        lambda: prune.global_iterative_unstructured(
            model, SynFlow, 0.9, example_inputs=torch.ones(1, 10), iterations=3, schedule=schedule
        ),
    )


def test_schedules_and_callbacks_see_every_iteration() -> None:
    for schedule in (schedules.linear, schedules.exponential, lambda k, n, d: d):
        seen: list[tuple[int, int]] = []
        prune.global_iterative_unstructured(
            nn.Linear(10, 10),
            SynFlow,
            0.84,
            example_inputs=torch.rand(1, 10),
            iterations=2,
            schedule=schedule,
            callback=lambda step, report, seen=seen: seen.append((step, report.kept)),
        )
        assert seen == [(1, round(100 * schedule(1, 2, 0.16))), (2, 16)]


def test_progress_shows_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    prune.global_iterative_unstructured(Net(), SynFlow, 0.5, example_inputs=X, iterations=4, progress=True)
    assert "4/4" in capsys.readouterr().err


# Data and losses


def test_data_that_is_empty_or_no_data() -> None:
    model = Net()

    def run(data: Any) -> Callable[[], object]:
        return lambda: prune.global_iterative_unstructured(model, SNIP, 0.5, data=data, loss_fn=F.cross_entropy)

    refuses(ValueError, "data: expected at least one batch, got none", model, run([]))
    refuses(ValueError, "data: expected at least one batch, got none", model, run(iter(())))
    refuses(ValueError, "data: expected at least one example", model, run((X[:0], Y[:0])))
    for wrong in (X, "cifar10", {"x": X}, 3):
        refuses(TypeError, r"data: expected a batch \(inputs, targets\)", model, run(wrong))
    for wrong in ([X], [(X, Y, Y)], [None]):
        refuses(TypeError, "data: expected a batch .* as batch 0", model, run(wrong))
    refuses(TypeError, "data: expected inputs that hold tensors", model, run([("text", Y)]))


def test_data_that_holds_one_batch_in_every_form() -> None:
    loader = DataLoader(TensorDataset(X, Y), batch_size=8)
    masks = []
    for data in ((X, Y), [X, Y], [(X, Y)], loader, iter(loader), (batch for batch in loader)):
        model = Net()
        prune.global_iterative_unstructured(model, SNIP, 0.5, data=data, loss_fn=F.cross_entropy, iterations=3)
        masks.append(model[0].weight_mask)
    assert all(torch.equal(mask, masks[0]) for mask in masks)


def test_data_that_yields_nan() -> None:
    model = Net()
    bad = X.clone()
    bad[3, 2] = float("nan")
    for method in (SNIP, GraSP):
        refuses(
            ValueError,
            "data: expected a finite loss, got nan for batch 1",
            model,
            lambda m=method, model=model: prune.global_iterative_unstructured(
                model, m, 0.5, data=[(X, Y), (bad, Y)], loss_fn=F.cross_entropy
            ),
        )


@pytest.mark.parametrize(
    ("loss_fn", "error", "message"),
    [
        (
            lambda out, y: F.cross_entropy(out, y, reduction="none"),
            ValueError,
            r"expected a scalar, got a tensor of shape \(8,\)",
        ),
        (lambda out, y: F.cross_entropy(out, y).item(), Exception, "item|scalar"),
        (lambda out, y: 0.5, TypeError, "expected a scalar tensor, got float"),
        (
            lambda out, y: F.cross_entropy(out.detach(), y),
            ValueError,
            "expected a loss that depends on the model's outputs",
        ),
        (
            lambda out, y: (out.argmax(1) != y).float().mean(),
            ValueError,
            "expected a loss that depends on the model's outputs",
        ),
        (torch.no_grad()(F.cross_entropy), ValueError, "expected a loss that depends on the model's outputs"),
    ],
)
def test_losses_that_have_no_gradient(loss_fn: Any, error: type[Exception], message: str) -> None:
    for method in (SNIP, GraSP):
        model = Net()
        refuses(
            error,
            message,
            model,
            lambda m=method, model=model: prune.global_iterative_unstructured(
                model, m, 0.5, data=(X, Y), loss_fn=loss_fn
            ),
        )


# Models that misbehave


class Misbehaving(Net):
    def forward(self, x: Tensor) -> Tensor:
        self.misbehave()
        return super().forward(x)

    def misbehave(self) -> None:
        raise NotImplementedError


def test_a_model_whose_forward_raises() -> None:
    class Raises(Misbehaving):
        def misbehave(self) -> None:
            self.called = True
            self[1].running_mean.add_(1.0)
            raise OverflowError("the user's own")

    model = Raises()
    refuses(
        OverflowError,
        "the user's own",
        model,
        lambda: prune.global_iterative_unstructured(model, SynFlow, 0.5, example_inputs=X),
    )


def test_a_model_whose_forward_prunes() -> None:
    class Prunes(Misbehaving):
        def misbehave(self) -> None:
            prune.l1_unstructured(self[3], "weight", 2)

    model = Prunes()
    run = prune.global_iterative_unstructured
    message = r"model: its forward prunes, adds or removes parameters \((weight|3 Linear)\).*prune outside of forward"
    refuses(ValueError, message, model, lambda: run(model, SynFlow, 0.5, example_inputs=X))
    refuses(ValueError, message, model, lambda: prune.synflow_scores(model, X))
    prune.l1_unstructured(model[3], "weight", 2)
    refuses(ValueError, message, model, lambda: run(model, SNIP, 0.5, **BATCH))


def test_a_model_that_changes_its_buffers_and_attributes() -> None:
    class Changes(Misbehaving):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.register_buffer("mask", torch.ones(3), persistent=False)
            self.cache = torch.zeros(3)
            self.history: list[int] = [1]

        def misbehave(self) -> None:
            self.calls += 1
            self.mask.mul_(2.0)
            self.cache.add_(1.0)
            self.history.append(2)
            self.last = 5
            self.training = not self.training

    for method in (SynFlow, SNIP, GraSP):
        model = Changes()
        before = state(model)
        method.scores(model, example_inputs=X, data=(X, Y), loss_fn=F.cross_entropy)
        assert state(model) == before
        assert model.history == [1]
        prune.global_iterative_unstructured(model, method, 0.5, example_inputs=X, **BATCH)
        assert (float(model.calls), model.cache.tolist(), model.mask.tolist()) == (0.0, [0.0] * 3, [1.0] * 3)


def test_scores_that_are_nan_infinite_or_zero_for_a_layer() -> None:
    for value, methods in (
        (float("nan"), (SynFlow, prune.L1Unstructured)),
        (float("inf"), (SynFlow, prune.L1Unstructured)),
    ):
        for method in methods:
            model = Net()
            with torch.no_grad():
                model[3].weight[1, 1] = value
            refuses(
                ValueError,
                r"3\.weight|0\.weight",
                model,
                lambda m=method, model=model: prune.global_iterative_unstructured(model, m, 0.5, example_inputs=X),
            )
    model = Net()
    nn.init.zeros_(model[3].weight)
    with pytest.warns(UserWarning, match=r"SynFlow: zero throughout, so read as ones: 3\.weight"):
        assert all(score.all() for score in prune.synflow_scores(model, X).values())
    refuses(
        ValueError,
        r"0\.weight: every one of its SNIP",
        model,
        lambda: prune.global_iterative_unstructured(model, SNIP, 0.5, **BATCH),
    )


class Interrupting:
    """A loader that is interrupted in its second batch."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        yield X, Y
        raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("disk"), MemoryError()])
def test_an_interrupt_anywhere_leaves_the_model_as_it_was(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Net()
    prune.l1_unstructured(model[0], "weight", 0.2)
    model(X).sum().backward()
    model[1].cached = torch.rand(3)

    def interrupted(*_: Any) -> None:
        torch.rand(3)
        raise error

    def run(**arguments: Any) -> None:
        before = state(model)
        with pytest.raises(type(error)):
            prune.global_iterative_unstructured(model, **arguments)
        assert state(model) == before

    run(
        pruning_method=SynFlow,
        amount=0.5,
        example_inputs=X,
        iterations=5,
        callback=lambda step, _: step == 3 and interrupted(),
    )
    run(pruning_method=SNIP, amount=0.5, data=Interrupting(error), loss_fn=F.cross_entropy)
    run(pruning_method=GraSP, amount=0.5, data=(X, Y), loss_fn=interrupted)
    handle = model[2].register_forward_hook(interrupted)
    run(pruning_method=SynFlow, amount=0.5, example_inputs=X)
    handle.remove()
    # in the middle of attaching: the second module is reached with the first one already pruned
    monkeypatch.setattr(type(model[3]), "register_forward_pre_hook", interrupted)
    run(pruning_method=SynFlow, amount=0.5, example_inputs=X)


# Modes, re-pruning, round trips


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("method", [SynFlow, SNIP, GraSP, prune.L1Unstructured])
def test_under_no_grad_and_inference_mode(mode: Any, method: Any) -> None:
    plain, model = Net(), Net()
    prune.global_iterative_unstructured(plain, method, 0.5, example_inputs=X, **BATCH)
    with mode():
        inputs = X.clone()
        prune.global_iterative_unstructured(
            model, method, 0.5, example_inputs=inputs, data=(inputs, Y), loss_fn=F.cross_entropy
        )
    for index in (0, 3):
        assert torch.equal(model[index].weight_mask, plain[index].weight_mask)
    model(X).sum().backward()
    assert model[0].weight_orig.grad is not None


@pytest.mark.parametrize("method", [SynFlow, SNIP, GraSP])
def test_re_pruning_by_us_after_torch_and_by_torch_after_us(method: Any) -> None:
    model = Net()
    prune.l1_unstructured(model[0], "weight", 5)
    first = model[0].weight_mask.clone()
    report = prune.global_iterative_unstructured(model, method, 0.5, example_inputs=X, **BATCH)
    assert report.kept == kept(model) == 51 - round(0.5 * 51)
    second = model[0].weight_mask.clone()
    assert (second <= first).all()
    torch.nn.utils.prune.global_unstructured(weights(model), prune.L1Unstructured, amount=6)
    assert kept(model) == report.kept - 6
    assert (model[0].weight_mask <= second).all()
    prune.random_structured(model[0], "weight", 1, dim=0)
    again = prune.global_iterative_unstructured(model, method, 3, example_inputs=X, **BATCH)
    assert again.kept == kept(model)
    model(X).sum().backward()


def test_masks_are_not_piled_up_by_iterations() -> None:
    model = Net()
    prune.global_iterative_unstructured(model, SynFlow, 0.5, example_inputs=X)
    (hook,) = model[0]._forward_pre_hooks.values()
    assert isinstance(hook, prune.CustomFromMask)
    assert hook.mask is model[0].weight_mask


def test_remove_makes_pruning_permanent() -> None:
    model = Net()
    prune.global_iterative_unstructured(model, SynFlow, 0.5, example_inputs=X)
    original, mask = model[0].weight_orig, model[0].weight_mask
    expected = original.detach() * mask
    prune.remove(model[0], "weight")
    assert torch.equal(model[0].weight, expected)
    assert model[0].weight is original
    assert not model[0]._forward_pre_hooks
    assert sorted(dict(model[0].named_parameters())) == ["bias", "weight"]


def test_state_dict_round_trip() -> None:
    model, other = Net(), Net()
    prune.global_iterative_unstructured(model, SynFlow, 0.9, example_inputs=X)
    stored = io.BytesIO()
    torch.save(model.state_dict(), stored)
    stored.seek(0)
    for index in (0, 3):
        prune.identity(other[index], "weight")
    other.load_state_dict(torch.load(stored, weights_only=True))
    assert torch.equal(other.eval()(X), model.eval()(X))


@pytest.mark.parametrize("method", [SynFlow, SNIP, GraSP, prune.L1Unstructured])
def test_pickle_and_deepcopy_straight_after(method: Any) -> None:
    model = Net()
    prune.global_iterative_unstructured(model, method, 0.5, example_inputs=X, **BATCH)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(twin.eval()(X), model.eval()(X))
        assert twin[0].weight_orig is not model[0].weight_orig


@pytest.mark.parametrize(
    ("form", "needs"),
    [
        (prune.synflow_unstructured, {"example_inputs": X}),
        (prune.snip_unstructured, BATCH),
        (prune.grasp_unstructured, BATCH),
    ],
)
def test_functional_forms(form: Any, needs: dict[str, Any]) -> None:
    model = Net()
    original = model[0].weight
    assert form(model[0], "weight", 0.5, model=model, **needs) is model[0]
    assert int(model[0].weight_mask.sum()) == 35 - round(17.5)
    assert model[0].weight_orig is original
    form(model[0], "weight", 7, model=model, **needs)
    assert int(model[0].weight_mask.sum()) == 35 - round(17.5) - 7
    copy.deepcopy(model)
    pickle.dumps(model)
    refuses(ValueError, "amount: expected at most", model, lambda: form(model[0], "weight", 36, model=model, **needs))
    refuses(ValueError, "needs .*got none", model, lambda: form(model[3], "weight", 0.5))
    refuses(
        ValueError,
        r"importance_scores: expected shape \(3, 7\)",
        model,
        lambda: form(model[3], "weight", 0.5, torch.ones(2)),
    )
    refuses(
        ValueError, "importance_scores", model, lambda: form(model[3], "weight", 0.5, torch.full((3, 7), torch.nan))
    )
    form(model[3], "weight", 20, torch.arange(21.0).view(3, 7))
    assert model[3].weight_mask.nonzero().tolist() == [[2, 6]]


def test_channels_last_is_kept() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)).to(memory_format=torch.channels_last)
    x = torch.rand(2, 3, 8, 8).to(memory_format=torch.channels_last)
    plain = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    for amount in (0.5, 0.5):
        prune.global_iterative_unstructured(model, SynFlow, amount, example_inputs=x)
        prune.global_iterative_unstructured(plain, SynFlow, amount, example_inputs=x)
        prune.synflow_unstructured(model[0], "weight", 4, model=model, example_inputs=x)
        prune.synflow_unstructured(plain[0], "weight", 4, model=plain, example_inputs=x)
        for index in (0, 2):
            for name in ("weight_mask", "weight_orig", "weight"):
                assert getattr(model[index], name).is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(model[index].weight_mask, plain[index].weight_mask)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("method", [SynFlow, SNIP, GraSP, prune.L1Unstructured])
def test_other_precisions(method: Any, dtype: torch.dtype) -> None:
    model = Net().to(dtype)
    x = X.to(dtype)
    report = prune.global_iterative_unstructured(
        model, method, 0.5, example_inputs=x, data=(x, Y), loss_fn=F.cross_entropy
    )
    assert report.kept == kept(model) == 28
    assert model[0].weight_mask.dtype == model[0].weight_orig.dtype == model[0].weight.dtype == dtype


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


# Classes that can not be used


def test_pruning_methods_that_are_none() -> None:
    model = Net()
    run = prune.global_iterative_unstructured
    for wrong in ("SynFlow", prune.l1_unstructured, prune.L1Unstructured(0.5), nn.Linear, None):
        refuses(
            TypeError, "pruning_method: expected a BasePruningMethod class", model, lambda w=wrong: run(model, w, 0.5)
        )
    refuses(
        TypeError,
        "PRUNING_TYPE is 'unstructured', got LnStructured",
        model,
        lambda: run(model, prune.LnStructured, 0.5),
    )
    refuses(TypeError, r"can be made as Identity\(amount=\.\.\.\)", model, lambda: run(model, prune.Identity, 0.5))

    class Careless(prune.BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def __init__(self, amount: float) -> None:
            self.amount = amount

        def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
            return default_mask * (t > 0)

    refuses(ValueError, r"expected Careless\.compute_mask to keep 28 of 56", model, lambda: run(model, Careless, 0.5))


def test_deepcopy_after_a_forward_pass_without_gradients() -> None:
    """As the guide says: a pass with gradients puts a product into ``module.weight`` that can not be copied."""
    model = Net()
    prune.global_iterative_unstructured(model, SynFlow, 0.5, example_inputs=X)
    model(X)
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(model)
    with torch.no_grad():
        model.eval()(X)
    assert torch.equal(copy.deepcopy(model)(X), model(X))
