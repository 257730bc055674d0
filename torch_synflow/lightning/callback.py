"""The callback that prunes a module once, before the first training step or at a later one."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.nn.utils.prune import BasePruningMethod

from torch_synflow._warnings import warn_user
from torch_synflow.budget.allocation import LayerDensities
from torch_synflow.budget.counts import check_amount
from torch_synflow.budget.patterns import Pattern
from torch_synflow.compact.accepting import AcceptingHandle, accept_pruned, accepts_pruned
from torch_synflow.compact.checkpoints import attach_ones
from torch_synflow.lightning.installed import Callback, LightningModule, ProcessLauncher, Trainer, rank_zero_info
from torch_synflow.lightning.training import TrainerSnapshot, check_steps, go_back, snapshot_of
from torch_synflow.loop import global_iterative_unstructured
from torch_synflow.model.masks import masked_entries_of, report_of
from torch_synflow.model.parameters import ExampleInputs, Pair, as_pairs, prunable_parameters
from torch_synflow.model.places import hook_of
from torch_synflow.report import PruningReport
from torch_synflow.schedules import Schedule
from torch_synflow.scoring.task import Data, LossFunction, Outputs


class PruneAtInit(Callback):
    """Prune a ``LightningModule`` once, before the first training step, on all ranks.

    Every checkpoint contains the masks. A run that resumes from a checkpoint takes its masks and does not prune again,
    and its module need not be pruned before. The callback reports the density of each layer to the trainer's loggers,
    as ``density`` and ``density/<layer>``, and to Lightning's log.

    Args:
        method: any class that ``prune.global_iterative_unstructured`` takes, such as ``prune.SynFlow``.
        amount: how much to remove, as in torch: a float is a fraction, and an int is a number of weights.
        model: the name of the submodule to score and prune, such as ``"net"``; by default the ``LightningModule``,
            with its ``forward``.
        parameters: ``(module, name)`` pairs, or a function of the model that returns them; by default all prunable
            weights.
        example_inputs: the model's inputs; by default the module's ``example_input_array`` if the module itself is
            scored, and otherwise the inputs of the next batch.
        data: a batch ``(inputs, targets)`` or an iterable of batches (SNIP, GraSP); by default the next batch of each
            rank. The papers use ``prune.class_balanced_batch(dataset)``.
        loss_fn: ``loss_fn(outputs, targets)`` (SNIP, GraSP).
        outputs: the outputs of the model that count.
        iterations: the number of iterations; by default the method's own.
        schedule: the density after each iteration; by default the method's own.
        layer_densities: kept / total of each layer, or a rule such as ``prune.erk``.
        pattern: a pattern such as ``prune.n_of_m(2, 4)``.
        at_step: the value of the trainer's ``global_step``, its count of optimizer steps, at which to prune.
        rewind: the step to which training then returns: weights, buffers, optimizers and learning-rate schedules. Masks
            and the trainer's count of steps stay. A schedule of T steps therefore needs a ``max_steps`` of
            ``T + at_step - rewind``.
        keep_weights: whether to rewind only optimizers and schedules, not weights and buffers (learning-rate
            rewinding).
        stop_on_collapse: whether to end training, after one step, if layers have collapsed.

    Attributes:
        report: the ``PruningReport``, once pruned. In processes that end with ``fit``, such as those of ``ddp_spawn``,
            it ends with them.

    Raises:
        TypeError, ValueError: if an argument is invalid. The message names it. Errors of
            ``global_iterative_unstructured`` end ``fit`` and leave the module unchanged.

    Source: Frankle et al. 2021, figure 6 and section 6 (pruning at a later step); Renda et al. 2020 (learning-rate
    rewinding).

    Example:
        >>> from torch_synflow.lightning import PruneAtInit
        >>> PruneAtInit(prune.SynFlow, 0.99).state_key
        "PruneAtInit{'at_step': 0}"
    """

    def __init__(
        self,
        method: type[BasePruningMethod],
        amount: float,
        *,
        model: str | None = None,
        parameters: Iterable[Pair] | Callable[[nn.Module], Iterable[Pair]] | None = None,
        example_inputs: ExampleInputs | None = None,
        data: Data | None = None,
        loss_fn: LossFunction | None = None,
        outputs: Outputs | None = None,
        iterations: int | None = None,
        schedule: Schedule | None = None,
        layer_densities: LayerDensities | None = None,
        pattern: Pattern | None = None,
        at_step: int = 0,
        rewind: int | None = None,
        keep_weights: bool = False,
        stop_on_collapse: bool = False,
    ) -> None:
        check_amount(amount)
        check_steps(at_step, rewind, keep_weights=keep_weights)
        self.method = method
        self.amount = amount
        self.model = model
        self.parameters = parameters if parameters is None or callable(parameters) else as_pairs(parameters)
        self.example_inputs = example_inputs
        self.data = data
        self.settings: dict[str, Any] = {
            "loss_fn": loss_fn, "outputs": outputs, "iterations": iterations, "schedule": schedule,
            "layer_densities": layer_densities, "pattern": pattern,
        }  # fmt: skip
        self.at_step = at_step
        self.rewind = rewind
        self.keep_weights = keep_weights
        self.stop_on_collapse = stop_on_collapse
        self.report: PruningReport | None = None
        self._snapshot: TrainerSnapshot | None = None
        self._pruned: weakref.ref[nn.Module] | None = None
        self._accepting: AcceptingHandle | None = None

    def __getstate__(self) -> dict[str, Any]:
        """The state for another process, which has its own module."""
        return {**vars(self), "_pruned": None, "_accepting": None}

    @property
    def state_key(self) -> str:
        """The key of this callback; several callbacks of one trainer prune at different steps."""
        return self._generate_state_key(at_step=self.at_step)

    def state_dict(self) -> dict[str, Any]:
        """Whether it has pruned, the report, and the snapshot to rewind to."""
        if self.report is not None:
            return {"report": self.report.to_dict(), "snapshot": None}
        kept = self._snapshot if self._snapshot is not None and not self._snapshot.sharded else None
        return {"report": None, "snapshot": None if kept is None else kept.to_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a saved state."""
        self.report = None if state_dict["report"] is None else PruningReport.from_dict(state_dict["report"])
        self._snapshot = None if state_dict["snapshot"] is None else TrainerSnapshot(**state_dict["snapshot"])

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make the module accept the masks of a checkpoint."""
        if stage == "fit":
            if self._pruned is None or self._pruned() is not pl_module:
                self.report = self._snapshot = None
                self._pruned = weakref.ref(pl_module)
            if isinstance(trainer.strategy.launcher, ProcessLauncher) and not accepts_pruned(pl_module):
                raise RuntimeError(
                    f"PruneAtInit: with this strategy Lightning trains a copy of {type(pl_module).__name__} in other "
                    "processes, and copies weights, but no masks, back into a module that is not pruned; call "
                    "torch_synflow.prune.accept_pruned(module) before fit, or in its __init__"
                )
        self._accepting = accept_pruned(pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Release the module without changing it."""
        if self._accepting is not None:
            self._accepting.remove()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Clean up, because Lightning does not call ``teardown`` then."""
        self.teardown(trainer, pl_module, "")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the module masks of ones if Lightning loads checkpoints by its current names."""
        if trainer.strategy.restore_checkpoint_after_setup:
            held = {pair: getattr(*pair) for pair in self._pairs(pl_module) if hook_of(*pair) is None}
            attach_ones(pl_module, held)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Prune at the right step."""
        step = trainer.global_step
        if self.report is not None:
            return
        if self.rewind is not None and self._snapshot is None:
            if step != self.rewind:
                if step > self.rewind:
                    raise ValueError(
                        f"rewind: expected a step in the future, got {self.rewind} at step {step}, without a "
                        "snapshot of it; resume from a checkpoint that this callback wrote after that step, or from an "
                        "earlier checkpoint"
                    )
                return
            self._snapshot = snapshot_of(trainer, pl_module, weights=not self.keep_weights)
        if step >= self.at_step:
            self._prune(trainer, pl_module, batch)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn if the step was never reached."""
        if self.report is None and trainer.is_global_zero:
            warn_user(
                f"at_step: training ended at step {trainer.global_step}, before {self.at_step}, so nothing was pruned"
            )

    def _prune(self, trainer: Trainer, pl_module: LightningModule, batch: Any) -> None:
        scored, pairs = self._scored(pl_module), self._pairs(pl_module)
        self._say_if_pruned(trainer, scored, pairs)
        bound = getattr(self.method, "_task", None)
        own = bound is None or bound.model is None  # a bound class has its own inputs and data
        report = global_iterative_unstructured(
            pairs,
            self.method,
            self.amount,
            model=scored if own else None,
            example_inputs=self._example_inputs(pl_module, batch) if own else self.example_inputs,
            data=[batch] if own and self.data is None and "data" in getattr(self.method, "needs", ()) else self.data,
            **self.settings,
        )
        step, back = trainer.global_step, ""
        if self._snapshot is not None:
            go_back(trainer, pl_module, self._snapshot)
            what = "optimizers and schedules" if self.keep_weights else "weights, optimizers and schedules"
            back = f"; {what} are back at step {self.rewind}"
        self.report, self._snapshot = report, None
        for logger in trainer.loggers:
            logger.log_metrics(
                {"density": report.density, **{f"density/{name}": d for name, d in report.densities.items()}}, step
            )
        rank_zero_info(f"PruneAtInit: {self.method.__name__} at step {step}{back}: {report}")
        if self.stop_on_collapse and report.collapsed:
            rank_zero_info("PruneAtInit: training ends after one step, because layers have collapsed")
            trainer.should_stop = True

    def _scored(self, pl_module: LightningModule) -> nn.Module:
        return pl_module if self.model is None else pl_module.get_submodule(self.model)

    def _pairs(self, pl_module: LightningModule) -> list[Pair]:
        if callable(self.parameters):
            return as_pairs(self.parameters(self._scored(pl_module)))
        return as_pairs(prunable_parameters(self._scored(pl_module)) if self.parameters is None else self.parameters)

    def _example_inputs(self, pl_module: LightningModule, batch: Any) -> Any:
        if self.example_inputs is not None:
            return self.example_inputs
        if self.model is None and pl_module.example_input_array is not None:
            return pl_module.example_input_array
        # of a batch (inputs, targets); a mapping holds keyword arguments
        return batch[0] if isinstance(batch, (tuple, list)) and len(batch) > 1 else batch

    def _say_if_pruned(self, trainer: Trainer, scored: nn.Module, pairs: list[Pair]) -> None:
        """Report a module that is already pruned, by hand or by an earlier ``fit``, but not by another callback."""
        before = report_of(masked_entries_of(scored, pairs))
        if before.kept < before.total and not any(
            isinstance(other, PruneAtInit) and other is not self
            for other in trainer.callbacks  # type: ignore[attr-defined]
        ):
            warn_user(
                f"PruneAtInit: the module is already pruned ({before.kept:,} of {before.total:,} weights kept); "
                f"amount={self.amount} applies to the remaining weights"
            )
