"""``torch.vmap`` as a loop over examples, which is its definition.

Inside ``torch.vmap``, each operation has all examples in one wrapped tensor, where modes cannot follow them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch._functorch import apis
from torch._functorch.vmap import _process_batched_inputs
from torch.utils._pytree import _broadcast_to_and_flatten

from torch_synflow._torch.pytree import tree_flatten, tree_unflatten

#: the module whose ``vmap_impl`` all functions made by ``torch.vmap`` call
APIS: Any = apis
ORIGINAL: Callable[..., Any] = APIS.vmap_impl


def run_vmap_as_loop(over: Callable[[Any], bool] | None) -> None:
    """Run ``torch.vmap`` as a loop if ``over`` is true for one of the arguments, or as usual if it is ``None``."""

    def mapped(func: Any, in_dims: Any, out_dims: Any, randomness: Any, chunk_size: Any, *args: Any, **kw: Any) -> Any:
        size, dims, leaves, spec = _process_batched_inputs(in_dims, args, func)
        if over is None or not any(map(over, leaves)):
            return ORIGINAL(func, in_dims, out_dims, randomness, chunk_size, *args, **kw)
        results: list[list[Any]] = []
        for number in range(size):
            example = [x if dim is None else x.select(dim, number) for x, dim in zip(leaves, dims, strict=True)]
            flat, form = tree_flatten(func(*tree_unflatten(example, spec), **kw))
            results.append(flat)
        parts = zip(zip(*results, strict=True), _broadcast_to_and_flatten(out_dims, form) or out_dims, strict=True)
        return tree_unflatten([torch.stack(part, dim) for part, dim in parts], form)

    APIS.vmap_impl = ORIGINAL if over is None else mapped
