"""Nested tuples, lists and mappings of tensors, by ``torch.utils._pytree``, which is private."""

from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

__all__ = ["tree_flatten", "tree_leaves", "tree_map", "tree_unflatten"]
