"""Operations that multiply and add in one step, split into steps with surrogates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_synflow.flow.surrogate.call import Call, in_place


def plus_product(names: tuple[str, str], product: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Call], Any]:
    """The steps of ``beta * input + alpha * product``, such as ``addmm``; ``names`` are the names of the factors."""

    def run(call: Call) -> Any:
        """The product of two factors, then its sum with the first argument."""
        first = call.get(0, "input")
        factors = [call.get(place, name) for place, name in enumerate(names, start=1)]
        beta, alpha = call.kwargs.get("beta", 1), call.kwargs.get("alpha", call.kwargs.get("value", 1))
        result = product(*factors)
        result = result if alpha == 1 else result * alpha
        if beta != 0:
            offset = first.view_as(first) if beta == 1 else first * beta
            offset._synaptic_bias = True  # of the product, of whatever shape
            result = offset + result
        return first.copy_(result) if in_place(call.func) else result

    return run


def tensordot(call: Call) -> Tensor:
    """One product of matrices."""
    first, second = call.get(0, "a"), call.get(1, "b")
    dims = call.get(2, "dims", 2)
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        dims = [range(first.dim() - dims, first.dim()), range(dims)]
    ours, theirs = (
        [d % x.dim() for d in ([over] if isinstance(over, int) else over)]
        for over, x in zip(dims, (first, second), strict=True)
    )
    free = [d for d in range(first.dim()) if d not in ours], [d for d in range(second.dim()) if d not in theirs]
    shape = [first.shape[d] for d in free[0]] + [second.shape[d] for d in free[1]]
    inside = math.prod(first.shape[d] for d in ours)
    left = first.permute(*free[0], *ours).reshape(-1, inside)
    product: Tensor = left @ second.permute(*theirs, *free[1]).reshape(inside, -1)
    return product.reshape(shape)


def inner(call: Call) -> Any:
    """A product over the last dimensions of both operands."""
    first, second = call.two()
    if not first.dim() or not second.dim():
        return first * second
    return torch.tensordot(first, second, dims=([-1], [-1]))


def outer(call: Call) -> Any:
    """All products of the elements of two vectors."""
    first, second = call.get(0, "input"), call.get(1, "vec2")
    return first.unsqueeze(-1) * second


def dot(call: Call) -> Any:
    """The sum of the products of the elements of two vectors."""
    first, second = call.two("tensor")
    return (first * second).sum()


def cosine_similarity(call: Call) -> Any:
    """The sum of the products of two vectors over their lengths."""
    dim = call.get(2, "dim", 1)
    return (F.normalize(call.get(0, "x1"), dim=dim) * F.normalize(call.get(1, "x2"), dim=dim)).sum(dim)


def pairwise_distance(call: Call) -> Any:
    """The length of the difference of two vectors."""
    difference = call.get(0, "x1") - call.get(1, "x2")
    return torch.linalg.vector_norm(difference, call.get(2, "p", 2.0), -1, call.get(4, "keepdim", False))


def cdist(call: Call) -> Any:
    """The lengths of the differences of all pairs of vectors."""
    difference = call.get(0, "x1").unsqueeze(-2) - call.get(1, "x2").unsqueeze(-3)
    return torch.linalg.vector_norm(difference, call.get(2, "p", 2.0), -1)


def bilinear(call: Call) -> Any:
    """The product of both inputs with each matrix of the weight."""
    first, second, weight = (call.get(place, name) for place, name in enumerate(("input1", "input2", "weight")))
    result, bias = torch.einsum("...i,oij,...j->...o", first, weight, second), call.get(3, "bias")
    return result if bias is None else result + bias


def chain_of_products(call: Call) -> Any:
    """One product after the other, from the left."""
    matrices = call.args if isinstance(call.get(0, "tensors"), Tensor) else call.get(0, "tensors")
    result, *others = matrices
    for matrix in others:
        result = result @ matrix
    return result


#: by name
STEPS: dict[str, Callable[[Call], Any]] = {
    "addmm": plus_product(("mat1", "mat2"), lambda a, b: a @ b),
    "addmv": plus_product(("mat", "vec"), lambda a, b: a @ b),
    "addr": plus_product(("vec1", "vec2"), lambda a, b: a.unsqueeze(-1) * b),
    "addbmm": plus_product(("batch1", "batch2"), lambda a, b: (a @ b).sum(0)),
    "baddbmm": plus_product(("batch1", "batch2"), lambda a, b: a @ b),
    "addcmul": plus_product(("tensor1", "tensor2"), lambda a, b: a * b),
    "addcdiv": plus_product(("tensor1", "tensor2"), lambda a, b: a / b),
    "tensordot": tensordot,
    "inner": inner,
    "bilinear": bilinear,
    "cosine_similarity": cosine_similarity,
    "pairwise_distance": pairwise_distance,
    "cdist": cdist,
    **dict.fromkeys(("outer", "ger"), outer),
    **dict.fromkeys(("dot", "vdot"), dot),
    **dict.fromkeys(("chain_matmul", "linalg_multi_dot"), chain_of_products),
}
