"""torch's private pytrees go through containers, and their leaves keep their order."""

from __future__ import annotations

import pytest
import torch

from torch_synflow._torch.pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

WHERE = "see torch_synflow/_torch/pytree.py"


def test_a_nested_tree_comes_back_from_its_leaves() -> None:
    tree = ((1, [2, {"b": 3, "a": (None, "text")}]), {"c": slice(0, 4)})
    leaves, spec = tree_flatten(tree)
    assert leaves == tree_leaves(tree) == [1, 2, 3, None, "text", slice(0, 4)], (
        f"torch flattens containers otherwise than before ({leaves}); {WHERE}"
    )
    assert tree_unflatten(leaves, spec) == tree, f"torch does not put leaves back where they were; {WHERE}"


def test_a_map_reaches_every_leaf_and_changes_no_container() -> None:
    mapped = tree_map(lambda leaf: -leaf, ([1, 2], {"a": (3,)}))
    assert mapped == ([-1, -2], {"a": (-3,)}), f"torch maps containers otherwise than before; {WHERE}"


def test_results_of_several_tensors_are_containers() -> None:
    leaves, spec = tree_flatten(torch.ones(2, 3).max(0))
    assert len(leaves) == 2, f"torch.max returns what pytrees do not look into ({leaves}); {WHERE}"
    assert isinstance(tree_unflatten(leaves, spec), torch.return_types.max), (
        f"pytrees do not make torch.return_types any more; {WHERE}"
    )


def test_a_stop_iteration_of_the_function_is_no_end_of_the_leaves() -> None:
    def stop(leaf: object) -> object:
        raise StopIteration("on purpose")

    with pytest.raises(StopIteration, match="on purpose"):
        tree_map(stop, (1, {"a": [2]}))
    assert tree_map(lambda leaf: leaf + 1, (1, {"a": [2]})) == (2, {"a": [3]})
