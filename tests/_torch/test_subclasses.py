"""Operations on subclasses of tensors can be run past the subclass, but not past a mode."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from torch_synflow._torch.subclasses import as_plain_tensors

WHERE = "see torch_synflow/_torch/subclasses.py"
seen: list[str] = []


class Marked(Tensor):
    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        seen.append("subclass")
        return super().__torch_function__(func, types, args, kwargs or {})


class Mode(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        seen.append("mode")
        return func(*args, **(kwargs or {}))


def test_the_subclass_is_not_asked_and_the_result_is_a_plain_tensor() -> None:
    marked = torch.ones(2).as_subclass(Marked)
    seen.clear()
    assert type(marked + 1) is Marked
    assert seen == ["subclass"]
    with as_plain_tensors():
        total = marked + 1
    assert seen == ["subclass"], f"torch asks a subclass although that is disabled; {WHERE}"
    assert type(total) is Tensor, f"an operation past a subclass returns {type(total)}; {WHERE}"


def test_a_mode_sees_the_operation() -> None:
    marked = torch.ones(2).as_subclass(Marked)
    seen.clear()
    with Mode(), as_plain_tensors():
        torch.add(marked, 1)
    assert seen == ["mode"], f"what disables subclasses disables modes too, or neither; {WHERE}"
