"""The rounds of one call on a model with ``DTensor`` parameters, as with FSDP2 and tensor parallelism."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import L1Unstructured, RandomUnstructured

from torch_synflow._torch.fully_sharded import follow_names, is_managed, managed_names
from torch_synflow.methods.base import SaliencyUnstructured
from torch_synflow.methods.rounds import Rounds
from torch_synflow.model.layout import Layout, is_sharded, part_of
from torch_synflow.model.parameters import Entry, unwrap
from torch_synflow.parallel.ranks.exchange import add_up, greatest
from torch_synflow.parallel.ranks.meeting import Meeting
from torch_synflow.parallel.sharded_data import BatchesOfAllRanks
from torch_synflow.parallel.sharded_scores import drawn, refusal_of, scores_of_network
from torch_synflow.parallel.sharded_selection import ShardedSurvivors
from torch_synflow.parallel.sharded_weights import ShardedWeights
from torch_synflow.scoring.network import Network
from torch_synflow.selection.quotas import InGroups, Quota


class ShardedCourse:
    """The rounds of a call on ranks that each hold a part of one model.

    Every rank runs the model on whole weights, which are gathered one at a time, and scores, ranks and masks its own
    parts. All data are those of all ranks, so that all compute the same, and the same as one process would.

    Args:
        meeting: the ranks, ``None`` for a mesh of one.
        rounds: the method at work.
        entries: the tensors.

    Attributes:
        speaks: whether this process shows progress.

    Raises:
        ValueError: if something cannot be pruned in parts. The message names it.
    """

    def __init__(self, meeting: Meeting | None, rounds: Rounds, entries: Sequence[Entry]) -> None:
        self.speaks = meeting is None or meeting.first
        self._meeting = meeting
        self._method: Any = rounds.method
        self._entries = [_part(entry) for entry in entries]
        self._layouts = [Layout.of(e.parameter) if is_sharded(e.parameter) else None for e in entries]
        self._task, self._model = rounds.task, _checked_model(rounds.task.model, entries)
        if reason := refusal_of(self._method):
            raise ValueError(
                f"pruning_method: {self._method.__name__} does not prune sharded parameters such as "
                f"{entries[0].label}, because {reason}; prune before fully_shard, or use SynFlow, BalancedSynFlow, "
                "SNIP, GraSP, L1Unstructured or RandomUnstructured"
            )
        self._shards = ShardedWeights(self._model, meeting)
        self._network: Network | None = None
        self._sizes = [entry.total for entry in entries]
        masks = [entry.mask for entry in self._entries]
        self._survivors = ShardedSurvivors(masks, self._layouts, self._sizes, self._add_up, first=self.speaks)

    @property
    def counts(self) -> Sequence[int]:
        """How many elements are left of each whole tensor."""
        return self._survivors.counts

    def start(self, last: Quota) -> None:
        """Begin, with what is to be left in the end."""
        if isinstance(last, InGroups):
            raise ValueError("pattern: expected none for sharded parameters; prune before fully_shard")
        if not issubclass(self._method, SaliencyUnstructured):
            return
        data = self._task.data
        if data is not None and self._meeting is not None:
            data = BatchesOfAllRanks(self._meeting, data)
        task = replace(self._task, data=data, shards=self._shards)
        self._meet()
        self._network = self._method.network(task, self._entries, [entry.mask for entry in self._entries])
        assert self._network is not None
        self._network.unpruned = self._survivors.total == sum(self._sizes)

    def prune(self, quota: Quota) -> None:
        """One iteration."""
        if self._survivors.meets(quota):
            return
        self._meet()
        draws = self._task.data is not None or self._method is RandomUnstructured
        scores = self._with_one_source_of_randomness(self._scored) if draws else self._scored()
        self._survivors.keep_highest_of(scores, quota)
        del scores
        if self._network is not None:
            with torch.inference_mode(False):
                self._network.apply_masks(self._survivors)

    def masks(self) -> list[Tensor]:
        """The boolean mask of each tensor after the last iteration, laid out as it is."""
        self._network = None
        pairs = zip(self._survivors.masks, self._layouts, strict=True)
        return [mask if layout is None else layout.dtensor(mask.clone()) for mask, layout in pairs]

    def settle(self) -> None:
        """Agree that the masks are on the model, as the last thing that can fail."""
        follow_names(self._model.modules())
        self._meet()

    def _scored(self) -> list[Tensor]:
        if self._network is not None:
            return scores_of_network(self._method, self._network, self._entries, self._greatest)
        if self._method is L1Unstructured:
            weights = [entry.parameter.detach() for entry in self._entries]
            unusable = torch.tensor([float(not bool(weight.isfinite().all())) for weight in weights])
            self._greatest(unusable)
            for entry, bad in zip(self._entries, unusable.tolist(), strict=True):
                if bad:
                    raise ValueError(f"{entry.label}: expected finite weights, got NaN or infinity")
            return [weight.abs() for weight in weights]
        triples = zip(self._entries, self._survivors.masks, self._layouts, strict=True)
        return [drawn(entry, mask, layout, self._shards.gather) for entry, mask, layout in triples]

    def _with_one_source_of_randomness(self, work: Callable[[], list[Tensor]]) -> list[Tensor]:
        """The result of ``work``, every rank drawing the numbers that the first draws; only that one's are used up."""
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

    def _add_up(self, tensor: Tensor) -> None:
        if self._meeting is not None:
            add_up(self._meeting, [tensor])

    def _greatest(self, tensor: Tensor) -> None:
        if self._meeting is not None:
            greatest(self._meeting, [tensor])


def _part(entry: Entry) -> Entry:
    """An entry of what this rank holds."""
    if not is_sharded(entry.parameter):
        return entry
    part = nn.Parameter(part_of(entry.parameter), requires_grad=False)
    return replace(entry, parameter=part, mask=part_of(entry.mask))


def _checked_model(model: nn.Module | None, entries: Sequence[Entry]) -> nn.Module:
    """The model, which holds all that ``fully_shard`` manages of it, or an error that names what is in the way."""
    first = next(entry.label for entry in entries if is_sharded(entry.parameter))
    if model is None:
        raise ValueError(
            f"model: expected the model that holds {first}, a sharded parameter, got none; pass model=model, or the "
            "list of prune.prunable_parameters(model)"
        )
    model = unwrap(model)
    managed = managed_names(model.modules())
    for entry in entries:
        if not is_sharded(entry.parameter):
            continue
        if any(placement.is_partial() for placement in Layout.of(entry.parameter).placements):
            raise ValueError(f"{entry.label}: expected a sharded or replicated parameter, got a partial one")
        for module, name in entry.locations:
            held = f"{name}_orig" if f"{name}_orig" in module._parameters else name
            if is_managed(module) and (module, held) not in managed:
                raise ValueError(
                    f"{entry.label}: expected a model that contains the module on which fully_shard was called, got "
                    f"{type(model).__name__}; pass the whole model"
                )
    for name, module in model.named_modules():
        if isinstance(module, nn.RNNBase) and any(map(is_sharded, module.parameters(recurse=False))):
            raise ValueError(
                f"{name or type(module).__name__}: a recurrent layer reads its weights from its own list, which "
                "cannot be gathered one at a time; prune before fully_shard"
            )
    return model
