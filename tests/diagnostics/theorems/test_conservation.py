"""Both theorems for every saliency, in float64 to 1e-9, and where they do not hold."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from benchmarks.faults.fingerprint import fingerprint
from tests.cases import MODELS, ModelCase
from tests.diagnostics.theorems.saliencies import SALIENCIES, saliency, with_offsets
from torch_synflow import diagnostics, prune

#: networks of the table that are homogeneous and have no tied tensor
PLAIN = [case for case in MODELS if not case.half and "tied" not in case.name]


def head_of(model: nn.Module) -> list[str]:
    """The last layers, which together are a cut."""
    inner = model.module if isinstance(model, nn.DataParallel) else model
    names = [name for name, module in inner.named_modules() if isinstance(module, (nn.Linear, nn.Conv2d))]
    return ["head", "auxiliary"] if hasattr(inner, "auxiliary") else names[-1:]


@pytest.mark.parametrize("name", SALIENCIES)
@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case.name)
def test_both_theorems_hold(case: ModelCase, name: str) -> None:
    model = with_offsets(case)
    before = fingerprint(model)
    found = diagnostics.conservation(model, case.inputs(), **saliency(name, case))
    assert fingerprint(model) == before
    assert found.neurons
    assert found.error < 1e-9
    assert any(abs(value) > 1e-12 for hidden in found.neurons for value in hidden.incoming)
    assert all(not hidden.note for hidden in found.neurons)
    assert found.cut(head_of(model)).error < 1e-9


class GraSP(prune.GraSP):
    """GraSP of the loss itself, in float64."""

    temperature = 1.0
    training = False
    dtype = torch.float64


def test_grasp_is_conserved_only_with_the_squares_of_the_gradient() -> None:
    """w * Hg of a layer differs from that of the next by the difference of their squared gradients."""
    torch.manual_seed(2)
    first, second, third = (nn.Linear(a, b, bias=False) for a, b in ((4, 7), (7, 5), (5, 3)))
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third).double()
    x, targets = torch.randn(9, 4).double(), torch.arange(9) % 3
    scores = GraSP.scores(model, data=(x, targets), loss_fn=F.cross_entropy)
    F.cross_entropy(model(x), targets).backward()
    layers = [first, second, third]
    plain = [float(scores[layer, "weight"].sum()) for layer in layers]
    squares = [float((layer.weight.grad**2).sum()) for layer in layers]
    found = diagnostics.conservation(model, x, lambda y: F.cross_entropy(y, targets), along_gradient=True)
    for number, layer in enumerate(layers):
        assert found.cut([str(2 * number)]).weights == pytest.approx(plain[number] + squares[number], rel=1e-9)
        at_inputs = (scores[layer, "weight"] + layer.weight.grad**2).sum(0)
        if number:
            hidden = found.neurons[number - 1]
            torch.testing.assert_close(torch.tensor(hidden.outgoing).double(), at_inputs.as_subclass(Tensor))
    assert max(plain) - min(plain) > 0.01 * max(map(abs, plain))
    corrected = [p + s for p, s in zip(plain, squares, strict=True)]
    assert max(corrected) - min(corrected) < 1e-9 * max(map(abs, corrected))


def test_the_rebuttals_formula_for_biases() -> None:
    """<dR/dW[l], W[l]> plus the biases of layer l and all after is <dR/dy, y>."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    x = torch.randn(8, 4).double()
    y = model(x)
    (y**2).sum().backward()
    right = float((2 * y.detach() ** 2).sum())
    found = diagnostics.conservation(model, x, lambda outputs: (outputs**2).sum())
    for name in ("0", "2", "4"):
        cut = found.cut([name])
        weight = model[int(name)].weight
        later = [model[k].bias for k in (0, 2, 4) if k >= int(name)]
        assert cut.weights == pytest.approx(float((weight.grad * weight.detach()).sum()), rel=1e-9)
        assert cut.biases == pytest.approx(sum(float((b.grad * b.detach()).sum()) for b in later), rel=1e-9)
        assert cut.output == pytest.approx(right, rel=1e-12)
        assert cut.error < 1e-12


