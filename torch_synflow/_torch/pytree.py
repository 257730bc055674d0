"""Nested tuples, lists and mappings of tensors, by ``torch.utils._pytree``, which is private."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

__all__ = ["tree_flatten", "tree_leaves", "tree_map", "tree_unflatten"]


def tree_map(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with ``function`` applied to its leaves.

    It does not use torch's own function, whose ``map`` takes a ``StopIteration`` of ``function`` for the end of the
    leaves.
    """
    leaves, spec = tree_flatten(tree)
    return tree_unflatten([function(leaf) for leaf in leaves], spec)
