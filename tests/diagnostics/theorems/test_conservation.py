"""Theorems 1 and 2 against finite differences, for every saliency, in float64 to 1e-9; and where they do not hold."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from tests.cases import MODELS, ModelCase
from tests.fingerprint import fingerprint
from torch_synflow import diagnostics, prune
from torch_synflow.diagnostics.theorems.conservation import Conservation

#: networks of the table that are homogeneous and have no tied tensor
PLAIN = [case for case in MODELS if not case.half and "tied" not in case.name]


def with_offsets(case: ModelCase) -> nn.Module:
    """The network with biases, scales and running statistics that are not those of a fresh one."""
    model = case.build()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                for tensor in (module.weight, module.bias, module.running_mean):
                    tensor.copy_(torch.randn(tensor.shape, generator=generator))
                module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.5)
    return model


def saliency(name: str, case: ModelCase) -> dict[str, Any]:
    """Arguments of ``conservation`` for a named saliency."""
    targets = case.batch()[1]

    def loss(outputs: Any) -> Tensor:
        return case.loss_fn(outputs, targets)

    def cubes(outputs: Any) -> Tensor:
        leaves = outputs.values() if isinstance(outputs, dict) else outputs
        leaves = [outputs] if isinstance(outputs, Tensor) else leaves
        return sum((leaf**3 + leaf.sin()).sum() for leaf in leaves)

    arguments: dict[str, dict[str, Any]] = {
        "SynFlow": {},
        "SNIP": {"objective": loss},
        "GraSP": {"objective": loss, "along_gradient": True},
        "a function of one's own": {"objective": cubes},
        "its curvature": {"objective": cubes, "along_gradient": True},
    }
    return arguments[name]


SALIENCIES = ["SynFlow", "SNIP", "GraSP", "a function of one's own", "its curvature"]


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


@pytest.mark.parametrize("name", SALIENCIES)
def test_theorem_2_at_every_cut_of_a_residual_network(name: str) -> None:
    case = next(case for case in MODELS if case.name == "residual")
    found = diagnostics.conservation(with_offsets(case), case.inputs(), **saliency(name, case))
    for cut in (["stem"], ["conv1", "shortcut.0"], ["conv2.weight", "shortcut.0.weight"], ["head"]):
        at = found.cut(cut)
        assert at.error < 1e-9
        assert at.output == found.output
        assert abs(at.biases) > 1e-9


def numeric(model: nn.Module, tensor: Tensor, value: Any, step: float = 1e-5) -> Tensor:
    """``dR/dw * w`` of each entry by central differences."""
    result = torch.zeros_like(tensor)
    for k in range(tensor.numel()):
        flat = tensor.view(-1)
        original = float(flat[k])
        ends = []
        for sign in (1, -1):
            flat[k] = original + sign * step
            ends.append(float(value(model)))
        flat[k] = original
        result.view(-1)[k] = (ends[0] - ends[1]) / (2 * step) * original
    return result


@pytest.mark.parametrize("objective", ["SNIP", "SynFlow"])
def test_sums_of_neurons_are_those_of_finite_differences(objective: str) -> None:
    torch.manual_seed(1)
    layers = [nn.Conv2d(2, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4), nn.ReLU(), nn.Linear(4, 2)]
    model = nn.Sequential(*layers).double()
    x, targets = torch.randn(5, 2, 3, 3).double(), torch.tensor([0, 1, 1, 0, 1])
    if objective == "SNIP":
        found = diagnostics.conservation(model, x, lambda outputs: F.cross_entropy(outputs, targets))

        def value(model: nn.Module) -> Tensor:
            return F.cross_entropy(model(x), targets)
    else:
        found = diagnostics.conservation(model, x)

        def value(model: nn.Module) -> Tensor:
            return model(torch.ones(1, 2, 3, 3).double()).sum()

    with torch.no_grad():
        if objective == "SynFlow":
            for parameter in model.parameters():
                parameter.abs_()
        by_name = {name: numeric(model, tensor, value) for name, tensor in model.named_parameters()}
    first, second = found.neurons
    conv = by_name["0.weight"].sum((1, 2, 3)) + by_name["0.bias"]
    reads_conv = by_name["3.weight"].reshape(4, 3, 4).sum((0, 2))
    linear = by_name["3.weight"].sum(1) + by_name["3.bias"]
    for hidden, incoming, outgoing in (
        (first, conv, reads_conv),
        (second, linear, by_name["5.weight"].sum(0)),
    ):
        torch.testing.assert_close(torch.tensor(hidden.incoming).double(), incoming, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(torch.tensor(hidden.outgoing).double(), outgoing, rtol=1e-6, atol=1e-8)
    cut = found.cut(["3"])
    assert cut.weights == pytest.approx(float(by_name["3.weight"].sum()), rel=1e-6)
    assert cut.biases == pytest.approx(float(by_name["3.bias"].sum() + by_name["5.bias"].sum()), rel=1e-6)


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


def test_in_place_operations_and_unbatched_inputs() -> None:
    layers = [
        nn.Conv2d(2, 3, 3, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(inplace=True),
        nn.Conv2d(3, 4, 3),
        nn.ReLU(inplace=True),
    ]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 4, 2)).double()
    found = diagnostics.conservation(model, torch.randn(3, 2, 4, 4).double(), lambda y: (y**2).sum())
    assert [(hidden.before, hidden.after) for hidden in found.neurons] == [(("0",), ("3",)), (("3",), ("6",))]
    assert found.error < 1e-12
    plain = nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2))
    assert diagnostics.conservation(plain, torch.rand(3), lambda y: y.sum()).error < 1e-12


class Joined(nn.Module):
    """Dense connections: what two layers lead to is joined."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(4, 5), nn.Linear(9, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        return self.c(torch.cat([x, torch.relu(self.b(x))], 1))


