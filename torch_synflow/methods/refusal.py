"""What is said to a call that lacks what a method scores with: the call that would work."""

from __future__ import annotations

from collections.abc import Sequence

_ARGUMENTS = {
    "example_inputs": "example_inputs=x",
    "data": "data=loader",
    "loss_fn": "loss_fn=torch.nn.functional.cross_entropy",
}


def call_that_works(name: str, needs: Sequence[str]) -> str:
    """A call of the helper with a method of this class name that passes all that the method needs."""
    passed = ", ".join(_ARGUMENTS[need] for need in needs)
    short = name.removesuffix("Unstructured")
    return f"prune.global_iterative_unstructured(params, prune.{short}, amount, model=model, {passed})"


def refusal(name: str, needs: Sequence[str]) -> str:
    """Why raw weights are not ranked, and what to do."""
    return (
        f"{name} ranks scores, not weights, and it was given no scores and is bound to no model; pass "
        f"importance_scores from {name}.scores(...) (tensors of your own: "
        f"tensor.as_subclass(prune.Scores)), or use {call_that_works(name, needs)}"
    )
