"""Which of a model's outputs count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch_synflow._warnings import listed
from torch_synflow.scoring.task import Outputs


def check_outputs(chosen: Any) -> None:
    """Raise unless ``chosen`` is a way to choose outputs, or None."""
    if isinstance(chosen, bool) or not (chosen is None or isinstance(chosen, (str, int)) or callable(chosen)):
        raise TypeError(
            f"outputs: expected a key, an index or a function of what the model returns, got {chosen!r}; "
            '"logits", 0 or lambda outputs: outputs.logits for example'
        )


def selected(found: Any, chosen: Outputs) -> Any:
    """What counts of what a model returned."""
    if callable(chosen):
        return chosen(found)
    if isinstance(found, Mapping) and chosen in found:
        return found[chosen]
    if isinstance(chosen, str):
        if hasattr(found, chosen):
            return getattr(found, chosen)
    elif isinstance(found, Sequence) and -len(found) <= chosen < len(found):
        return found[chosen]
    there = type(found).__name__
    if isinstance(found, Mapping):
        there = f"{there} with {listed([str(key) for key in found])}"
    elif isinstance(found, Sequence):
        there = f"{there} of {len(found)}"
    raise ValueError(f"outputs: expected an output that the model returns, got {chosen!r} of {there}")