def test_joined_channels_are_summed_over_all_neurons() -> None:
    found = diagnostics.conservation(Joined(), torch.rand(4, 3), lambda y: (y**2).sum())
    (hidden,) = found.neurons
    assert hidden.note == "summed over all neurons, as Cat moves channels"
    assert len(hidden.incoming) == 1
    assert hidden.error < 1e-12


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


def test_one_module_called_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(torch.relu(self.b(torch.relu(self.b(torch.relu(self.a(x)))))))

    found = diagnostics.conservation(Twice(), torch.rand(4, 3), lambda y: (y**2).sum())
    assert [(h.before, h.after) for h in found.neurons] == [(("a", "b"), ("b", "c"))]
    assert found.error < 1e-12


def residual() -> Conservation:
    case = next(case for case in MODELS if case.name == "residual")
    return diagnostics.conservation(case.build(), case.inputs())


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["conv1"], "expected a cut, but some path from input to output goes past conv1"),
        (["conv1", "conv2", "shortcut.0"], "expected a cut that no path crosses twice; conv1 is on one with another"),
        (["stem", "head"], "expected a cut that no path crosses twice; stem"),
        (["bn"], r"expected names of linear and convolution modules that are called, got 'bn'; there are stem, conv1"),
    ],
)
def test_what_is_no_cut_is_refused(layers: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"layers: {message}"):
        residual().cut(layers)


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
    with pytest.raises(ValueError, match="example_inputs: expected what the model is called with, got None"):
        diagnostics.conservation(model, None)
    assert fingerprint(model) == before


def test_pruned_to_the_last_entry() -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    for amount in (0.9, 1.0):
        prune.global_iterative_unstructured(model, prune.L1Unstructured, amount)
        assert diagnostics.conservation(model, torch.rand(3, 4), lambda y: (y**2).sum()).error < 1e-12


def test_a_model_without_hidden_neurons() -> None:
    found = diagnostics.conservation(nn.Linear(4, 2), torch.rand(3, 4))
    assert (found.neurons, found.error) == ((), 0.0)
    assert found.cut([""]).error < 1e-12


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
