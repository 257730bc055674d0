"""Models that ``torch.func`` does not differentiate are scored all the same, as the models without its refusals are."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from torch_synflow import prune

BATCH = (torch.rand(6, 4, generator=torch.Generator().manual_seed(1)), torch.arange(6) % 3)
DATA = {"data": BATCH, "loss_fn": F.cross_entropy}
METHODS = {
    prune.SynFlow: {"example_inputs": BATCH[0]},
    prune.BalancedSynFlow: {"example_inputs": BATCH[0]},
    prune.SNIP: DATA,
    prune.GraSP: DATA,
}


class Rectified(torch.autograd.Function):
    """``relu(x)``, in the older of the two ways to write a function."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * (x > 0)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def part(self, x: Tensor) -> Tensor:
        return x + F.relu(self.second(x))

    def between(self, x: Tensor) -> Tensor:
        return self.part(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.between(F.relu(self.first(x))))  # type: ignore[no-any-return]


class Checkpointed(Net):
    def between(self, x: Tensor) -> Tensor:
        return checkpoint(self.part, x, use_reentrant=False)  # type: ignore[no-any-return]


class ReentrantlyCheckpointed(Net):
    def between(self, x: Tensor) -> Tensor:
        return checkpoint(self.part, x, use_reentrant=True)  # type: ignore[no-any-return]


class CheckpointedAndDecides(Checkpointed):
    """Runs by its own code in each iteration, gradients and all."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.between(F.relu(self.first(x)))
        return self.last(x if bool(x.sum() > 0) else -x)  # type: ignore[no-any-return]


class ByAFunction(Net):
    def part(self, x: Tensor) -> Tensor:
        return x + Rectified.apply(self.second(x))


class Compiled(Net):
    def __init__(self) -> None:
        super().__init__()
        self.compile(fullgraph=True, backend="eager")


def built(model: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return model()


@pytest.mark.filterwarnings("ignore:SynFlow. without a homogeneous surrogate.*. Rectified")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "model", [Checkpointed, ReentrantlyCheckpointed, CheckpointedAndDecides, ByAFunction, Compiled]
)
def test_scores_are_those_of_the_plain_model(model: type[nn.Module], method: Any) -> None:
    plain, other = built(Net), built(model)
    expected = method.scores(plain, **METHODS[method]).values()
    for score, value in zip(method.scores(other, **METHODS[method]).values(), expected, strict=True):
        torch.testing.assert_close(score, value, rtol=1e-6, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_pruned_already_is_left_out_in_a_checkpoint_too(method: Any) -> None:
    models = [built(Net), built(Checkpointed), built(ReentrantlyCheckpointed)]
    for model in models:
        torch.nn.utils.prune.l1_unstructured(model.second, "weight", 0.5)
    expected, *others = [list(method.scores(model, **METHODS[method]).values()) for model in models]
    for scores in others:
        for score, value in zip(scores, expected, strict=True):
            torch.testing.assert_close(score, value, rtol=1e-6, atol=0)


def bert() -> tuple[nn.Module, Any, Any]:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 8}
    no_draws = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = transformers.BertForSequenceClassification(
        transformers.BertConfig(vocab_size=50, num_labels=3, **sizes, **no_draws)
    )
    turn_on = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    return model, torch.arange(12).reshape(2, 6), turn_on


def vision_transformer() -> tuple[nn.Module, Any, Any]:
    timm = pytest.importorskip("timm")
    model = timm.create_model("test_vit", num_classes=3, img_size=32, depth=2)
    return model, torch.rand(2, 3, 32, 32), model.set_grad_checkpointing


def densenet() -> tuple[nn.Module, Any, Any]:
    models = pytest.importorskip("torchvision.models")
    model = models.DenseNet(4, (2, 2), 4, num_classes=3)

    def save_memory() -> None:
        for layer in model.modules():
            if hasattr(layer, "memory_efficient"):
                layer.memory_efficient = True

    return model, torch.rand(2, 3, 32, 32), save_memory


@pytest.mark.filterwarnings("ignore:prunable_parameters")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("build", [bert, vision_transformer, densenet])
def test_checkpointing_of_the_libraries_changes_no_score(build: Any, method: Any) -> None:
    torch.manual_seed(0)
    model, x, turn_on = build()
    given: Any = {"data": (x, torch.tensor([0, 2])), "loss_fn": F.cross_entropy}
    given = {
        "outputs": "logits" if build is bert else None,
        **(given if "data" in method.needs else {"example_inputs": x}),
    }
    expected = method.scores(model.train(), **given)
    turn_on()
    for score, value in zip(method.scores(model, **given).values(), expected.values(), strict=True):
        torch.testing.assert_close(score, value, rtol=1e-6, atol=0)
    runs: list[nn.Module] = []
    for module in model.modules():
        module.register_forward_pre_hook(lambda module, args: runs.append(module))
    outputs = model(x)
    getattr(outputs, "logits", outputs).sum().backward()
    assert len(runs) > len(set(runs))  # the checkpoint is on: it runs a part again in the backward pass


def test_a_compiled_model_is_compiled_again_afterwards() -> None:
    model = built(Compiled)
    compiled = model._compiled_call_impl
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=BATCH[0])
    assert model._compiled_call_impl is compiled
    plain = copy.deepcopy(built(Net))
    prune.global_iterative_unstructured(plain, prune.SynFlow, 0.5, example_inputs=BATCH[0])
    torch.testing.assert_close(model(BATCH[0]), plain(BATCH[0]))


@pytest.mark.filterwarnings("ignore:SynFlow. without a homogeneous surrogate.*. roi_align")
def test_torchvision_s_operations_of_detection_are_scored() -> None:
    ops = pytest.importorskip("torchvision.ops")

    class Detects(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(16, 2)

        def forward(self, images: Tensor) -> Tensor:
            boxes = torch.tensor([[0.0, 0.0, 6.0, 6.0], [1.0, 1.0, 7.0, 7.0], [2.0, 2.0, 5.0, 8.0]])
            kept = ops.nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.9)
            found = ops.roi_align(self.body(images), [boxes[kept].to(images)], output_size=2)
            return self.head(found.flatten(1))  # type: ignore[no-any-return]

    torch.manual_seed(0)
    scores = prune.synflow_scores(Detects(), torch.ones(1, 3, 8, 8))
    first, last = (float(score.sum()) for score in scores.values())
    assert first > 0
    assert last > 0
