"""How the tests run torch, and what the examples in docstrings take for granted."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest
import torch
from torch import nn

from torch_synflow import prune

# networks of a few dozen weights: a second thread only waits, up to a hundred times as long on a busy machine
torch.set_num_threads(1)

#: whose examples and imports need an extra
collect_ignore_glob = [] if find_spec("lightning") else ["torch_synflow/lightning/*"]


@pytest.fixture(autouse=True)
def _names_of_the_examples(doctest_namespace: dict[str, Any]) -> None:
    doctest_namespace.update(torch=torch, nn=nn, prune=prune)
    torch.manual_seed(0)
