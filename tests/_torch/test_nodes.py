"""The nodes of autograd's graph have the names and the leaves that are read off them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from torch_synflow._torch.nodes import leaf_of, operation_of

WHERE = "see torch_synflow/_torch/nodes.py and the tables in torch_synflow/diagnostics/theorems/forward_pass.py"
OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Add": lambda x: x + 1,
    "Mul": lambda x: x * x,
    "Relu": F.relu,
    "LeakyRelu": F.leaky_relu,
    "Mean": lambda x: x.mean((2, 3)),
    "View": lambda x: x.view(2, -1),
    "Cat": lambda x: torch.cat([x, x]),
    "Permute": lambda x: x.permute(0, 2, 3, 1),
    "MaxPool2DWithIndices": lambda x: F.max_pool2d(x, 2),
    "AvgPool2D": lambda x: F.avg_pool2d(x, 2),
    "ConstantPadNd": lambda x: F.pad(x, (1, 1)),
    "UpsampleNearest2D": lambda x: F.interpolate(x, scale_factor=2),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_node_has_the_name_of_its_operation(name: str) -> None:
    result = OPERATIONS[name](torch.ones(2, 3, 4, 4, requires_grad=True))
    found = operation_of(result.grad_fn)
    assert found == name, f"torch calls the node {found!r} now that was {name!r}; {WHERE}"


def test_the_end_of_the_graph_holds_the_leaf() -> None:
    x = torch.ones(2, requires_grad=True)
    node = (x + 1).grad_fn
    assert node is not None
    assert leaf_of(node) is None, f"the node of an operation holds a leaf; {WHERE}"
    assert leaf_of(node.next_functions[0][0]) is x, f"the end of the graph does not give its tensor any more; {WHERE}"
