"""A hook that runs before a state is loaded is found where torch keeps it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from torch_synflow._torch.loading import runs_before_loading


def test_a_hook_before_loading_may_rename_what_is_loaded_and_is_found_until_it_is_removed() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    calls = []

    def hook(module: nn.Module, state: Any, prefix: str, *_: object) -> None:
        calls.append((module, sorted(state), prefix))
        inner = module.get_submodule("0")
        inner.register_parameter("other", inner._parameters.pop("weight"))

    handle = model.register_load_state_dict_pre_hook(hook)
    advice = "see torch_synflow/_torch/loading.py"
    assert runs_before_loading(model, hook), f"{sorted(vars(model))}; {advice}"
    assert not runs_before_loading(model[0], hook)
    model.load_state_dict({"0.other": torch.ones(2, 2), "0.bias": torch.zeros(2)})
    assert calls == [(model, ["0.bias", "0.other"], "")], advice
    assert torch.equal(model[0].other, torch.ones(2, 2)), advice
    handle.remove()
    assert not runs_before_loading(model, hook)
