"""Copies of a pruned model that has run with gradients."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

from tests.compact.pruned import TOKENS, pruned, pruned_tied
from tests.contract.runs import structure
from tests.small_net import Net, X
from torch_synflow import prune


def used() -> Net:
    """After a training step, as ``deepcopy`` fails on it."""
    model = pruned()
    model(X).square().sum().backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    with pytest.raises(RuntimeError, match="deepcopy"):
        copy.deepcopy(model)
    return model


def test_deepcopy_after_a_backward_pass() -> None:
    model = used()
    shape = structure(model)
    assert prune.detach(model) is model
    assert structure(model) == shape
    twin = copy.deepcopy(model)
    assert torch.equal(model[0].weight, model[0].weight_orig * model[0].weight_mask)  # as after the step
    assert torch.equal(twin.eval()(X), model.eval()(X))
    assert not {id(p) for p in twin.parameters()} & {id(p) for p in model.parameters()}


def test_pickle_and_torch_save_after_a_backward_pass_need_no_call() -> None:
    model = used()
    stored = io.BytesIO()
    torch.save(model, stored)
    stored.seek(0)
    for twin in (pickle.loads(pickle.dumps(model)), torch.load(stored, weights_only=False)):
        assert torch.equal(twin.eval()(X), model.eval()(X))


def test_a_graph_from_before_still_gives_gradients() -> None:
    model, other = pruned(), pruned()
    loss = model(X).square().sum()
    prune.detach(model)
    loss.backward()
    other(X).square().sum().backward()
    for parameter, expected in zip(model.parameters(), other.parameters(), strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, expected.grad)


def test_tied_tensors_and_a_wrapped_model() -> None:
    model = pruned_tied()
    model(TOKENS).sum().backward()
    assert copy.deepcopy(prune.detach(model)).head.weight.requires_grad is False
    wrapped = nn.DataParallel(used())
    assert prune.detach(wrapped) is wrapped
    assert copy.deepcopy(wrapped).module[0].weight.grad_fn is None


@pytest.mark.parametrize("mean", [None, torch.optim.swa_utils.get_ema_multi_avg_fn(0.5)])
def test_averages_of_a_model_that_is_trained(mean: object) -> None:
    model = used()
    average = AveragedModel(prune.detach(model), multi_avg_fn=mean)  # type: ignore[arg-type]
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    values = []
    for _ in range(3):
        optimizer.zero_grad()
        model(X).square().sum().backward()
        optimizer.step()
        average.update_parameters(model)
        values.append(model[0].weight_orig.detach().clone())
    expected = torch.stack(values).mean(0) if mean is None else values[0] / 4 + values[1] / 4 + values[2] / 2
    torch.testing.assert_close(average.module[0].weight_orig.detach(), expected)
    update_bn([X], average)
    average(X)
    assert torch.equal(average.module[0].weight == 0, model[0].weight_mask == 0)


def test_a_regulariser_that_reads_the_weight_after_the_forward_pass_gets_its_gradient() -> None:
    """Why no hook takes the graph off by itself: this would then train without its term, and nothing would say so."""
    model = pruned()
    model(X)
    model[0].weight.square().sum().backward()
    assert torch.equal(model[0].weight_orig.grad, 2 * model[0].weight_orig * model[0].weight_mask)
