"""The state of a training run at a step: weights, optimizers and learning-rate schedules."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from torch_synflow.budget.counts import check_count
from torch_synflow.lightning.installed import LightningModule, Trainer
from torch_synflow.model.training_state import TrainingSnapshot, rewind, take_snapshot


def check_steps(at_step: Any, back_to: Any, *, keep_weights: bool) -> None:
    """Raise unless the step of pruning and the step to rewind to are valid, and the second is the earlier."""
    check_count("at_step", at_step, 0)
    if back_to is not None:
        check_count("rewind", back_to, 0)
        if back_to >= at_step:
            raise ValueError(
                f"rewind: expected a step before at_step={at_step}, got {back_to}; None continues training without "
                "rewinding"
            )
    elif keep_weights:
        raise ValueError(
            "keep_weights: expected rewind, the step to which schedules return, got none; pass for example rewind=0"
        )


@dataclass(frozen=True)
class TrainerSnapshot:
    """The state that training rewinds to.

    Attributes:
        values: the parameters and buffers of the module, or ``None`` if they stay.
        optimizers: the states of the optimizers.
        schedules: the states of the learning-rate schedulers.
    """

    values: dict[str, Any] | None
    optimizers: list[dict[str, Any]]
    schedules: list[dict[str, Any]]

    @property
    def sharded(self) -> bool:
        """Whether a rank holds only its part of the snapshot."""
        # an attribute of DTensor, which torch keeps elsewhere before 2.5
        return any(hasattr(value, "placements") for value in (self.values or {}).values())

    def to_dict(self) -> dict[str, Any]:
        """The same without our classes, for checkpoints."""
        return dict(vars(self))


def snapshot_of(trainer: Trainer, module: LightningModule, *, weights: bool) -> TrainerSnapshot:
    """A copy of the current state of training."""
    return TrainerSnapshot(
        take_snapshot(module).values if weights else None,
        [copy.deepcopy(optimizer.state_dict()) for optimizer in trainer.optimizers],
        [copy.deepcopy(config.scheduler.state_dict()) for config in trainer.lr_scheduler_configs],
    )


def go_back(trainer: Trainer, module: LightningModule, snapshot: TrainerSnapshot) -> None:
    """Rewind training to a snapshot; masks and the trainer's count of steps stay."""
    if snapshot.values is not None:
        rewind(module, TrainingSnapshot(snapshot.values))
    for optimizer, state in zip(trainer.optimizers, snapshot.optimizers, strict=True):
        optimizer.load_state_dict(copy.deepcopy(state))
    for config, state in zip(trainer.lr_scheduler_configs, snapshot.schedules, strict=True):
        config.scheduler.load_state_dict(copy.deepcopy(state))
