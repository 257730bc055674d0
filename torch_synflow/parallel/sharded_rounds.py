"""A method on parts of tensors: every rank scores the whole model, and ranks and masks its own parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.prune import L1Unstructured, RandomUnstructured

from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.methods.rounds import Rounds
from torch_synflow.model.layout import Layout
from torch_synflow.model.parameters import Entry
from torch_synflow.parallel.ranks.exchange import greatest
from torch_synflow.parallel.ranks.meeting import Meeting
from torch_synflow.parallel.sharded_data import BatchesOfAllRanks
from torch_synflow.parallel.sharded_scores import drawn, scores_of_network
from torch_synflow.parallel.sharded_selection import ShardedSurvivors
from torch_synflow.parallel.sharded_weights import ShardedWeights
from torch_synflow.scoring.network import Network
from torch_synflow.selection.quotas import InGroups, Quota
from torch_synflow.selection.survivors import Survivors


class ShardedRounds(Rounds):
    """The rounds of a method whose element scores depend on other elements only through the model.

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
        self._network: Network | None = None

    def start(self, entries: Sequence[Entry], last: Quota) -> None:
        """Begin with the parts of this rank."""
        self._entries = entries
        if isinstance(last, InGroups):
            raise ValueError("pattern: expected none for sharded parameters; prune before fully_shard")
        if not issubclass(self.method, SaliencyUnstructured):
            return
        data = self.task.data
        if data is not None and self._meeting is not None:
            data = BatchesOfAllRanks(self._meeting, data)
        task = replace(self.task, data=data, shards=self._shards)
        self._meet()
        self._network = self.method.network(task, entries, [entry.mask for entry in entries])

    def select(self, survivors: Survivors, quota: Quota) -> Survivors:
        """The elements left after an iteration, on all ranks together."""
        assert isinstance(survivors, ShardedSurvivors)  # of a sharded course
        if survivors.meets(quota):
            return survivors
        self._meet()
        if self._network is not None:
            self._network.unpruned = survivors.untouched
        draws = self.task.data is not None or self.method is RandomUnstructured
        scored = partial(self._scored, survivors)
        survivors.keep_highest_of(self._with_one_source_of_randomness(scored) if draws else scored(), quota)
        return survivors

    def apply(self, survivors: Survivors) -> None:
        """Set the weights to zero that are not survivors."""
        if self._network is not None:
            with torch.inference_mode(False):
                self._network.apply_masks(survivors)

    def _scored(self, survivors: Survivors) -> list[Tensor]:
        if self._network is not None:
            return scores_of_network(self.method, self._network, self._entries, self._greatest)
        if self.method is L1Unstructured:
            weights = [entry.parameter.detach() for entry in self._entries]
            unusable = torch.tensor([float(not bool(weight.isfinite().all())) for weight in weights])
            self._greatest(unusable)
            for entry, bad in zip(self._entries, unusable.tolist(), strict=True):
                if bad:
                    raise ValueError(f"{entry.label}: expected finite weights, got NaN or infinity")
            return [weight.abs() for weight in weights]
        triples = zip(self._entries, survivors.masks, self._layouts, strict=True)
        return [drawn(entry, mask, layout, self._shards.gather) for entry, mask, layout in triples]

    def _with_one_source_of_randomness(self, work: Callable[[], list[Tensor]]) -> list[Tensor]:
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
