"""A user's model made ready to be scored, and put back afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from torch_synflow.model.transaction import unchanged
from torch_synflow.scoring.network import Network


@contextmanager
def differentiating(network: Network) -> Iterator[None]:
    """Let gradients be taken, in the precision of the network, whatever the caller has set."""
    with torch.inference_mode(False), torch.enable_grad(), torch.autocast(network.device.type, enabled=False):
        yield


@contextmanager
def opened(network: Network, *, training: bool) -> Iterator[None]:
    """Open the model of a network for scoring, in the given mode; afterwards it is as it was."""
    model = network.task.model
    assert model is not None  # SaliencyUnstructured.require saw to it
    with unchanged(model), differentiating(network):
        model.train(training)
        for module in model.modules():
            # a user's backward hooks are not ours to run, and torch.func can not differentiate through them
            module._backward_hooks.clear()
            module._backward_pre_hooks.clear()
        yield
