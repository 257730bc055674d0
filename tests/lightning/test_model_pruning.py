"""Lightning's own ModelPruning callback, unmodified, with a bound class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from tests.lightning.modules import QUIET, Classifier, batches, lightning, trainer
from torch_synflow import prune

pytestmark = QUIET

TOTAL = 5 * 16 + 16 * 3


class Witness(lightning.Callback):  # type: ignore[misc, name-defined]
    """Notes after each epoch what is kept."""

    def __init__(self) -> None:
        self.kept: list[int] = []
        self.masks: list[list[Tensor]] = []

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        masks = [pl_module.net[i].weight_mask.clone() for i in (0, 3)]
        self.masks.append(masks)
        self.kept.append(sum(int(mask.sum()) for mask in masks))


class Resumable(Classifier):
    """Takes the masks of a checkpoint before Lightning loads its weights, as docs/saving.rst says."""

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        prune.load_pruned(self, checkpoint["state_dict"])


def fit(model: Any, data: Any, callbacks: list[Any], epochs: int, folder: Path) -> None:
    trainer(folder, callbacks, max_epochs=epochs).fit(model, DataLoader(data, batch_size=8))


@pytest.mark.parametrize("method", [prune.SynFlow, prune.SNIP])
def test_model_pruning_halves_what_is_left_in_each_of_two_epochs(method: Any, tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(32, 5), torch.arange(32) % 3)
    model = Classifier()
    params = [(model.net[0], "weight"), (model.net[3], "weight")]
    bound = method.bind(model, example_inputs=torch.rand(1, 5), data=data[:], loss_fn=F.cross_entropy)
    pruning = lightning.callbacks.ModelPruning(
        pruning_fn=bound,
        parameters_to_prune=params,
        amount=0.5,
        make_pruning_permanent=False,
        use_lottery_ticket_hypothesis=False,
    )
    witness = Witness()
    fit(model, data, [pruning, witness], 2, tmp_path)
    assert witness.kept == [TOTAL // 2, TOTAL // 4]
    assert all((later <= earlier).all() for earlier, later in zip(*witness.masks, strict=True))
    for index, mask in zip((0, 3), witness.masks[-1], strict=True):
        assert torch.equal(model.net[index].weight_mask, mask)
        assert torch.equal(model.net[index].weight == 0, mask == 0)


def test_the_masks_are_those_of_the_scores_at_that_moment(tmp_path: Path) -> None:
    """The first epoch's masks, recomputed from the weights that the epoch ended with."""
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(32, 5), torch.arange(32) % 3)
    model = Classifier()
    params = [(model.net[0], "weight"), (model.net[3], "weight")]
    bound = prune.SynFlow.bind(model, example_inputs=torch.rand(1, 5))

    class Before(lightning.Callback):  # type: ignore[misc, name-defined]
        net: Any = None

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self.net = Classifier().net
            self.net.load_state_dict(pl_module.net.state_dict())

    before, witness = Before(), Witness()
    pruning = lightning.callbacks.ModelPruning(
        pruning_fn=bound, parameters_to_prune=params, amount=0.5, use_lottery_ticket_hypothesis=False
    )
    fit(model, data, [before, pruning, witness], 1, tmp_path)
    prune.global_iterative_unstructured(before.net, prune.SynFlow, 0.5, example_inputs=torch.rand(1, 5), iterations=1)
    assert all(torch.equal(before.net[i].weight_mask, mask) for i, mask in zip((0, 3), witness.masks[0], strict=True))


def test_load_from_checkpoint_gives_the_pruned_model(tmp_path: Path) -> None:
    model = Resumable()
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.8, example_inputs=torch.rand(1, 5))
    done = trainer(tmp_path)
    done.fit(model, batches())
    done.save_checkpoint(tmp_path / "model.ckpt")
    loaded = Resumable.load_from_checkpoint(tmp_path / "model.ckpt").eval()
    x = torch.rand(4, 5)
    assert torch.equal(loaded(x), model.eval()(x))
    assert prune.masks(loaded).keys() == prune.masks(model).keys()
    with pytest.raises(RuntimeError, match="Missing key"):
        Classifier.load_from_checkpoint(tmp_path / "model.ckpt")


def test_training_resumes_in_a_model_that_is_not_pruned_yet(tmp_path: Path) -> None:
    whole, first, again = Resumable(), Resumable(), Resumable()
    for model in (whole, first):
        prune.global_iterative_unstructured(model, prune.SynFlow, 0.8, example_inputs=torch.rand(1, 5))
    trainer(tmp_path, max_epochs=2).fit(whole, batches())
    done = trainer(tmp_path)
    done.fit(first, batches())
    done.save_checkpoint(tmp_path / "model.ckpt")
    trainer(tmp_path, max_epochs=2).fit(again, batches(), ckpt_path=tmp_path / "model.ckpt")
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor)


def test_the_callback_goes_on_pruning_what_a_checkpoint_left(tmp_path: Path) -> None:
    def pruning(model: Any) -> Any:
        return lightning.callbacks.ModelPruning(
            pruning_fn=prune.SynFlow.bind(model, example_inputs=torch.rand(1, 5)),
            parameters_to_prune=[(model.net[0], "weight"), (model.net[3], "weight")],
            amount=0.5,
            make_pruning_permanent=False,
            use_lottery_ticket_hypothesis=False,
        )

    first, again, witness = Resumable(), Resumable(), Witness()
    done = trainer(tmp_path, [pruning(first)])
    done.fit(first, batches())
    done.save_checkpoint(tmp_path / "model.ckpt")
    earlier = prune.masks(first)
    resumed = trainer(tmp_path, [pruning(again), witness], max_epochs=2)
    resumed.fit(again, batches(), ckpt_path=tmp_path / "model.ckpt")
    assert witness.kept == [TOTAL // 4]
    assert all(bool((mask <= earlier[name]).all()) for name, mask in prune.masks(again).items())
