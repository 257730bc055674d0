"""Pruned models traced, compiled and exported give the same outputs; what torch cannot do has a way round."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from torch_synflow import prune

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
X = torch.linspace(-1, 1, 2 * 3 * 8 * 8).view(2, 3, 8, 8)


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(512, 4)
    ).eval()


def pruned() -> nn.Sequential:
    model = net()
    prune.global_iterative_unstructured(model, prune.SynFlow, 0.9, example_inputs=X)
    return model


@pytest.mark.parametrize("run_before", [False, True])
def test_an_exported_program(run_before: bool) -> None:
    model = pruned()
    expected = model(X)
    if not run_before:
        prune.detach(model)
    program = torch.export.export(model, (X,))
    torch.testing.assert_close(program.module()(X), expected)


@pytest.mark.parametrize("permanent", [False, True])
def test_onnx_and_onnxruntime(permanent: bool, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = pruned()
    expected = model(X).detach()
    if permanent:
        prune.remove_all(model)
    file = tmp_path / "model.onnx"
    torch.onnx.export(model, (X,), file, dynamo=True, verbose=False)
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: X.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)


def test_a_trace() -> None:
    model = pruned()
    with torch.no_grad():
        traced = torch.jit.trace(model, X)
        stored = io.BytesIO()
        torch.jit.save(traced, stored)
        stored.seek(0)
        torch.testing.assert_close(torch.jit.load(stored)(X), model(X))


def compiled(model: nn.Module) -> Any:
    torch.compiler.reset()
    return torch.compile(model, fullgraph=True, backend="aot_eager")


def test_compiled_in_one_graph_it_gives_the_same_outputs_and_gradients() -> None:
    model, other = pruned(), pruned()
    run = compiled(model)
    torch.testing.assert_close(run(X), other(X))
    for each in (run, other):
        each(X).square().sum().backward()
    for parameter, expected in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad)


@pytest.mark.parametrize("change", ["prune", "prune again", "remove", "apply", "detach"])
def test_a_compiled_model_sees_what_changes_afterwards(change: str) -> None:
    model = net() if change in ("prune", "apply") else pruned()
    run = compiled(model)
    run(X)
    if change == "remove":
        prune.remove_all(model)
    elif change == "detach":
        prune.detach(model)
    elif change == "apply":
        prune.apply_masks(run, prune.masks(pruned()))
    else:
        prune.global_iterative_unstructured(run, prune.SynFlow, 0.9, example_inputs=X)
    found = run(X)
    plain = net()
    with torch.no_grad():
        for name in ("0", "4"):
            layer = model.get_submodule(name)
            weight = layer.weight_orig * layer.weight_mask if prune.is_pruned(layer) else layer.weight
            plain.get_submodule(name).weight.copy_(weight)
    torch.testing.assert_close(found, plain(X))
    assert (found - net()(X)).abs().max() > 1e-3


def test_what_torch_scripts_is_a_model_made_permanent() -> None:
    model = pruned()
    expected = model(X)
    with pytest.raises(AttributeError, match="CustomFromMask"):  # the hook is no function
        torch.jit.script(model)
    prune.remove_all(model)
    torch.testing.assert_close(torch.jit.script(model)(X), expected)


def test_what_torch_quantises_is_a_model_made_permanent() -> None:
    model = pruned()
    expected = model(X)
    removed = prune.remove_all(model)
    quantised = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)
    torch.testing.assert_close(quantised(X), expected, rtol=0.1, atol=0.1)
    weight: Tensor = quantised[4].weight().dequantize()
    assert not bool(weight[~removed["4.weight"]].any())
