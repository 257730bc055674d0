"""A method on parts of tensors: every rank scores the whole model, and ranks and masks its own parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.prune import L1Unstructured

from torch_synflow.methods.rounds import ByScores, Rounds
from torch_synflow.model.layout import Layout
from torch_synflow.model.parameters import Entry
from torch_synflow.model.transaction import Result
from torch_synflow.parallel.ranks.exchange import greatest
from torch_synflow.parallel.ranks.meeting import Meeting
from torch_synflow.parallel.sharded_data import BatchesOfAllRanks
from torch_synflow.parallel.sharded_scores import drawn, drawn_of_survivors, scores_of_network
from torch_synflow.parallel.sharded_weights import ShardedWeights
from torch_synflow.scoring.network import Network
from torch_synflow.selection.quotas import InGroups, Quota
from torch_synflow.selection.stream import ScoreStream
from torch_synflow.selection.survivors import Survivors


class ShardedRounds(Rounds):
    """The rounds of a method whose element scores depend on other elements only through the model.

    A method that scores a model keeps its own rounds, which get the scores of this rank's parts.

    Args:
        meeting: the ranks, ``None`` for a mesh of one.
        rounds: those of the method on whole tensors.
        shards: the sharded parameters of its model.
        layouts: of the tensors; ``None`` for one that every rank has the whole of.
    """

    def __init__(
        self, meeting: Meeting | None, rounds: Rounds, shards: ShardedWeights, layouts: Sequence[Layout | None]
    ) -> None:
        self.method: Any = rounds.method
        self.task, self.reads_data = rounds.task, rounds.reads_data
        self._meeting, self._shards, self._layouts = meeting, shards, layouts
        self._of_scores = rounds if isinstance(rounds, ByScores) else None

    def start(self, entries: Sequence[Entry], last: Quota) -> None:
        """Begin with the parts of this rank."""
        self._entries = entries
        if self._of_scores is None:
            return
        data = self.task.data
        if data is not None and self._meeting is not None:
            data = BatchesOfAllRanks(self._meeting, data)
        self._of_scores.task = replace(self.task, data=data, shards=self._shards)
        self._of_scores.score = self._scores
        self._of_scores.start(entries, last)

    def select(self, survivors: Survivors, quota: Quota) -> Survivors:
        """The elements left after an iteration, on all ranks together."""
        if self._of_scores is not None:
            return self._of_scores.select(survivors, quota)
        if not survivors.meets(quota):
            survivors.keep_highest(ScoreStream(self._values(survivors, quota)), quota)
        return survivors

    def apply(self, survivors: Survivors) -> None:
        """Continue with the elements that :meth:`select` has left."""
        if self._of_scores is not None:
            self._of_scores.apply(survivors)

    def _scores(self, entries: Sequence[Entry], network: Network) -> ScoreStream:
        self._meet()
        scored = partial(scores_of_network, self.method, network, entries, self._greatest)
        return scored() if self.task.data is None else self._with_one_source_of_randomness(scored)

    def _values(self, survivors: Survivors, quota: Quota) -> list[Tensor]:
        """What torch's own methods rank."""
        self._meet()
        if self.method is L1Unstructured:
            weights = [entry.parameter.detach() for entry in self._entries]
            unusable = torch.tensor([float(not bool(weight.isfinite().all())) for weight in weights])
            self._greatest(unusable)
            for entry, bad in zip(self._entries, unusable.tolist(), strict=True):
                if bad:
                    raise ValueError(f"{entry.label}: expected finite weights, got NaN or infinity")
            return [weight.abs() for weight in weights]
        triples = list(zip(self._entries, survivors.masks, self._layouts, strict=True))
        if isinstance(quota, InGroups):
            return self._with_one_source_of_randomness(lambda: [drawn(entry, where) for entry, _, where in triples])
        return self._with_one_source_of_randomness(
            lambda: [drawn_of_survivors(*triple, self._shards.gather) for triple in triples]
        )

    def _with_one_source_of_randomness(self, work: Callable[[], Result]) -> Result:
        """The result of ``work``, with the first rank's random numbers on all ranks; only its generator advances."""
        if self._meeting is None:
            return work()
        device = self._entries[0].parameter.device
        cuda = device.type == "cuda"
        states = self._meeting.tell([torch.get_rng_state()] + ([torch.cuda.get_rng_state(device)] if cuda else []))
        if self._meeting.first:
            return work()
        with torch.random.fork_rng(devices=[device] if cuda else []):
            torch.set_rng_state(states[0])
            if cuda:
                torch.cuda.set_rng_state(states[1], device)
            return work()

    def _meet(self) -> None:
        if self._meeting is not None:
            self._meeting.meet()

    def _greatest(self, tensor: Tensor) -> None:
        if self._meeting is not None:
            greatest(self._meeting, [tensor])
