"""Sums with equal shares, against the same network with the factors written out as constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.flow.surrogate.sums import Net, X, joined, net, plain_scores, scores_of, shared
from torch_synflow import diagnostics, prune
from torch_synflow.flow.surrogate.branches import BalancedFlow, BalancedScaledFlow, branch_factors
from torch_synflow.flow.surrogate.mode import Flow

pytestmark = pytest.mark.filterwarnings("ignore:SynFlow. on no path:UserWarning")


def in_place(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    y = a.clone()
    y += b
    y.add_(c)
    return y


def written_to(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    y = a * 1.0
    y.add_(b)  # what it returns is not used
    return y


SUMS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
    "two": (lambda x, a, b, c: x + a, lambda x, a, b, c: shared(x, a)),
    "a sum of a sum counts its branches": (lambda x, a, b, c: a + b + c, lambda x, a, b, c: shared(a, b, c)),
    "four": (lambda x, a, b, c: (x + a) + (b + c), lambda x, a, b, c: shared(x, a, b, c)),
    "python's sum": (lambda x, a, b, c: sum([x, a, b]), lambda x, a, b, c: shared(x, a, b)),
    "in place": (in_place, lambda x, a, b, c: shared(a, b, c)),
    "written to": (written_to, lambda x, a, b, c: shared(a, b)),
    "a difference": (lambda x, a, b, c: a - b, lambda x, a, b, c: shared(a, b)),
    "alpha": (lambda x, a, b, c: torch.add(other=b, input=a, alpha=3), lambda x, a, b, c: shared(a, 3 * b)),
    "alpha of a difference": (
        lambda x, a, b, c: torch.sub(a, other=b, alpha=2) + torch.rsub(a, c, alpha=2),
        lambda x, a, b, c: shared(shared(a, 2 * b), shared(2 * a, c), of=(2, 2)),
    ),
    "a branch twice": (lambda x, a, b, c: a + a, lambda x, a, b, c: shared(a, a)),
    "a stack": (lambda x, a, b, c: torch.stack([x, a, b]).sum(0), lambda x, a, b, c: shared(x, a, b)),
    "a stack along the last": (
        lambda x, a, b, c: torch.stack((a, b), dim=-1).sum(-1), lambda x, a, b, c: shared(a, b),
    ),
    "a stack along another dimension is no sum": (
        lambda x, a, b, c: torch.stack([a, b]).sum(1).sum(0, keepdim=True), lambda x, a, b, c: a + b,
    ),
    "the mean of a stack": (
        lambda x, a, b, c: torch.stack([a, b], 1).mean(dim=1), lambda x, a, b, c: shared(a, b) / 2,
    ),
    "a weighted stack": (
        lambda x, a, b, c: (torch.stack([a, b]) * torch.tensor([[[2.0]], [[1.0]]]).double()).sum(0),
        lambda x, a, b, c: shared(2 * a, b),
    ),
    "broadcasting": (
        lambda x, a, b, c: a + b.sum(-1, keepdim=True),
        lambda x, a, b, c: shared(a, b.sum(-1, keepdim=True).expand_as(a)),
    ),
    "layer scale": (lambda x, a, b, c: x + 1e-6 * a, lambda x, a, b, c: shared(x, 1e-6 * a)),
    "a product that is added": (
        lambda x, a, b, c: torch.addcmul(x, a, torch.full((4,), 0.5).double()), lambda x, a, b, c: shared(x, 0.5 * a),
    ),
    "a concatenation": (
        lambda x, a, b, c: torch.cat([a[:, :1], b[:, 1:]], 1), lambda x, a, b, c: joined(a[:, :1], b[:, 1:]),
    ),
    "a concatenation by names": (
        lambda x, a, b, c: torch.concat(tensors=(a[:, :1], b[:, 1:]), dim=-1),
        lambda x, a, b, c: joined(a[:, :1], b[:, 1:]),
    ),
    "a batch is no concatenation": (
        lambda x, a, b, c: torch.cat([a, b]).sum(0, keepdim=True), lambda x, a, b, c: a + b,
    ),
    "what is joined with a constant": (
        lambda x, a, b, c: torch.cat([a[:, :3], torch.ones(1, 1).double()], 1),
        lambda x, a, b, c: torch.cat([a[:, :3], 2.0**-50 * a[:, :3].detach().amax(1, keepdim=True)], 1),  # a token
    ),
    "a bias is no branch": (lambda x, a, b, c: a + 0.5, lambda x, a, b, c: a + 0.5),
}  # fmt: skip


@pytest.mark.parametrize("name", SUMS)
def test_the_branches_of_a_sum_have_equal_shares(name: str) -> None:
    summed, written_out = SUMS[name]
    for score, expected in zip(scores_of(net(summed)), plain_scores(net(written_out)), strict=True):
        torch.testing.assert_close(score, expected, rtol=1e-12, atol=1e-300)


def test_a_branch_without_flow_counts_for_none() -> None:
    model, alone = net(lambda x, a, b, c: x + a + b), net(lambda x, a, b, c: shared(x, b))
    prune.custom_from_mask(model.a, "weight", torch.zeros(4, 4))
    first, last, *_ = (scores := scores_of(model))
    expected = plain_scores(alone)
    torch.testing.assert_close([first, last, scores[3]], [expected[0], expected[1], expected[3]], rtol=1e-12, atol=0)
    assert not scores[2].any()


@pytest.mark.parametrize("carried", [(3.0, 5.0), (3.0, 0.0, 1e-30), (0.0, 0.0)], ids=str)
def test_numbers_of_the_host_and_tensors_give_the_same_factors(carried: tuple[float, ...]) -> None:
    branches = [torch.full((2, 3), total / 6) for total in carried]
    on_host = branch_factors(*branches, shares=BalancedFlow.shares)
    as_tensors = branch_factors(*branches, shares=lambda carried, counts: counts)
    torch.testing.assert_close(on_host, as_tensors)
    living = sum(total > 0 for total in carried)
    expected = [sum(carried) / living / total if total else 0.0 for total in carried]
    torch.testing.assert_close(on_host, (*torch.tensor([*expected, living]).unbind(),))


def test_a_sum_that_is_read_elsewhere_too_is_one_branch() -> None:
    """As a residual stream is, in which each block has half of what its sum hands on."""

    def stream(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        y = x + a
        return y + y * 2.0

    def written_out(x: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
        y = shared(x, a)
        return shared(y, y * 2.0)

    for score, expected in zip(scores_of(net(stream)), plain_scores(net(written_out)), strict=True):
        torch.testing.assert_close(score, expected, rtol=1e-12, atol=0)


def test_a_sum_that_the_model_returns_too_is_one_branch() -> None:
    class Returned(Net):
        def forward(self, x: Tensor) -> Any:
            x = self.first(x)
            y = x + self.a(x)
            return self.last(y + self.b(x)), y

    torch.manual_seed(0)
    model = Returned(lambda *_: None).double()
    nn.init.ones_(model.last.weight)  # reads all elements alike
    scores = prune.BalancedSynFlow.scores(model, example_inputs=X)
    share = scores[model.b, "weight"].sum() / scores[model.last, "weight"].sum()
    assert float(share) == pytest.approx(1 / 2, rel=1e-12)


def test_two_branches_by_hand() -> None:
    model = net(lambda x, a, b, c: x + a)
    with torch.no_grad():
        model.first.weight.fill_(1.0)
        model.a.weight.copy_(torch.eye(4) * 0.5)
        model.last.weight.fill_(0.25)
    scores = prune.BalancedSynFlow.scores(model, example_inputs=X)
    # x = 4 each, a = 2 each, so s = 16 and 8, S = 24; factors 24 / (2 * 16) and 24 / (2 * 8); y = 3 + 3 each, R = 24
    assert float(scores[model.last, "weight"].sum()) == pytest.approx(24, rel=1e-15)
    assert float(scores[model.first, "weight"].sum()) == pytest.approx(24, rel=1e-15)
    assert scores[model.a, "weight"].tolist() == [[3.0 if i == j else 0.0 for j in range(4)] for i in range(4)]


#: x = 4 each, a = 2 ** -7 each
S = 16 + 2.0**-5


@pytest.mark.parametrize("extended", [BalancedFlow, BalancedScaledFlow])
@pytest.mark.parametrize(
    ("rule", "part"),
    [
        # a contributes half of its own 2 ** -5 and a quarter of S
        (lambda carried, counts: 0.5 * counts / 2 + 0.5 * carried / carried.sum(), 0.5 * 2.0**-5 / S + 0.25),
        # square roots: the shortcut carries 16 and a carries 2 ** -5
        (lambda carried, counts: carried.sqrt(), 2.0**-2.5 / (4 + 2.0**-2.5)),
    ],
)
def test_branches_have_the_shares_of_the_rule(extended: type[Flow], rule: Any, part: float) -> None:
    class Ruled(extended):  # type: ignore[misc, valid-type]
        shares = staticmethod(rule)

    class RuledSynFlow(prune.BalancedSynFlow):
        _modes = (Ruled, Ruled)

    model = net(lambda x, a, b, c: x + a)
    with torch.no_grad():
        model.first.weight.fill_(1.0)
        model.a.weight.copy_(torch.eye(4) * 2.0**-9)
        model.last.weight.fill_(0.25)
    scores = RuledSynFlow.scores(model, example_inputs=X)
    whole = scores[model.last, "weight"].sum()  # S, up to a power of two
    torch.testing.assert_close(scores[model.a, "weight"], torch.eye(4).double() * whole * part / 4, rtol=1e-14, atol=0)


@pytest.mark.parametrize("name", ["two", "four", "in place", "a stack", "layer scale"])
def test_scores_are_conserved_with_the_constants_held(name: str) -> None:
    """Theorems 1 and 2, by the checks of the package on the network with its factors written out."""
    _, written_out = SUMS[name]
    model = net(written_out)
    found = diagnostics.conservation(model, X, lambda outputs: outputs.sum())
    assert found.error < 1e-12
    assert all(found.cut([layer]).error < 1e-12 for layer in ("first", "last"))
    totals = [float(score.sum()) for score in scores_of(net(SUMS[name][0]))]
    assert totals[0] == pytest.approx(totals[1], rel=1e-12)  # the first and the last layer


@pytest.mark.parametrize("named", [True, False])
def test_the_tensors_that_a_model_returns_have_equal_shares(named: bool) -> None:
    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.main, self.side = (nn.Linear(4, 4, bias=False) for _ in range(3))

        def forward(self, x: Tensor) -> Any:
            h = self.body(x)
            main, side = self.main(h), 1e-19 * self.side(h)
            return {"main": main, "side": side} if named else (main, side, None)

    torch.manual_seed(0)
    model = Heads().double()
    body, main, side = (float(score.sum()) for score in scores_of(model))
    assert main == pytest.approx(side, rel=1e-12)
    assert body == pytest.approx(main + side, rel=1e-12)
    plain = [float(score.sum()) for score in prune.synflow_scores(model, X).values()]
    assert plain[2] < 1e-15 * plain[1]


@pytest.mark.parametrize(("steps", "of_state"), [(2, 1 / 4), (3, 7 / 16)])
def test_an_lstm_gives_its_input_and_its_state_equal_shares(steps: int, of_state: float) -> None:
    """Half of a cell's flow comes from the cell before, a quarter from the input and a quarter from the state.

    The state is that of the cell before, which so gets three quarters: over the steps, the weights of the state carry
    1/4 (1 + 3/4 + ...) of the flow, and all of it ends in those of the input.
    """

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(4, 5, bias=False, batch_first=True)
            self.last = nn.Linear(5, 2, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.lstm(x)[0][:, -1])

    torch.manual_seed(0)
    model = Recurrent().double()
    _, of_the_state = model.lstm.parameters()
    for weight in (of_the_state, model.last.weight):  # both read all elements alike
        nn.init.ones_(weight)
    scores = prune.BalancedSynFlow.scores(model, example_inputs=torch.ones(1, steps, 4))
    whole = float(scores[model.last, "weight"].sum())
    for name, share in (("weight_ih_l0", 1.0), ("weight_hh_l0", of_state)):
        of_new_cells = scores[model.lstm, name].chunk(4)[2].sum()
        assert float(of_new_cells) / whole == pytest.approx(share, rel=1e-12)
