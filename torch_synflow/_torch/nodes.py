"""Autograd's graph: the names of its nodes, and the tensors at its ends."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def operation_of(node: Any) -> str:
    """The name of the operation that made a node, such as ``Add`` for ``AddBackward0``."""
    name: str = node.name()
    return name.rstrip("0123456789").removesuffix("Backward")


def leaf_of(node: Any) -> Tensor | None:
    """The tensor whose gradient a node collects, ``None`` for the node of an operation."""
    return getattr(node, "variable", None)
