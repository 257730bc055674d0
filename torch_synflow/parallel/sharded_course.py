"""The rounds of one call on a model with ``DTensor`` parameters, as with FSDP2 and tensor parallelism."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor, nn

from torch_synflow._torch.fully_sharded import follow_names, is_managed, managed_names
from torch_synflow.methods.rounds import Rounds
from torch_synflow.model.layout import Layout, is_sharded, part_of
from torch_synflow.model.parameters import Entry, unwrap
from torch_synflow.parallel.course import Course
from torch_synflow.parallel.ranks.exchange import add_up
from torch_synflow.parallel.ranks.meeting import Meeting
from torch_synflow.parallel.sharded_rounds import ShardedRounds
from torch_synflow.parallel.sharded_scores import refusal_of
from torch_synflow.parallel.sharded_selection import ShardedSurvivors
from torch_synflow.parallel.sharded_weights import ShardedWeights


class ShardedCourse(Course):
    """The rounds of a call on ranks that each hold a part of one model.

    Every rank runs the model on whole weights, which are gathered one at a time, and scores, ranks and masks its own
    parts. All data are those of all ranks, so that all compute the same, and the same as one process would.

    Args:
        meeting: the ranks, ``None`` for a mesh of one.
        rounds: the method at work.
        entries: the tensors.

    Raises:
        ValueError: if something cannot be pruned in parts. The message names it.
    """

    def __init__(self, meeting: Meeting | None, rounds: Rounds, entries: Sequence[Entry]) -> None:
        self._model = _checked_model(rounds.task.model, entries)
        if reason := refusal_of(rounds.method):
            raise ValueError(
                f"pruning_method: {rounds.method.__name__} does not prune sharded parameters such as "
                f"{entries[0].label}, because {reason}; prune before fully_shard, or use SynFlow, BalancedSynFlow, "
                "SNIP, GraSP, FORCE, L1Unstructured or RandomUnstructured"
            )
        self.speaks = meeting is None or meeting.first
        self._meeting = meeting
        self._layouts = [Layout.of(e.parameter) if is_sharded(e.parameter) else None for e in entries]
        sizes, parts = [entry.total for entry in entries], [_part(entry) for entry in entries]
        masks = [part.mask for part in parts]
        survivors = ShardedSurvivors(masks, self._layouts, sizes, self._add_up, first=self.speaks)
        shards = ShardedWeights(self._model, meeting)
        super().__init__(ShardedRounds(meeting, rounds, shards, self._layouts), parts, survivors)

    def masks(self) -> list[Tensor]:
        """The boolean mask of each tensor after the last iteration, laid out as it is."""
        pairs = zip(super().masks(), self._layouts, strict=True)
        return [mask if layout is None else layout.dtensor(mask.clone()) for mask, layout in pairs]

    def settle(self) -> None:
        """Agree that the masks are on the model, as the last thing that can fail."""
        follow_names(self._model.modules())
        if self._meeting is not None:
            self._meeting.meet()

    def _add_up(self, tensor: Tensor) -> None:
        if self._meeting is not None:
            add_up(self._meeting, [tensor])


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
