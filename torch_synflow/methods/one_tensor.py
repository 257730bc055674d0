"""Pruning one tensor by its scores, in one step."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from torch_synflow.budget.counts import check_amount, to_remove
from torch_synflow.model.masks import attach
from torch_synflow.model.parameters import Pair, resolve
from torch_synflow.model.transaction import all_or_nothing
from torch_synflow.parallel.ranks.meeting import Meeting, settle
from torch_synflow.scoring.marked import Scores, require_finite, require_real, require_shape


def prune_one(
    pair: Pair,
    amount: float,
    scores: Callable[[], Tensor],
    prune: Callable[..., object],
    meeting: Meeting | None,
) -> None:
    """Check, score and prune. An error changes nothing, on any rank of a meeting.

    Args:
        pair: the tensor.
        amount: how much of it to remove.
        scores: a function that computes its scores and may draw random numbers.
        prune: torch's function, which gets the scores as ``importance_scores``.
        meeting: the ranks that prune together, or ``None`` for this rank alone.
    """
    (entry,) = resolve([pair], None)
    check_amount(amount)

    def work() -> None:
        given = scores()
        require_real(given, "importance_scores", entry.label)
        require_shape(entry, given, "importance_scores")
        require_finite([entry], [given], "importance_scores")
        to_remove(amount, entry.alive)
        attach(pair, lambda: prune(importance_scores=given.as_subclass(Scores)))
        settle(meeting)

    all_or_nothing([pair[0]], work)
