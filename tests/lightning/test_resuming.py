"""PruneAtInit and what lasts longer than a call of ``fit``: checkpoints, further calls, later steps, rewinding."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from tests.lightning.modules import QUIET, Classifier, batches, lightning, trainer
from torch_synflow import prune
from torch_synflow.lightning import PruneAtInit

pytestmark = QUIET


class Watch(lightning.Callback):  # type: ignore[misc, name-defined]
    """Copies at the start of each step the state of the module, before other callbacks, and of the optimizer."""

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = []
        self.optimizers: list[Any] = []
        self.rates: list[float] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.states.append({name: tensor.clone() for name, tensor in pl_module.state_dict().items()})
        self.optimizers.append(copy.deepcopy(trainer.optimizers[0].state_dict()))
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


class After(Watch):
    """The same, to be listed behind PruneAtInit."""


def equal(states: Any, others: Any) -> bool:
    return states.keys() == others.keys() and all(torch.equal(states[name], others[name]) for name in states)


def plain(state: Any) -> Any:
    """The weights without their masks, by the names of a dense model."""
    return {name.removesuffix("_orig"): tensor for name, tensor in state.items() if not name.endswith("_mask")}


def test_pruning_at_a_later_step_scores_the_weights_of_then(tmp_path: Path) -> None:
    model, before, after = Classifier(), Watch(), After()
    pruning = PruneAtInit(prune.SynFlow, 0.5, at_step=2)
    trainer(tmp_path, [before, pruning, after]).fit(model, batches())
    trained = Classifier()
    trained.load_state_dict(before.states[2])
    prune.global_iterative_unstructured(trained, prune.SynFlow, 0.5, example_inputs=torch.ones(1, 5))
    assert equal(after.states[2], trained.state_dict())
    assert equal(prune.masks(model), prune.masks(trained))
    assert after.rates[2] == pytest.approx(0.1 * 0.9**2)


@pytest.mark.parametrize("rewind", [0, 1])
@pytest.mark.parametrize("keep_weights", [False, True])
def test_rewinding_sets_training_back_and_keeps_the_masks(rewind: int, keep_weights: bool, tmp_path: Path) -> None:
    model, before, after = Classifier(), Watch(), After()
    pruning = PruneAtInit(prune.L1Unstructured, 0.5, at_step=3, rewind=rewind, keep_weights=keep_weights)
    trainer(tmp_path, [before, pruning, after]).fit(model, batches())
    assert equal(plain(after.states[3]), before.states[3 if keep_weights else rewind])
    assert after.rates[3] == before.rates[rewind] == pytest.approx(0.1 * 0.9**rewind)
    momenta = [state["momentum_buffer"] for state in after.optimizers[3]["state"].values()]
    expected = [state["momentum_buffer"] for state in before.optimizers[rewind]["state"].values()]
    assert len(momenta) == len(expected) == (6 if rewind else 0)
    assert all(torch.equal(one, other) for one, other in zip(momenta, expected, strict=True))
    trained = Classifier()
    trained.load_state_dict(before.states[3])
    prune.global_iterative_unstructured(trained, prune.L1Unstructured, 0.5)
    assert equal(prune.masks(model), prune.masks(trained))


def test_rewound_to_the_start_the_run_is_that_of_the_ticket(tmp_path: Path) -> None:
    """Four steps after going back to step 0 are those of a fresh module with these masks, on the same batches."""
    model, ticket = Classifier(), Classifier()
    pruning = PruneAtInit(prune.L1Unstructured, 0.5, at_step=4, rewind=0)
    trainer(tmp_path, [pruning], max_epochs=2).fit(model, batches())
    prune.apply_masks(ticket, prune.masks(model))
    trainer(tmp_path).fit(ticket, batches())
    assert equal(model.state_dict(), ticket.state_dict())


class Stop(lightning.Callback):  # type: ignore[misc, name-defined]
    """Saves a checkpoint at the end of an epoch, after some steps, and ends the run."""

    def __init__(self, path: Path, steps: int) -> None:
        self.path = path
        self.steps = steps

    def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
        if trainer.global_step == self.steps:
            trainer.save_checkpoint(self.path)
            raise KeyError("stopped")


SETTINGS = {"init": {}, "later": {"at_step": 4}, "rewound": {"at_step": 4, "rewind": 1}}


@pytest.mark.parametrize("steps", [2, 5])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_resumed_run_ends_as_one_that_was_not_stopped(steps: int, settings: Any, tmp_path: Path) -> None:
    def pruning() -> PruneAtInit:
        return PruneAtInit(prune.SNIP, 0.8, loss_fn=F.cross_entropy, **settings)

    whole, first, again, last = Classifier(), Classifier(), Classifier(), pruning()
    trainer(tmp_path, [pruning()], max_epochs=8).fit(whole, batches(32))
    with pytest.raises(KeyError, match="stopped"):
        trainer(tmp_path, [pruning(), Stop(tmp_path / "one.ckpt", steps)], max_epochs=8).fit(first, batches(32))
    seen = Watch()
    resumed = trainer(tmp_path, [last, seen], max_epochs=8)
    resumed.fit(again, batches(32), ckpt_path=tmp_path / "one.ckpt")
    assert len(seen.states) == 8 - steps
    assert last.report is not None
    assert last.report.kept == round(128 * 0.2)
    assert equal(again.state_dict(), whole.state_dict())


def test_a_checkpoint_without_the_step_to_go_back_to(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="stopped"):
        trainer(tmp_path, [Stop(tmp_path / "one.ckpt", 1)]).fit(Classifier(), batches(32))
    pruning = PruneAtInit(prune.L1Unstructured, 0.5, at_step=3, rewind=0)
    with pytest.raises(ValueError, match="rewind: expected a step in the future, got 0 at step 1"):
        trainer(tmp_path, [pruning], max_epochs=4).fit(Classifier(), batches(32), ckpt_path=tmp_path / "one.ckpt")


def test_a_second_fit_prunes_no_more_and_another_module_is_pruned(tmp_path: Path) -> None:
    pruning, model, other = PruneAtInit(prune.SynFlow, 0.5), Classifier(), Classifier()
    run = trainer(tmp_path, [pruning])
    run.fit(model, batches())
    masks = prune.masks(model)
    run.fit_loop.max_epochs = 2
    run.fit(model, batches())
    trainer(tmp_path, [pruning]).fit(model, batches())
    assert equal(prune.masks(model), masks)
    trainer(tmp_path, [pruning]).fit(other, batches())
    assert equal(prune.masks(other), masks)


def test_a_callback_on_a_pruned_module_says_so(tmp_path: Path) -> None:
    model = Classifier()
    trainer(tmp_path, [PruneAtInit(prune.L1Unstructured, 0.5)]).fit(model, batches())
    with pytest.warns(UserWarning, match=r"already pruned \(64 of 128 weights kept\); amount=0.5 applies"):
        trainer(tmp_path, [PruneAtInit(prune.L1Unstructured, 0.5)]).fit(model, batches())
    assert sum(int(mask.sum()) for mask in prune.masks(model).values()) == 32


def test_two_callbacks_prune_at_two_steps(tmp_path: Path) -> None:
    model, late = Classifier(), PruneAtInit(prune.L1Unstructured, 0.5, at_step=2)
    trainer(tmp_path, [PruneAtInit(prune.SynFlow, 0.5), late]).fit(model, batches())
    assert late.report is not None
    assert late.report.kept == 32


@pytest.mark.parametrize("call", ["validate", "test", "predict"])
def test_a_dense_module_takes_a_checkpoint_to_be_evaluated(call: str, tmp_path: Path) -> None:
    class Evaluated(Classifier):
        test_step = Classifier.validation_step

        def predict_step(self, batch: Any, _: int) -> Any:
            return self(batch[0])

    model, fresh, pruning = Evaluated(), Evaluated(), PruneAtInit(prune.SynFlow, 0.5)
    done = trainer(tmp_path, [pruning])
    done.fit(model, batches())
    done.save_checkpoint(tmp_path / "one.ckpt")
    loaded = trainer(tmp_path, [PruneAtInit(prune.SynFlow, 0.5)])
    getattr(loaded, call)(fresh, batches(), ckpt_path=tmp_path / "one.ckpt")
    assert equal(fresh.state_dict(), model.state_dict())


def test_load_from_checkpoint_needs_a_line_in_the_module(tmp_path: Path) -> None:
    class Accepting(Classifier):
        def __init__(self) -> None:
            super().__init__()
            prune.accept_pruned(self)

    model = Classifier()
    done = trainer(tmp_path, [PruneAtInit(prune.SynFlow, 0.5)])
    done.fit(model, batches())
    done.save_checkpoint(tmp_path / "one.ckpt")
    assert equal(Accepting.load_from_checkpoint(tmp_path / "one.ckpt").state_dict(), model.state_dict())


def test_accumulated_gradients_count_as_one_step(tmp_path: Path) -> None:
    model, after = Classifier(), After()
    pruning = PruneAtInit(prune.L1Unstructured, 0.5, at_step=1)
    trainer(tmp_path, [pruning, after], accumulate_grad_batches=2).fit(model, batches())
    assert [any(name.endswith("_mask") for name in state) for state in after.states] == [False, False, True, True]


def test_training_that_ends_before_the_step_says_so(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="training ended at step 4, before 10, so nothing was pruned"):
        trainer(tmp_path, [PruneAtInit(prune.SynFlow, 0.5, at_step=10)]).fit(Classifier(), batches())


@pytest.mark.parametrize("stop", [False, True])
def test_layer_collapse_warns_and_may_end_training(stop: bool, tmp_path: Path) -> None:
    model, pruning = (
        Classifier(),
        PruneAtInit(
            prune.L1Unstructured,
            0.625,
            layer_densities={"net.0.weight": 0.6, "net.3.weight": 0.0},
            stop_on_collapse=stop,
        ),
    )
    run = trainer(tmp_path, [pruning])
    with pytest.warns(prune.EmptiedLayersWarning, match=r"nothing is left of 1 of 2 layers: net\.3\.weight"):
        run.fit(model, batches())
    assert pruning.report is not None
    assert pruning.report.collapsed == ("net.3.weight",)
    assert run.global_step == (1 if stop else 4)
