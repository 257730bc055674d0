"""The network that methods score: masked weights, wide enough, in the method's mode, inputs of every kind."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.scoring.closed_forms import close, data, every_data_method, mlp
from torch_synflow import prune


def test_scores_of_a_pruned_model_are_those_of_the_masked_weights() -> None:
    """Not of the stale product that the last forward left in ``module.weight``."""
    model = mlp(5, 7, 3)
    inputs, targets = data()
    prune.l1_unstructured(model[0], "weight", 10)
    with torch.no_grad():
        model[0].weight_orig.mul_(-3.0)
    clean = mlp(5, 7, 3)
    clean.load_state_dict(
        {
            "0.weight": model[0].weight_orig * model[0].weight_mask,
            "0.bias": model[0].bias,
            "2.weight": model[2].weight,
            "2.bias": model[2].bias,
        }
    )
    for pruned, dense in (
        (prune.synflow_scores(model, inputs), prune.synflow_scores(clean, inputs)),
        (
            prune.snip_scores(model, (inputs, targets), F.cross_entropy),
            prune.snip_scores(clean, (inputs, targets), F.cross_entropy),
        ),
    ):
        for index in (0, 2):
            torch.testing.assert_close(pruned[model[index], "weight"], dense[clean[index], "weight"])


def test_half_precision_models_are_scored_in_float32_and_synflow_in_float64() -> None:
    inputs, targets = data(torch.float32)
    for dtype in (torch.float16, torch.bfloat16):
        model = mlp(5, 7, 3, dtype=dtype)
        wide = mlp(5, 7, 3, dtype=torch.float32)
        wide.load_state_dict(model.state_dict())
        half = prune.snip_scores(model, (inputs.to(dtype), targets), F.cross_entropy)
        full = prune.snip_scores(wide, (inputs.to(dtype).float(), targets), F.cross_entropy)
        for index in (0, 2):
            assert half[model[index], "weight"].dtype == torch.float32
            torch.testing.assert_close(half[model[index], "weight"], full[wide[index], "weight"])
        assert prune.synflow_scores(model, inputs)[model[0], "weight"].dtype == torch.float64


def test_autocast_around_the_call_does_not_lower_the_precision() -> None:
    model = mlp(5, 7, 3, dtype=torch.float32)
    batch = data(torch.float32)
    plain = prune.snip_scores(model, batch, F.cross_entropy)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close(prune.snip_scores(model, batch, F.cross_entropy), {k: v.as_subclass(Tensor) for k, v in plain.items()})


def test_scores_are_taken_in_the_methods_mode() -> None:
    """BatchNorm tells the modes apart: SynFlow in evaluation mode, SNIP and GraSP in training mode."""
    seen: list[bool] = []

    class Witness(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(self.training)
            return x

    model = nn.Sequential(nn.Linear(5, 3), Witness()).double()
    prune.synflow_scores(model.train(), data()[0])
    assert set(seen) == {False}
    assert model.training
    assert model[1].training
    for scores in (prune.snip_scores, prune.grasp_scores):
        seen.clear()
        scores(model.eval(), data(), F.cross_entropy)
        assert set(seen) == {True}
        assert not model[1].training


def test_the_users_train_override_is_respected() -> None:
    """A model that keeps its BatchNorm frozen in training mode is scored like that."""

    class Frozen(nn.Sequential):
        def train(self, mode: bool = True) -> Frozen:
            super().train(mode)
            self[1].eval()
            return self

    torch.manual_seed(0)
    model = Frozen(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 3)).double()
    plain = nn.Sequential(*model)
    batch = data()

    class InEval(prune.SNIP):
        training = False

    close(
        prune.snip_scores(model, batch, F.cross_entropy),
        {k: v.as_subclass(Tensor) for k, v in InEval.scores(plain, data=batch, loss_fn=F.cross_entropy).items()},
    )


def test_backward_hooks_of_the_user_neither_run_nor_break_scoring() -> None:
    model = mlp(5, 7, 3)
    plain = prune.snip_scores(model, data(), F.cross_entropy)
    ran: list[int] = []
    model[0].register_full_backward_hook(lambda *_: ran.append(1))
    close(prune.snip_scores(model, data(), F.cross_entropy), {k: v.as_subclass(Tensor) for k, v in plain.items()})
    assert not ran
    model(data()[0].requires_grad_()).sum().backward()
    assert ran == [1]


def test_inputs_may_be_tuples_mappings_and_integers() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(10, 4)
            self.linear = nn.Linear(4, 3)

        def forward(self, tokens: Tensor, scale: Tensor) -> dict[str, Tensor]:
            return {"logits": self.linear(self.embed(tokens).mean(1)) * scale, "tokens": tokens}

    model = Two()
    tokens, scale = torch.arange(8).view(2, 4), torch.full((2, 3), 5.0)
    by_position = prune.synflow_scores(model, (tokens, scale))
    by_name = prune.synflow_scores(model, {"scale": scale, "tokens": tokens})
    close(by_position, {k: v.as_subclass(Tensor) for k, v in by_name.items()})
    expected = model.linear.weight.detach().abs().double()  # what is embedded and scale are read as ones
    torch.testing.assert_close(by_position[model.linear, "weight"].as_subclass(Tensor), expected)
    snip = prune.snip_scores(
        model, ((tokens, scale), torch.tensor([0, 2])), lambda o, t: F.cross_entropy(o["logits"], t)
    )
    assert snip[model.linear, "weight"].shape == (3, 4)


@every_data_method
def test_scores_have_the_layout_of_contiguous_weights(method: Any) -> None:
    """As torch's ``global_unstructured`` needs it; autograd's second derivatives of convolutions have others."""
    layers = [layer for _ in range(3) for layer in (nn.Conv2d(2, 2, 3, padding=1), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Flatten())
    inputs = torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    scores = method.scores(model, data=(inputs, torch.arange(6)), loss_fn=F.cross_entropy)
    assert all(score.is_contiguous() for score in scores.values())
    prune.global_unstructured(list(scores), method, importance_scores=scores, amount=0.5)
