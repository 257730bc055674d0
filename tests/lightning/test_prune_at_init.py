"""PruneAtInit in one process: what it prunes with, when, and what it says."""

from __future__ import annotations

import logging
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.lightning.modules import QUIET, Classifier, batches, lightning, trainer
from torch_synflow import prune
from torch_synflow.lightning import PruneAtInit

pytestmark = QUIET
TOTAL = 5 * 16 + 16 * 3


class Seen(lightning.Callback):  # type: ignore[misc, name-defined]
    """Notes how many weights are kept at the start of validation, and after each step."""

    def __init__(self) -> None:
        self.kept: list[int] = []
        self.at_sanity_check: list[int] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        self.kept.append(sum(int(mask.sum()) for mask in prune.masks(pl_module).values()))

    def on_sanity_check_start(self, trainer: Any, pl_module: Any) -> None:
        self.at_sanity_check.append(len(prune.masks(pl_module)))


class Recorded(lightning.loggers.logger.Logger):  # type: ignore[misc, name-defined]
    """A logger that remembers."""

    name = "recorded"
    version = 0

    def __init__(self) -> None:
        super().__init__()
        self.metrics: list[tuple[dict[str, float], int]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.metrics.append((metrics, step or 0))

    def log_hyperparams(self, *_: Any, **__: Any) -> None: ...


def expected(method: Any, amount: float, model: Any = None, **given: Any) -> dict[str, Tensor]:
    model = model or Classifier()
    prune.global_iterative_unstructured(model, method, amount, **given)
    return prune.masks(model)


def same(masks: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return masks.keys() == others.keys() and all(torch.equal(mask, others[name]) for name, mask in masks.items())


def test_it_prunes_before_the_first_step_and_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model, seen, logger, pruning = Classifier(), Seen(), Recorded(), PruneAtInit(prune.SynFlow, 0.75)
    with caplog.at_level(logging.INFO, "lightning.pytorch.utilities.rank_zero"):
        trainer(tmp_path, [pruning, seen], max_epochs=2, logger=logger).fit(model, batches(), batches())
    assert seen.kept == [TOTAL // 4] * 8
    assert seen.at_sanity_check == [0]
    assert same(prune.masks(model), expected(prune.SynFlow, 0.75, example_inputs=torch.ones(1, 5)))
    assert pruning.report is not None
    assert pruning.report.kept == TOTAL // 4
    ours = [(metrics, step) for metrics, step in logger.metrics if "density" in metrics]
    assert ours == [
        ({"density": 0.25, **{f"density/{n}": d for n, d in pruning.report.densities.items()}}, 0),
    ]  # fmt: skip
    assert f"PruneAtInit: SynFlowUnstructured at step 0: {pruning.report.verdict}" in caplog.text


def test_parameters_stay_the_same_objects_and_the_optimizer_trains_them(tmp_path: Path) -> None:
    model = Classifier()
    before = {id(parameter): parameter.detach().clone() for parameter in model.parameters()}
    trainer(tmp_path, [PruneAtInit(prune.SynFlow, 0.5)]).fit(model, batches())
    assert {id(parameter) for parameter in model.parameters()} == set(before)
    for layer in (model.net[0], model.net[3]):
        changed = layer.weight_orig != before[id(layer.weight_orig)]
        assert torch.equal(changed, layer.weight_mask == 1)
    assert bool((model.net[0].weight[model.net[0].weight_mask == 0] == 0).all())


def test_a_data_method_takes_the_batch_of_the_next_step_by_default(tmp_path: Path) -> None:
    model, first = Classifier(), next(iter(batches()))
    trainer(tmp_path, [PruneAtInit(prune.SNIP, 0.5, loss_fn=F.cross_entropy)]).fit(model, batches())
    assert same(prune.masks(model), expected(prune.SNIP, 0.5, data=[first], loss_fn=F.cross_entropy))
    whole, given = Classifier(), PruneAtInit(prune.GraSP, 0.5, data=batches(), loss_fn=F.cross_entropy)
    trainer(tmp_path, [given]).fit(whole, batches())
    assert same(prune.masks(whole), expected(prune.GraSP, 0.5, data=batches(), loss_fn=F.cross_entropy))


def test_what_synflow_is_called_with(tmp_path: Path) -> None:
    x = torch.ones(1, 5)
    for model, given in ((Classifier(), {"example_inputs": x}), (Classifier(), {})):
        model.example_input_array = None if given else (x,)
        calls: list[Any] = []
        model.register_forward_pre_hook(lambda _, args, calls=calls: calls.append(args[0].shape))  # type: ignore[misc]
        trainer(tmp_path, [PruneAtInit(prune.SynFlow, 0.5, **given)]).fit(model, batches())
        assert set(calls) == {(1, 5), (8, 5)}
        assert same(prune.masks(model), expected(prune.SynFlow, 0.5, example_inputs=x))


class Unforwarded(Classifier):
    """Runs its network in ``training_step`` alone."""

    forward = lightning.LightningModule.forward

    def training_step(self, batch: Any, _: int) -> Tensor:
        return F.cross_entropy(self.net(batch[0]), batch[1])


def first_layer(model: nn.Module) -> Any:
    return [(model[0], "weight")]  # type: ignore[index]


def test_a_submodule_is_scored_by_its_name_and_parameters_may_be_a_function(tmp_path: Path) -> None:
    model = Unforwarded()
    trainer(tmp_path, [PruneAtInit(prune.SynFlow, 0.5, model="net")]).fit(model, batches())
    assert same(prune.masks(model), expected(prune.SynFlow, 0.5, example_inputs=torch.ones(1, 5)))
    for chosen in (first_layer, None):
        model = Unforwarded()
        pairs: Any = chosen or [(model.net[0], "weight")]
        trainer(tmp_path, [PruneAtInit(prune.SynFlow, 0.5, model="net", parameters=pairs)]).fit(model, batches())
        assert list(prune.masks(model)) == ["net.0.weight"]
    with pytest.raises(NotImplementedError, match=r"forward"):
        trainer(tmp_path, [PruneAtInit(prune.SynFlow, 0.5)]).fit(Unforwarded(), batches())


def test_a_bound_class_and_torchs_own_prune_too(tmp_path: Path) -> None:
    model = Classifier()
    bound = prune.SynFlow.bind(model.net, example_inputs=torch.ones(1, 5))
    trainer(tmp_path, [PruneAtInit(bound, 0.5)]).fit(model, batches())
    assert same(prune.masks(model), expected(prune.SynFlow, 0.5, example_inputs=torch.ones(1, 5)))
    model = Classifier()
    trainer(tmp_path, [PruneAtInit(prune.L1Unstructured, 0.5, layer_densities=prune.uniform)]).fit(model, batches())
    assert same(prune.masks(model), expected(prune.L1Unstructured, 0.5, layer_densities=prune.uniform))


@pytest.mark.parametrize("settings", [{"precision": "bf16-mixed"}, {"precision": "bf16-true"}])
def test_other_precisions(settings: Any, tmp_path: Path) -> None:
    model, pruning = Classifier(), PruneAtInit(prune.SNIP, 0.5, loss_fn=F.cross_entropy)
    trainer(tmp_path, [pruning], **settings).fit(model, batches())
    assert pruning.report is not None
    assert pruning.report.kept == TOTAL // 2
    assert model.net[0].weight_mask.dtype == model.net[0].weight_orig.dtype


class Digits(lightning.LightningDataModule):  # type: ignore[misc, name-defined]
    def train_dataloader(self) -> Any:
        return batches()


def test_a_data_module(tmp_path: Path) -> None:
    model = Classifier()
    trainer(tmp_path, [PruneAtInit(prune.SNIP, 0.5, loss_fn=F.cross_entropy)]).fit(model, datamodule=Digits())
    assert same(prune.masks(model), expected(prune.SNIP, 0.5, data=[next(iter(batches()))], loss_fn=F.cross_entropy))


def test_a_failure_leaves_the_module_as_it_was(tmp_path: Path) -> None:
    model = Classifier()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match="SNIPUnstructured needs loss_fn"):
        trainer(tmp_path, [PruneAtInit(prune.SNIP, 0.5)]).fit(model, batches())
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    fresh = Classifier()
    prune.global_iterative_unstructured(fresh, prune.L1Unstructured, 0.5)
    with pytest.raises(RuntimeError, match="Missing key"):  # nothing of the callback is left on the module
        model.load_state_dict(fresh.state_dict())


def test_arguments_are_checked_when_it_is_made() -> None:
    for error, message, arguments in (
        (ValueError, "amount: expected a float between 0 and 1", {"amount": 1.5}),
        (TypeError, "at_step: expected an int", {"at_step": 0.5}),
        (ValueError, "at_step: expected at least 0", {"at_step": -1}),
        (ValueError, "rewind: expected a step before at_step=3, got 3", {"at_step": 3, "rewind": 3}),
        (ValueError, "keep_weights: expected rewind, the step", {"at_step": 3, "keep_weights": True}),
        (TypeError, r"parameters\[0\]: expected a \(module, name\) pair", {"parameters": ["weight"]}),
    ):
        with pytest.raises(error, match=message):
            PruneAtInit(prune.SynFlow, **{"amount": 0.5, **arguments})


def test_it_pickles() -> None:
    pruning = PruneAtInit(prune.SynFlow.bind(nn.Linear(5, 3), example_inputs=torch.ones(1, 5)), 0.5, at_step=2)
    assert pickle.loads(pickle.dumps(pruning)).at_step == 2


def test_lightning_is_imported_by_no_one_else_and_its_lack_names_the_extra() -> None:
    code = (
        "import sys, importlib.util as util, torch_synflow.prune\n"
        "assert not {'lightning', 'pytorch_lightning'} & set(sys.modules)\n"
        "find = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if 'lightning' in name else find(name, *rest)\n"
        "import torch_synflow.lightning\n"
        "assert dir(torch_synflow.lightning) == ['PruneAtInit']\n"
        "torch_synflow.lightning.PruneAtInit\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert (
        'ImportError: PruneAtInit needs Lightning, which is not installed: pip install "torch_synflow[l' in done.stderr
    )
