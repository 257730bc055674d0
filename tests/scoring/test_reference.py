"""Every method on every model gives the scores of the reference, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from torch import Tensor, nn

from tests.cases import MODELS, SCORED, MethodCase, ModelCase
from tests.masks import distinct, listed, mask_of
from torch_synflow import prune
from torch_synflow._torch.pytree import tree_flatten, tree_leaves, tree_unflatten
from torch_synflow.flow import positive
from torch_synflow.flow.passes import flow_of
from torch_synflow.flow.positive import PositiveNetwork
from torch_synflow.flow.surrogate.branches import BalancedFlow
from torch_synflow.flow.surrogate.mode import Flow
from torch_synflow.model.parameters import resolve, unwrap
from torch_synflow.scoring import reference
from torch_synflow.scoring.opening import opened
from torch_synflow.scoring.reference import Scalar
from torch_synflow.scoring.task import Task, Weights

# what torch imports at the first jvp
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")


def wide(value: Any) -> Any:
    """Inputs in float64."""
    if isinstance(value, tuple):
        return tuple(map(wide, value))
    return value.double() if value.is_floating_point() else value


def model_of(case: ModelCase) -> nn.Module:
    """The model in float64, pruned as it was."""
    model = unwrap(case.build()).double()
    for module, name in listed(model):
        if hasattr(module, f"{name}_mask"):  # a plain attribute, which double() leaves as it is
            setattr(module, name, getattr(module, f"{name}_mask") * getattr(module, f"{name}_orig").detach())
    return model


def by_data(method: MethodCase, case: ModelCase, model: nn.Module) -> list[Tensor]:
    """The scores of a method that needs data: of the loss as a function of the weights that no mask leaves out."""
    masks = [mask_of(pair) for pair in distinct(model)]
    for module, name in list(listed(model)):
        if hasattr(module, f"{name}_mask"):
            torch_prune.remove(module, name)
    model.train()
    inputs, targets = case.batch()
    temperature = getattr(method.method, "temperature", 1.0)

    def loss_fn(outputs: Any, targets: Tensor) -> Tensor:
        if temperature != 1.0 and not isinstance(outputs, Tensor):
            outputs = (
                {key: value / temperature for key, value in outputs.items()}
                if isinstance(outputs, dict)
                else tuple(value / temperature for value in outputs)
            )
        return case.loss_fn(outputs, targets)

    inputs = wide(inputs)
    tensors = isinstance(case.outputs(case.runnable(case.build()).eval()), Tensor)
    dense = reference.loss_of(model, inputs, targets, loss_fn, temperature if tensors else 1.0)
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    names = [named[id(getattr(*pair))] for pair in distinct(model)]

    notes = [(m, name, v) for m in model.modules() for name, v in vars(m).items() if isinstance(v, Tensor)]

    def loss(weights: Weights) -> Tensor:
        torch.manual_seed(3)  # the same dropout in each pass
        for module, name, note in notes:  # which forward writes to, as a transform of torch.func must own them
            module.__dict__[name] = note.clone()
        return dense({name: weights[name] * mask for name, mask in zip(names, masks, strict=True)})

    weights = {name: getattr(*pair).detach() for name, pair in zip(names, distinct(model), strict=True)}
    return [score.detach() for score in OF_METHODS[method.method](loss, weights).values()]


OF_METHODS: dict[Any, Any] = {
    prune.SNIP: reference.snip,
    prune.IterativeSNIP: reference.snip,
    prune.FORCE: reference.snip,  # before the first iteration
    prune.GraSP: reference.grasp,
    prune.GraSPLowest: lambda loss, weights: {name: -score for name, score in reference.grasp(loss, weights).items()},
    prune.GraSPMagnitude: lambda loss, weights: {
        name: score.abs() for name, score in reference.grasp(loss, weights).items()
    },
    prune.GraSPIt: lambda loss, weights: {
        name: gradient.square() for name, gradient in torch.func.grad(loss)(weights).items()
    },
    prune.SynapticSaliency: reference.synaptic,
    prune.TaylorFO: lambda loss, weights: {
        name: score.square() for name, score in reference.synaptic(loss, weights).items()
    },
}


def by_curvature(case: ModelCase, model: nn.Module) -> list[Tensor]:
    """Half of the diagonal of J' H J times squared weights: J of all outputs, H of the loss by them, both dense."""
    masks = [mask_of(pair) for pair in distinct(model)]
    for module, name in list(listed(model)):
        if hasattr(module, f"{name}_mask"):
            torch_prune.remove(module, name)
    model.eval()
    inputs, targets = case.batch()
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    names = [named[id(getattr(*pair))] for pair in distinct(model)]
    weights = {name: getattr(*pair).detach() for name, pair in zip(names, distinct(model), strict=True)}

    def outputs_of(*values: Tensor) -> Any:
        kept = {name: value * mask for name, value, mask in zip(names, values, masks, strict=True)}
        args = wide(inputs) if isinstance(inputs, tuple) else (wide(inputs),)
        return torch.func.functional_call(model, kept, args)

    def flat(*values: Tensor) -> Tensor:
        return torch.cat([leaf.reshape(-1) for leaf in tree_leaves(outputs_of(*values))])

    leaves, structure = tree_flatten(outputs_of(*weights.values()))

    def loss(values: Tensor) -> Tensor:
        parts = values.split([leaf.numel() for leaf in leaves])
        return case.loss_fn(
            tree_unflatten([p.view_as(leaf) for p, leaf in zip(parts, leaves, strict=True)], structure), targets
        )

    hessian = torch.autograd.functional.hessian(loss, flat(*weights.values()).detach())
    jacobians = torch.autograd.functional.jacobian(flat, tuple(weights.values()))
    return [
        torch.einsum("oi,op,pi->i", j.flatten(1), hessian, j.flatten(1)).view_as(w) * w.square() / 2
        for j, w in zip(jacobians, weights.values(), strict=True)
    ]


