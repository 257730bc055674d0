"""A run of two processes, started as a script: ``python -m tests.lightning.launched STRATEGY METHOD FOLDER``.

Each rank writes its module's state at the end of training, and the process that called ``fit`` what it has then.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import fully_shard

from tests.lightning.modules import Classifier, batches, lightning, trainer
from torch_synflow import prune
from torch_synflow.lightning import PruneAtInit


class WrittenByRank(lightning.Callback):  # type: ignore[misc, name-defined]
    """Writes the batch of a rank's first step, and its module at the end; a bound class must have come with that."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == 1:
            torch.save(batch, self.folder / f"batch_{trainer.global_rank}.pt")

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        for other in trainer.callbacks:
            bound = getattr(other, "pruning_fn", None)
            assert bound is None or bound._task.model is pl_module
        torch.save(pl_module.state_dict(), self.folder / f"rank_{trainer.global_rank}.pt")


def callback(method: str, model: Any) -> Any:
    """PruneAtInit, or Lightning's ModelPruning with a bound class."""
    if method == "ModelPruning":
        return lightning.callbacks.ModelPruning(
            pruning_fn=prune.SynFlow.bind(model, example_inputs=torch.ones(1, 5)),
            parameters_to_prune=list(prune.prunable_parameters(model)),
            amount=0.5,
            use_lottery_ticket_hypothesis=False,
            make_pruning_permanent=False,
        )
    loss_fn = F.cross_entropy if method in ("SNIP", "GraSP") else None
    return PruneAtInit(getattr(prune, method), 0.5, loss_fn=loss_fn)


class Sharded(Classifier):
    """Under ``fully_shard``."""

    def configure_model(self) -> None:
        mesh = self.device_mesh["data_parallel"]
        for module in (self.net[0], self.net[3], self):
            fully_shard(module, mesh=mesh)


def main(strategy: str, method: str, folder: Path) -> None:
    model = Classifier()
    prune.accept_pruned(model)
    callbacks = [callback(method, model), WrittenByRank(folder)]
    run = trainer(folder, callbacks, strategy=strategy, devices=2, max_epochs=2)
    run.fit(model, batches())
    if run.global_rank == 0:
        torch.save(model.state_dict(), folder / "main.pt")


def sharded(method: str, folder: Path) -> None:
    """Two epochs; and one, from whose checkpoint another module goes on to the second."""

    def fit(name: str, epochs: int, path: Path | None = None) -> Any:
        parallel = lightning.strategies.ModelParallelStrategy(data_parallel_size=2, tensor_parallel_size=1)
        module, pruning = Sharded(), callback(method, None)
        run = trainer(folder, [pruning, WrittenByRank(folder)], strategy=parallel, devices=2, max_epochs=epochs)
        run.fit(module, batches(), ckpt_path=path)
        whole = get_model_state_dict(module, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
        assert pruning.report.kept == 64
        if run.global_rank == 0:
            torch.save(whole, folder / f"{name}.pt")
        return run

    fit("whole", 2)
    fit("half", 1).save_checkpoint(folder / "half.ckpt")
    fit("resumed", 2, folder / "half.ckpt")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1] == "fsdp2":
        sharded(sys.argv[2], Path(sys.argv[3]))
    else:
        main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
