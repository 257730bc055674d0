"""Preparing a user's model for scoring, and restoring it afterwards."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch.autograd.graph import saved_tensors_hooks

from torch_synflow._torch.compiled import run_uncompiled
from torch_synflow._torch.functions import show_autograd_functions
from torch_synflow.model.transaction import Result, unchanged
from torch_synflow.scoring.network import Network


def differentiating(network: Network, work: Callable[[], Result]) -> Result:
    """Return the result of ``work``, with gradients enabled and in the network's precision."""
    saved = saved_tensors_hooks(*network.saved_by) if network.saved_by else nullcontext()
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(network.device.type, enabled=False), saved:
        return work()


def opened(network: Network, work: Callable[[], Result], *, training: bool) -> Result:
    """Return the result of ``work`` with the model of a network open for scoring in the given mode, then restore it."""
    model = network.task.model
    assert model is not None  # checked by SaliencyUnstructured.require

    def open_and_work() -> Result:
        model.train(training)
        for module in model.modules():
            # a user's backward hooks must not run, and modes cannot see into a compiled forward
            module._backward_hooks.clear()
            module._backward_pre_hooks.clear()
            run_uncompiled(module)
        show_autograd_functions()
        try:
            return work()
        finally:
            show_autograd_functions(shown=False)

    return unchanged(model, lambda: differentiating(network, open_and_work))
