"""Notes on failed calls: the argument, what was seen, the module that failed, and what to write instead."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from torch_synflow import prune

IMAGE = r"example_inputs: the model was called with {}, made from {}; it failed in module 'conv1' \(Conv2d\), "
NO_BATCH = r"the first dimension is the batch: if this is one example, pass x\[None\]$"
PAIR = (torch.ones(2, 3, 8, 8), torch.zeros(2, dtype=torch.int64))


def features() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def fails_with(model: nn.Module, inputs: Any, message: str) -> None:
    """Expect a note on a failed call, and an unchanged model."""
    with pytest.raises((RuntimeError, TypeError, ValueError, IndexError), match=message):
        prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=inputs)
    assert not prune.is_pruned(model)


@pytest.mark.parametrize(
    ("inputs", "seen", "given", "message"),
    [
        (torch.ones(3, 8, 8), "(1, 8, 8)", "(3, 8, 8)", NO_BATCH),
        (torch.ones(2, 1, 8, 8), "(1, 1, 8, 8)", "(2, 1, 8, 8)", r"pass x\.expand\(-1, 3, -1, -1\)$"),
        (torch.ones(2, 8, 8, 3), "(1, 8, 8, 3)", "(2, 8, 8, 3)", r"channels come second: pass x\.movedim\(-1, 1\)$"),
        (torch.ones(2, 4, 8, 8), "(1, 4, 8, 8)", "(2, 4, 8, 8)", r"pass inputs of shape \(N, 3, H, W\)$"),
        (torch.ones(9), "(1,)", "(9,)", r"pass inputs of shape \(N, 3, H, W\)$"),
    ],
)
def test_images_of_other_shapes(inputs: Tensor, seen: str, given: str, message: str) -> None:
    models = pytest.importorskip("torchvision.models")
    seen, given = (f"{dtype} {shape}".replace("(", r"\(").replace(")", r"\)")
                   for dtype, shape in (("float64", seen), ("float32", given)))  # fmt: skip
    fails_with(models.resnet18(), inputs, IMAGE.format(seen, given) + r"which takes \(N, 3, H, W\); .*" + message)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.ones(2, 3, 8, 8).to(torch.uint8), r"uint8 \(1, 3, 8, 8\).*integers .* pass x\.float\(\) / 255$"),
        (torch.ones(2, 3, 8, 8).long(), r"int64 \(1, 3, 8, 8\).*integers are not converted: pass x\.float\(\)$"),
        (PAIR, r"int64 \(2,\)\); a tuple holds the arguments of the model: for a batch \(x, y\), pass x$"),
        ([*PAIR], r"int64 \(2,\)\]; a list holds the arguments of the model: for a batch \(x, y\), pass x$"),
        ({"image": PAIR[0]}, r"the model takes x; if the argument is itself a mapping d, pass \(d,\)$"),
    ],
)
def test_images_in_other_forms(inputs: Any, message: str) -> None:
    fails_with(pytest.importorskip("torchvision.models").resnet18(), inputs, message)


@pytest.mark.filterwarnings("ignore:.*prunable_parameters")
@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (torch.ones(8).long(), "'bert.embeddings' .*; " + NO_BATCH),
        (torch.ones(2, 8), r"'bert\.embeddings\.word_embeddings' .* integers from 0 to 49; .* pass x\.long\(\)$"),
        (torch.ones(2, 8).to(torch.uint8), r"made from uint8 \(2, 8\).*; token ids are int64: pass x\.long\(\)$"),
        (torch.full((2, 8), 60), "integers from 0 to 49; the ids are from 60 to 60$"),
        ({"input_ids": torch.ones(8).long()}, r"the model takes input_ids, .*pass x\[None\] for each tensor x$"),
        ({"tokens": torch.ones(2, 8).long()}, "a mapping holds keyword arguments, and the model takes input_ids, "),
        ((torch.ones(2, 8).long(), PAIR[1]), r"for a batch \(x, y\), pass x$"),
    ],
)
def test_tokens_of_other_shapes_and_types(inputs: Any, message: str) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    fails_with(transformers.BertForSequenceClassification(config), inputs, message)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (
            torch.ones(4),
            r"called with float64 \(1,\), made from float32 \(4,\); .*which takes \(\.\.\., 4\); " + NO_BATCH,
        ),
        (
            torch.ones(2, 5),
            r"it failed in module '0' \(Linear\), which takes \(\.\.\., 4\); pass 4 features per example$",
        ),
    ],
)
def test_features_of_other_shapes(inputs: Tensor, message: str) -> None:
    fails_with(features(), inputs, message)


def test_a_layer_inside_the_model_that_does_not_fit() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Sequential(nn.ReLU(), nn.Linear(5, 2)))
    place = r"; it failed in module '1\.1' \(Linear\), which takes \(\.\.\., 5\) and got float\d+ \(\d, 6\)$"
    fails_with(model, torch.ones(2, 4), place)
    data = (torch.ones(2, 4), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(RuntimeError, match=r"data: the model was called with float32 \(2, 4\)" + place):
        prune.SNIP.scores(model, data=data, loss_fn=nn.functional.cross_entropy)


def test_a_model_of_one_layer_says_what_it_takes() -> None:
    fails_with(
        nn.Linear(4, 2), torch.ones(2, 5), r"made from float32 \(2, 5\), which takes \(\.\.\., 4\); pass 4 features"
    )


def test_the_error_of_a_model_stays_what_it_is() -> None:
    class OwnError(RuntimeError):
        pass

    class Fails(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            raise error

    error = OwnError("mine")
    with pytest.raises(OwnError, match="mine") as caught:
        prune.synflow_scores(Fails(4, 2), torch.ones(1, 4))
    assert caught.value is error
