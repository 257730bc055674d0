"""Inputs as people have them, and those that hold no example."""

from __future__ import annotations

from collections import UserDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from torch_synflow import prune
from torch_synflow.scoring.inputs import called_with, one_example


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


class Graph(nn.Module):
    """Sums over edges, whose number is not that of the nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, nodes: Tensor, edges: Tensor) -> Tensor:
        hidden = torch.relu(self.first(nodes))
        return self.last(hidden.index_add(0, edges[1], hidden[edges[0]]))  # type: ignore[no-any-return]


class OfImages(nn.Module):
    """Takes images of several sizes as one list, as models of detection do."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(3, 4, 3), nn.Linear(4, 2)

    def forward(self, images: list[Tensor], targets: Any = None) -> Tensor:
        assert isinstance(images, list)
        return self.head(torch.stack([self.body(image).mean((1, 2)) for image in images]))  # type: ignore[no-any-return]


class OfADict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = net()

    def forward(self, d: dict[str, Tensor]) -> Tensor:
        return self.body(d["x"])  # type: ignore[no-any-return]


def positive(scores: dict[Any, Tensor]) -> bool:
    return all(bool((score > 0).all()) for score in scores.values())


def test_any_mapping_is_keyword_arguments() -> None:
    expected = prune.synflow_scores(net(), torch.ones(1, 4))
    for kind in (dict, UserDict):
        found = prune.synflow_scores(net(), kind({"input": torch.rand(2, 4)}))
        assert all(map(torch.equal, found.values(), expected.values()))


def test_a_dict_that_is_one_argument_is_in_a_tuple() -> None:
    assert positive(prune.synflow_scores(OfADict(), ({"x": torch.ones(2, 4)},)))
    with pytest.raises(TypeError, match=r"example_inputs: .*keyword arguments, and the model takes d; .*\(d,\)$"):
        prune.synflow_scores(OfADict(), {"x": torch.ones(2, 4)})


def test_a_graph_is_not_cut_to_one_node() -> None:
    nodes, edges = torch.rand(5, 4), torch.tensor([[0, 1, 2], [3, 4, 0]])
    assert one_example((nodes, edges))[0].shape == (5, 4)
    assert torch.equal(one_example((nodes, edges))[1], edges)
    assert positive(prune.synflow_scores(Graph(), (nodes, edges)))


def test_a_list_of_images_is_one_argument() -> None:
    images = [torch.rand(3, 8, 8), torch.rand(3, 6, 10)]
    model = OfImages()
    for given in (images, (images,), {"images": images}):
        assert positive(prune.synflow_scores(model, given))
    batch = (images, torch.zeros(2, 2))
    assert prune.SNIP.scores(model, data=[batch], loss_fn=nn.functional.mse_loss)


def test_lists_of_other_tensors_are_spread() -> None:
    assert called_with(Graph(), [torch.ones(5, 4), torch.ones(2, 3)])[0][0].shape == (5, 4)


def test_inputs_without_values_are_ones_of_their_shape() -> None:
    expected = prune.synflow_scores(net(), torch.ones(1, 4))
    found = prune.synflow_scores(net(), torch.ones(2, 4, device="meta"))
    assert all(map(torch.equal, found.values(), expected.values()))


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (torch.ones(0, 4), ValueError, r"example_inputs: expected at least one example, got none .* shape \(0, 4\)"),
        (torch.ones(2, 4, device="meta").long(), ValueError, r"example_inputs: expected values, .* meta device"),
        ("x", TypeError, r"example_inputs: expected a tensor"),
        (torch.ones(2, 4).numpy(), TypeError, r"got ndarray without a tensor; torch\.from_numpy\(x\) makes one"),
        (DataLoader(TensorDataset(torch.ones(2, 4))), TypeError, r"got DataLoader .*: next\(iter\(loader\)\)\[0\]"),
        ("a text", TypeError, r"got str without a tensor; .* tokenizer\(text, return_tensors='pt'\)"),
        (
            (1, 3, 32, 32),
            TypeError,
            r"got tuple without a tensor; if this is a shape, pass torch\.ones\(1, 3, 32, 32\)",
        ),
        ([[1.0, 2.0]], TypeError, r"got list without a tensor; torch\.tensor\(x\) makes one"),
    ],
)
def test_inputs_without_an_example_or_a_tensor_are_refused(inputs: Any, error: type[Exception], message: str) -> None:
    model = net()
    with pytest.raises(error, match=message):
        prune.global_iterative_unstructured(model, prune.SynFlow, 0.5, example_inputs=inputs)
    assert not any(hasattr(module, "weight_mask") for module in model)


def test_a_batch_without_values_is_refused() -> None:
    data = (torch.ones(2, 4, device="meta"), torch.zeros(2, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"data: expected values, got a tensor of shape \(2, 4\) on the meta device"):
        prune.SNIP.scores(net(), data=data, loss_fn=nn.functional.cross_entropy)