def test_batch_norm_in_training_mode_leaves_nothing_before_it() -> None:
    """What is before it sums to zero, up to its eps; its scale and shift lead to the neurons after it, exactly."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, eps=1e-12), nn.ReLU(), nn.Linear(6, 3)).double()
    nn.init.normal_(model[1].bias)
    x, targets = torch.randn(8, 4).double(), torch.arange(8) % 3
    model.train()
    F.cross_entropy(model(x), targets).backward()
    found = diagnostics.conservation(model, x, lambda y: F.cross_entropy(y, targets), training=True)
    into_norm, after_norm = found.neurons
    assert (into_norm.before, into_norm.after) == (("0",), ("1",))
    assert into_norm.outgoing == (0.0,) * 6
    assert max(map(abs, into_norm.incoming)) < 1e-9
    assert "BatchNorm in training mode" in into_norm.note
    own = model[1].weight.grad * model[1].weight + model[1].bias.grad * model[1].bias
    torch.testing.assert_close(torch.tensor(after_norm.incoming).double(), own.detach())
    assert after_norm.error < 1e-12
    evaluated = diagnostics.conservation(model, x, lambda y: F.cross_entropy(y, targets))
    assert [hidden.before for hidden in evaluated.neurons] == [("0",)]
    assert max(map(abs, evaluated.neurons[0].incoming)) > 1e-3
    assert evaluated.error < 1e-12


def test_training_mode_draws_from_torchs_state_and_leaves_statistics() -> None:
    case = next(case for case in MODELS if case.name == "conv")
    model = case.build().train()
    before = fingerprint(model)
    diagnostics.conservation(model, case.inputs(), **saliency("SNIP", case), training=True)
    assert fingerprint(model) == before


class Once(nn.Module):
    """A network with an operation between its layers."""

    def __init__(self, between: Any) -> None:
        super().__init__()
        self.a, self.between, self.b = nn.Linear(3, 4), between, nn.Linear(4, 2)
        nn.init.ones_(self.a.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.between(self.a(x)))


@pytest.mark.parametrize(
    ("between", "note"),
    [
        (nn.GELU(), "Gelu is not known to be homogeneous"),
        (nn.LayerNorm(4), "NativeLayerNorm is not known to be homogeneous"),
        (lambda x: x * x, "Mul is not known to be homogeneous"),
        (nn.Sigmoid(), "Sigmoid is not known to be homogeneous"),
    ],
)
def test_what_is_not_homogeneous_is_named(between: Any, note: str) -> None:
    found = diagnostics.conservation(Once(between), torch.rand(4, 3), lambda y: (y**2).sum())
    assert note in found.neurons[0].note
    assert found.error > 1e-3
    assert note in str(found)


def test_tied_parameters_are_named() -> None:
    case = next(case for case in MODELS if case.name == "tied_layers")
    found = diagnostics.conservation(case.build(), case.inputs(), **saliency("SNIP", case))
    assert all("a tied parameter" in hidden.note for hidden in found.neurons)


def test_wrong_arguments_are_named() -> None:
    model, x = nn.Linear(3, 2), torch.rand(4, 3)
    before = fingerprint(model)
    with pytest.raises(ValueError, match=r"objective: expected a function .* scalar .*, got shape \(4, 2\)"):
        diagnostics.conservation(model, x, lambda y: y)
    with pytest.raises(ValueError, match=r"objective: .* got float"):
        diagnostics.conservation(model, x, lambda y: 1.0)  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="objective: expected a function of the model's outputs, got 3"):
        diagnostics.conservation(model, x, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"model: expected an nn\.Module, got int"):
        diagnostics.conservation(3, x)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="example_inputs: expected the model's inputs, got None"):
        diagnostics.conservation(model, None)
    assert fingerprint(model) == before


def test_pruned_to_the_last_entry() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    for amount in (0.9, 1.0):
        prune.global_iterative_unstructured(model, prune.L1Unstructured, amount)
        assert diagnostics.conservation(model, torch.rand(3, 4), lambda y: (y**2).sum()).error < 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("name", SALIENCIES)
@pytest.mark.parametrize("network", ["VGG-19", "ResNet-18"])
def test_both_theorems_hold_on_the_papers_networks(network: str, name: str) -> None:
    """At initialisation and with biases and statistics of BatchNorm that are not zero; every plain cut."""
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(0)
    if network == "ResNet-18":
        model, cuts = torchvision.models.resnet18(), [["conv1"], ["layer3.0.conv2", "layer3.0.downsample.0"], ["fc"]]
    else:
        features = torchvision.models.vgg19_bn(weights=None).features
        model = nn.Sequential(*features, nn.Flatten(), nn.Linear(512, 10))
        cuts = [[n] for n, module in model.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    x, targets = torch.randn(2, 3, 32, 32), torch.tensor([3, 7])
    case = ModelCase(network, lambda: model, lambda generator: x)
    arguments = saliency(name, case)
    if "objective" in arguments and name in ("SNIP", "GraSP"):
        arguments["objective"] = lambda outputs: F.cross_entropy(outputs, targets)
    for offsets in (False, True):
        found = diagnostics.conservation(with_offsets(case) if offsets else model, x, **arguments)
        worst = max(found.cut(cut).error for cut in cuts)
        print(f"{network}, {name}, offsets {offsets}: theorem 1 {found.error:.1e}, theorem 2 {worst:.1e}")
        assert found.error < 1e-9
        assert worst < 1e-9


def test_pruned_networks_conserve_too() -> None:
    case = next(case for case in MODELS if case.name == "conv")
    model = with_offsets(case)
    torch_prune.ln_structured(model[4], "weight", 2, n=1, dim=0)
    torch_prune.l1_unstructured(model[0], "weight", 0.5)
    found = diagnostics.conservation(model, case.inputs(), **saliency("SNIP", case))
    assert found.error < 1e-9
    assert any(value != 0 for value in found.neurons[1].incoming)