#: methods that score the flow, and the mode that their forward pass runs under
OF_FLOW: dict[Any, type[Flow]] = {prune.SynFlow: Flow, prune.BalancedSynFlow: BalancedFlow}


def by_flow(case: ModelCase, model: nn.Module, mode: type[Flow]) -> list[Tensor]:
    """Scores without recording or replay: only the model's own code under its homogeneous surrogate."""
    entries = resolve(listed(model), model)
    masks = [entry.mask for entry in entries]
    network = PositiveNetwork(Task(model, wide(case.inputs())), entries, masks, torch.float64)
    flow: Scalar = flow_of(network, network.inputs, mode)
    scores, result = opened(network, lambda: reference.synflow(flow, network.weights), training=False)
    assert float(result) > 0
    return list(scores.values())


@pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)
@pytest.mark.parametrize("method", SCORED, ids=lambda method: method.name)
def test_scores_are_those_of_the_reference(method: MethodCase, case: ModelCase) -> None:
    model = model_of(case)
    inputs, targets = case.batch()
    arguments = {"data": (wide(inputs), targets), "loss_fn": case.loss_fn, "example_inputs": wide(inputs)}
    torch.manual_seed(3)
    scores = method.method.scores(model, listed(model), **{name: arguments[name] for name in method.method.needs})
    found = [scores[pair].as_subclass(Tensor) for pair in distinct(model)]
    mode = OF_FLOW.get(method.method)
    if method.method is prune.OptimalBrainDamage:
        expected = by_curvature(case, model_of(case))
    else:
        expected = by_flow(case, model, mode) if mode else by_data(method, case, model_of(case))
    assert len(found) == len(expected) > 0
    for score, other in zip(found, expected, strict=True):
        assert score.dtype == torch.float64
        torch.testing.assert_close(score, other.view_as(score), rtol=1e-9, atol=1e-12 * float(other.abs().max()))


def test_every_scored_method_of_the_package_has_a_reference() -> None:
    assert {case.method for case in SCORED} == {*OF_FLOW, *OF_METHODS, prune.OptimalBrainDamage}


def test_a_model_that_can_not_be_recorded_is_scored_by_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 2)

        def forward(self, x: Tensor) -> Tensor:
            hidden = torch.relu(self.first(x))
            return self.last(hidden if bool(hidden.sum() > 0) else -hidden)

    calls = []
    original = positive.synflow_by_definition
    monkeypatch.setattr(
        positive, "synflow_by_definition", lambda *arguments: (calls.append(1), original(*arguments))[1]
    )
    report = prune.global_iterative_unstructured(
        Branches(), prune.SynFlow, 0.5, example_inputs=torch.ones(1, 4), iterations=3
    )
    assert report.kept == 24
    assert len(calls) == 3


def test_grasp_by_an_explicit_hessian() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.rand(6, 6, generator=generator, dtype=torch.float64)
    weights = {"w": torch.rand(6, generator=generator, dtype=torch.float64)}

    def loss(weights: Weights) -> Tensor:
        return (weights["w"] @ matrix @ weights["w"]).exp()

    hessian = torch.autograd.functional.hessian(lambda w: loss({"w": w}), weights["w"])
    gradient = torch.func.grad(loss)(weights)["w"]
    expected = weights["w"] * (hessian @ gradient)
    torch.testing.assert_close(reference.grasp(loss, weights)["w"], expected, rtol=1e-12, atol=0)
