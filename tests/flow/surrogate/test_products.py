"""Sums and products: constants are positive, gates count upstream flow once and carry the block's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.flow.flows import IMAGE, Of, agrees, around, totals, without_biases
from tests.flow.networks import SqueezeExcite
from tests.flow.surrogate.sums import net, plain_scores, scores_of
from torch_synflow import prune


def test_offsets_and_factors_that_are_constants_are_positive() -> None:
    shift, scale = torch.randn(8), torch.randn(8)
    agrees(around(Of(lambda x: (x - shift) * scale - 2)), lambda x: (x + shift.abs()) * scale.abs() + 2)
    agrees(around(Of(lambda x: x.add(shift).div(-2.0).sub_(0.5))), lambda x: (x + shift.abs()) / 2 + 0.5)


class InPlace(SqueezeExcite):
    def product(self, x: Tensor, scale: Tensor) -> Tensor:
        x = x.clone()
        x.mul_(scale.expand_as(x))
        return x


@pytest.mark.parametrize("kind", [SqueezeExcite, InPlace])
@pytest.mark.parametrize("gate", [torch.sigmoid, F.hardsigmoid, lambda x: F.relu6(x + 3) / 6])
@pytest.mark.parametrize("before", [nn.SiLU(), nn.Identity(), nn.Hardswish(inplace=True), nn.ReLU6()])
def test_squeeze_excite_counts_upstream_once_and_carries_the_blocks_flow(
    kind: type[SqueezeExcite], gate: Callable[[Tensor], Tensor], before: nn.Module
) -> None:
    blocks = [nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), before, kind(gate)) for _ in range(3)]
    model = without_biases(nn.Sequential(nn.Conv2d(3, 8, 3), *blocks, nn.Flatten(), nn.Linear(8 * 36, 4)))
    found = totals(model, IMAGE)
    R = found["5"]  # noqa: N806
    for name, total in found.items():
        share = 1.0
        if name.rpartition(".")[2] in ("fc1", "fc2") and gate not in (torch.sigmoid, F.hardsigmoid):
            assert 0 < total < R  # the 3 of relu6(x + 3) is a bias of the gate
        else:
            assert total == pytest.approx(share * R, rel=1e-9), name


def test_a_gate_without_weights_left_is_open() -> None:
    model = without_biases(
        nn.Sequential(nn.Conv2d(3, 8, 3), SqueezeExcite(torch.sigmoid), nn.Flatten(), nn.Linear(288, 4))
    )
    pruned = prune.custom_from_mask(model[1].fc2, "weight", torch.zeros_like(model[1].fc2.weight))
    scores = prune.synflow_scores(model, IMAGE)
    assert not scores[pruned, "weight"].any()
    assert (scores[model[0], "weight"] > 0).all()


def test_glu_and_its_relatives() -> None:
    class SwiGLU(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 8), nn.Linear(6, 8)

        def forward(self, x: Tensor) -> Tensor:
            return F.silu(self.a(x)) * self.b(x)

    found = totals(without_biases(nn.Sequential(nn.Linear(6, 6), nn.ReLU(), SwiGLU(), nn.Linear(8, 3))))
    assert list(found.values()) == pytest.approx([found["3"]] * 4)
    # both halves of one layer carry the flow: the main one and the gate
    found = totals(without_biases(nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 16), nn.GLU(), nn.Linear(8, 3))))
    assert list(found.values()) == pytest.approx([found["3"], 2 * found["3"], found["3"]])


def test_what_was_a_gate_is_one_again() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.q, self.v, self.last = (nn.Linear(4, 4, bias=False) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            x = self.first(x)
            q, v = self.q(x), self.v(x)
            return self.last(q @ v.transpose(1, 2) + q[:, :] * v)  # type: ignore[no-any-return]

    model = Twice().double()
    scores = prune.SynFlow.scores(model, example_inputs=torch.ones(1, 4, 4, dtype=torch.float64))
    found = {module: float(score.sum()) for (module, _), score in scores.items()}
    assert [found[m] for m in (model.first, model.q, model.v)] == pytest.approx([found[model.last]] * 3, rel=1e-12)


@pytest.mark.parametrize(
    ("between", "layers"),
    [(lambda x, a, b, c: x * a, "a"), (lambda x, a, b, c: a * b, "ab"), (lambda x, a, b, c: x * a * b, "ab")],
)
@pytest.mark.filterwarnings("ignore:SynFlow. on no path:UserWarning")
def test_all_operands_of_a_product_carry_its_flow_with_balanced_sums_too(
    between: Callable[..., Tensor], layers: str
) -> None:
    model = net(between)
    balanced = prune.BalancedSynFlow.scores(model, example_inputs=torch.ones(1, 4))
    R = balanced[model.last, "weight"].sum()  # noqa: N806
    for name in ("first", *layers):
        torch.testing.assert_close(balanced[getattr(model, name), "weight"].sum(), R)
    for pair, scores in prune.synflow_scores(model, torch.ones(1, 4)).items():
        assert torch.equal(balanced[pair], scores)


def test_an_interpolation_runs_unchanged_and_one_by_a_gate_is_refused() -> None:
    with pytest.warns(UserWarning, match="without a homogeneous surrogate, so run unchanged: lerp"):
        scores = scores_of(net(lambda x, a, b, c: torch.lerp(x, a, 0.25)))
    for score, expected in zip(scores, plain_scores(net(lambda x, a, b, c: 0.75 * x + 0.25 * a)), strict=True):
        torch.testing.assert_close(score, expected, rtol=1e-12, atol=0)
    with pytest.raises(ValueError, match="got negative ones; the first operation without a surrogate is 'lerp'"):
        scores_of(net(lambda x, a, b, c: torch.lerp(x, a, b.sigmoid())))
