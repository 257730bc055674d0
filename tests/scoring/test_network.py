"""Scores against closed forms in float64: matrix products, mask gradients, an explicit Hessian, and by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.training.networks import initialise, resnet, vgg
from tests.cases import SCORED
from torch_synflow import prune

every_data_method = pytest.mark.parametrize(
    "method", [case.method for case in SCORED if "data" in case.method.needs], ids=lambda method: method.__name__
)


def mlp(*widths: int, bias: bool = True, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width_in, width in pairwise(widths):
        layers += [nn.Linear(width_in, width, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).to(dtype)


def close(ours: dict[Any, Tensor], reference: dict[Any, Tensor], rtol: float = 1e-10) -> None:
    assert ours.keys() == reference.keys()
    for pair, value in reference.items():
        torch.testing.assert_close(
            ours[pair].as_subclass(Tensor), value, rtol=rtol, atol=1e-12 * float(value.abs().max())
        )


def test_synflow_of_an_mlp_is_the_papers_product_of_matrices() -> None:
    """Tanaka et al. 2020, section 6: [1^T prod_{k>l} |W_k|]^T [prod_{k<l} |W_k| 1]^T times |W_l|."""
    model = mlp(5, 7, 6, 3, bias=False)
    layers = [m for m in model if isinstance(m, nn.Linear)]
    weights = [m.weight.detach().abs() for m in layers]
    reference = {}
    for index, layer in enumerate(layers):
        below = torch.ones(5, dtype=torch.float64)
        for weight in weights[:index]:
            below = weight @ below
        above = torch.ones(3, dtype=torch.float64)
        for weight in reversed(weights[index + 1 :]):
            above = weight.T @ above
        reference[layer, "weight"] = torch.outer(above, below) * weights[index]
    scores = prune.synflow_scores(model, torch.rand(4, 5))
    close(scores, reference)
    totals = torch.stack([score.as_subclass(Tensor).sum() for score in scores.values()])
    torch.testing.assert_close(totals, totals[:1].expand(3), rtol=1e-12, atol=0)  # Theorem 2


def test_synflow_by_hand() -> None:
    model = mlp(2, 2, 1)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 0.5]]))
        model[0].bias.copy_(torch.tensor([-1.0, 0.0]))
        model[2].weight.copy_(torch.tensor([[2.0, -1.0]]))
        model[2].bias.copy_(torch.tensor([7.0]))
    # h = (1 + 2 + 1, 3 + 0.5), R = 2 * 4 + 1 * 3.5 + 7
    scores = prune.synflow_scores(model, torch.zeros(1, 2))
    assert scores[model[0], "weight"].tolist() == [[2.0, 4.0], [3.0, 0.5]]
    assert scores[model[2], "weight"].tolist() == [[8.0, 3.5]]


def test_synflow_of_a_convolution_net_is_that_of_a_positive_copy() -> None:
    """Without torch.func: a copy whose weights are absolute values, and autograd."""
    torch.manual_seed(0)
    model = initialise(resnet(8), uniform_gamma=True)
    prune.l1_unstructured(model[3].conv1, "weight", 0.3)
    scores = prune.synflow_scores(model, torch.rand(2, 3, 16, 16))

    positive = initialise(resnet(8)).double().eval()
    state = {k.removesuffix("_orig"): v for k, v in model.state_dict().items() if not k.endswith("_mask")}
    state["3.conv1.weight"] = state["3.conv1.weight"] * model[3].conv1.weight_mask
    positive.load_state_dict({k: v.abs() for k, v in state.items()})
    positive(torch.ones(1, 3, 16, 16, dtype=torch.float64)).sum().backward()
    reference = {
        (model.get_submodule(name), "weight"): module.weight.grad * module.weight.detach()
        for name, module in positive.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    }
    close(scores, reference)
    assert all((score.as_subclass(Tensor) >= 0).all() for score in scores.values())


def data(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(12, 5, dtype=dtype), torch.arange(12) % 3


def test_snip_is_the_gradient_with_respect_to_a_mask() -> None:
    """Frankle et al. 2021, appendix B.1: s = |dL/dc| at c = 1, where c multiplies the weights."""
    model = mlp(5, 7, 3)
    inputs, targets = data()
    masks = {f"{i}.weight": torch.ones_like(model[i].weight, requires_grad=True) for i in (0, 2)}
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    masked = {name: weight * masks[name] if name in masks else weight for name, weight in weights.items()}
    F.cross_entropy(functional_call(model, masked, (inputs,)), targets).backward()
    reference = {(model[i], "weight"): masks[f"{i}.weight"].grad.abs() for i in (0, 2)}
    close(prune.snip_scores(model, (inputs, targets), F.cross_entropy), reference)


def test_snip_by_hand() -> None:
    model = nn.Linear(2, 2, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, -2.0], [0.5, 4.0]]))
    batch = (torch.tensor([[3.0, 1.0]], dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64))
    # outputs (1, 5.5); L = sum of squares; dL/dw = 2 * out_i * x_j = [[6, 2], [33, 11]]
    scores = prune.snip_scores(model, batch, lambda out, _: out.square().sum())
    assert scores[model, "weight"].tolist() == [[6.0, 4.0], [16.5, 44.0]]


def dense_grasp(model: nn.Module, inputs: Tensor, targets: Tensor, temperature: float) -> dict[Any, Tensor]:
    """W * H g with the whole Hessian of all weights written out."""
    names = ["0.weight", "2.weight"]
    shapes = [model.get_parameter(name).shape for name in names]
    sizes = [shape.numel() for shape in shapes]
    others = {name: p.detach() for name, p in model.named_parameters() if name not in names}

    def loss(vector: Tensor) -> Tensor:
        parts = {n: v.view(s) for n, v, s in zip(names, vector.split(sizes), shapes, strict=True)}
        return F.cross_entropy(functional_call(model, {**others, **parts}, (inputs,)) / temperature, targets)

    flat = torch.cat([model.get_parameter(name).detach().reshape(-1) for name in names])
    gradient = torch.autograd.functional.jacobian(loss, flat)
    hessian = torch.autograd.functional.hessian(loss, flat)
    products = (flat * (hessian @ gradient)).split(sizes)
    return {
        (model.get_submodule(name.removesuffix(".weight")), "weight"): product.view(shape)
        for name, product, shape in zip(names, products, shapes, strict=True)
    }


@pytest.mark.parametrize("temperature", [1.0, 200.0])
def test_grasp_is_an_explicit_hessian_times_gradient(temperature: float) -> None:
    """Frankle et al. 2021, appendix C.1, equation 4, with the sign of "higher means keep"."""
    model = mlp(5, 7, 3)
    inputs, targets = data()

    class AtTemperature(prune.GraSP):
        pass

    AtTemperature.temperature = temperature
    scores = AtTemperature.scores(model, data=(inputs, targets), loss_fn=F.cross_entropy)
    close(scores, dense_grasp(model, inputs, targets, temperature), rtol=1e-8)
    assert any((score.as_subclass(Tensor) < 0).any() for score in scores.values())


def test_grasp_by_hand() -> None:
    model = nn.Linear(2, 2, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, -2.0], [0.5, 1.0]]))
    batch = (torch.tensor([[1.0, 2.0]], dtype=torch.float64), torch.zeros(1, 2, dtype=torch.float64))
    # outputs o = (-1, 2.5); at temperature T, L = sum (o / T)^2, each row of g is 2 o x / T^2, its H is 2 x x^T / T^2,
    # and so its Hg is 4 |x|^2 o x / T^4 = 20 o x / T^4: (-20, -40) and (50, 100)
    scores = prune.grasp_scores(model, batch, lambda out, _: out.square().sum())[model, "weight"] * 200.0**4
    torch.testing.assert_close(
        scores.as_subclass(Tensor), torch.tensor([[-60.0, 80.0], [25.0, 100.0]], dtype=torch.float64)
    )


def test_grasp_removes_the_highest_of_minus_w_hg() -> None:
    model = mlp(5, 7, 3)
    inputs, targets = data()
    removal = torch.cat([-s.reshape(-1) for s in dense_grasp(model, inputs, targets, 200.0).values()])
    prune.global_iterative_unstructured(model, prune.GraSP, 20, data=(inputs, targets), loss_fn=F.cross_entropy)
    pruned = torch.cat([model[i].weight_mask.reshape(-1) == 0 for i in (0, 2)])
    assert removal[pruned].min() >= removal[~pruned].max()


@every_data_method
@pytest.mark.parametrize("size", [1, 5, 12])
def test_batches_give_the_gradient_of_the_mean_over_all_examples(method: Any, size: int) -> None:
    model = mlp(5, 7, 3)
    inputs, targets = data()
    whole = method.scores(model, data=(inputs, targets), loss_fn=F.cross_entropy)
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=size, shuffle=True)
    close(method.scores(model, data=loader, loss_fn=F.cross_entropy), whole)
    close(method.scores(model, data=iter(loader), loss_fn=F.cross_entropy), whole)


def test_grasp_reads_a_shuffling_loader_once() -> None:
    """BatchNorm makes the loss depend on which examples share a batch: two passes must see the same ones."""
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3)).double()
    inputs, targets = data()
    drawn: list[list[Any]] = []

    class Recording(DataLoader[Any]):
        def __iter__(self) -> Any:
            drawn.append([])
            for batch in super().__iter__():
                drawn[-1].append(batch)
                yield batch

    loader = Recording(TensorDataset(inputs, targets), batch_size=4, shuffle=True)
    scores = prune.grasp_scores(model, loader, F.cross_entropy)
    assert len(drawn) == 1
    close(prune.grasp_scores(model, drawn[0], F.cross_entropy), {k: v.as_subclass(Tensor) for k, v in scores.items()})


def test_grasp_uses_the_same_dropout_for_both_gradients() -> None:
    """With one mask for both, H g is the derivative of the gradient along itself at that mask."""
    model = nn.Sequential(nn.Linear(5, 40), nn.Dropout(0.5), nn.Linear(40, 3)).double()
    inputs, targets = data()
    torch.manual_seed(3)
    scores = prune.grasp_scores(model, (inputs, targets), F.cross_entropy)

    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.register_buffer("mask", F.dropout(torch.ones(12, 40, dtype=torch.float64), 0.5))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.mask

    fixed = nn.Sequential(model[0], Fixed(), model[2])
    close(
        prune.grasp_scores(fixed, (inputs, targets), F.cross_entropy), dense_grasp(fixed, inputs, targets, 200.0), 1e-8
    )
    close(scores, dense_grasp(fixed, inputs, targets, 200.0), 1e-8)


def test_scores_of_a_pruned_model_are_those_of_the_masked_weights() -> None:
    """Not of the stale product that the last forward left in ``module.weight``."""
    model = mlp(5, 7, 3)
    inputs, targets = data()
    prune.l1_unstructured(model[0], "weight", 10)
    with torch.no_grad():
        model[0].weight_orig.mul_(-3.0)
    clean = mlp(5, 7, 3)
    clean.load_state_dict(
        {
            "0.weight": model[0].weight_orig * model[0].weight_mask,
            "0.bias": model[0].bias,
            "2.weight": model[2].weight,
            "2.bias": model[2].bias,
        }
    )
    for pruned, dense in (
        (prune.synflow_scores(model, inputs), prune.synflow_scores(clean, inputs)),
        (
            prune.snip_scores(model, (inputs, targets), F.cross_entropy),
            prune.snip_scores(clean, (inputs, targets), F.cross_entropy),
        ),
    ):
        for index in (0, 2):
            torch.testing.assert_close(pruned[model[index], "weight"], dense[clean[index], "weight"])


def test_half_precision_models_are_scored_in_float32_and_synflow_in_float64() -> None:
    inputs, targets = data(torch.float32)
    for dtype in (torch.float16, torch.bfloat16):
        model = mlp(5, 7, 3, dtype=dtype)
        wide = mlp(5, 7, 3, dtype=torch.float32)
        wide.load_state_dict(model.state_dict())
        half = prune.snip_scores(model, (inputs.to(dtype), targets), F.cross_entropy)
        full = prune.snip_scores(wide, (inputs.to(dtype).float(), targets), F.cross_entropy)
        for index in (0, 2):
            assert half[model[index], "weight"].dtype == torch.float32
            torch.testing.assert_close(half[model[index], "weight"], full[wide[index], "weight"])
        assert prune.synflow_scores(model, inputs)[model[0], "weight"].dtype == torch.float64


def test_autocast_around_the_call_does_not_lower_the_precision() -> None:
    model = mlp(5, 7, 3, dtype=torch.float32)
    batch = data(torch.float32)
    plain = prune.snip_scores(model, batch, F.cross_entropy)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        close(prune.snip_scores(model, batch, F.cross_entropy), {k: v.as_subclass(Tensor) for k, v in plain.items()})


def test_scores_are_taken_in_the_methods_mode() -> None:
    """BatchNorm tells the modes apart: SynFlow in evaluation mode, SNIP and GraSP in training mode."""
    seen: list[bool] = []

    class Witness(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(self.training)
            return x

    model = nn.Sequential(nn.Linear(5, 3), Witness()).double()
    prune.synflow_scores(model.train(), data()[0])
    assert set(seen) == {False}
    assert model.training
    assert model[1].training
    for scores in (prune.snip_scores, prune.grasp_scores):
        seen.clear()
        scores(model.eval(), data(), F.cross_entropy)
        assert set(seen) == {True}
        assert not model[1].training


def test_the_users_train_override_is_respected() -> None:
    """A model that keeps its BatchNorm frozen in training mode is scored like that."""

    class Frozen(nn.Sequential):
        def train(self, mode: bool = True) -> Frozen:
            super().train(mode)
            self[1].eval()
            return self

    torch.manual_seed(0)
    model = Frozen(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.Linear(7, 3)).double()
    plain = nn.Sequential(*model)
    batch = data()

    class InEval(prune.SNIP):
        training = False

    close(
        prune.snip_scores(model, batch, F.cross_entropy),
        {k: v.as_subclass(Tensor) for k, v in InEval.scores(plain, data=batch, loss_fn=F.cross_entropy).items()},
    )


def test_backward_hooks_of_the_user_neither_run_nor_break_scoring() -> None:
    model = mlp(5, 7, 3)
    plain = prune.snip_scores(model, data(), F.cross_entropy)
    ran: list[int] = []
    model[0].register_full_backward_hook(lambda *_: ran.append(1))
    close(prune.snip_scores(model, data(), F.cross_entropy), {k: v.as_subclass(Tensor) for k, v in plain.items()})
    assert not ran
    model(data()[0].requires_grad_()).sum().backward()
    assert ran == [1]


def test_inputs_may_be_tuples_mappings_and_integers() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(10, 4)
            self.linear = nn.Linear(4, 3)

        def forward(self, tokens: Tensor, scale: Tensor) -> dict[str, Tensor]:
            return {"logits": self.linear(self.embed(tokens).mean(1)) * scale, "tokens": tokens}

    model = Two()
    tokens, scale = torch.arange(8).view(2, 4), torch.full((2, 3), 5.0)
    by_position = prune.synflow_scores(model, (tokens, scale))
    by_name = prune.synflow_scores(model, {"scale": scale, "tokens": tokens})
    close(by_position, {k: v.as_subclass(Tensor) for k, v in by_name.items()})
    expected = model.linear.weight.detach().abs().double()  # what is embedded and scale are read as ones
    torch.testing.assert_close(by_position[model.linear, "weight"].as_subclass(Tensor), expected)
    snip = prune.snip_scores(
        model, ((tokens, scale), torch.tensor([0, 2])), lambda o, t: F.cross_entropy(o["logits"], t)
    )
    assert snip[model.linear, "weight"].shape == (3, 4)


def test_synflow_is_finite_where_float32_is_not() -> None:
    torch.manual_seed(0)
    model = initialise(resnet(110))

    class Single(prune.SynFlow):
        dtype = torch.float32

    scores = prune.synflow_scores(model, torch.ones(1, 3, 32, 32))
    single = Single.scores(model, example_inputs=torch.ones(1, 3, 32, 32))
    factors = []
    for pair, score in scores.items():
        assert torch.isfinite(score).all()
        assert (score > 0).all()
        assert single[pair].dtype == torch.float32
        factors.append(single[pair].double().sum() / score.sum())
    assert torch.stack(factors).tolist() == pytest.approx([float(factors[0])] * len(factors), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet152", "wide_resnet101_2", "densenet201"])
def test_synflow_is_finite_on_deep_torchvision_models(name: str) -> None:
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    model = models.get_model(name)

    class Single(prune.SynFlow):
        dtype = torch.float32

    single = Single.scores(model, example_inputs=torch.ones(1, 3, 224, 224))
    for (module, _), score in prune.synflow_scores(model, torch.ones(1, 3, 224, 224)).items():
        assert torch.isfinite(score).all()
        assert torch.isfinite(single[module, "weight"]).all()
        assert torch.equal(score > 0, module.weight != 0)  # of some 60 million weights a few are drawn as zero


def test_a_flow_that_overflows_float64_is_that_of_smaller_weights_up_to_a_factor() -> None:
    model = mlp(4, 4, 4, bias=False)
    expected = prune.synflow_scores(model, torch.ones(1, 4))
    with torch.no_grad():
        for module in (model[0], model[2]):
            module.weight.mul_(2.0**120)
    model.double()
    with torch.no_grad():
        for module in (model[0], model[2]):
            module.weight.mul_(2.0**860)
    scores = prune.synflow_scores(model, torch.ones(1, 4))
    factor = scores[model[0], "weight"][0, 0] / expected[model[0], "weight"][0, 0]
    for pair, score in expected.items():
        torch.testing.assert_close(scores[pair], score * factor, rtol=1e-12, atol=0)


def test_vgg_scores_are_conserved_from_layer_to_layer() -> None:
    torch.manual_seed(0)
    model = initialise(vgg((8, "M", 16, 16), channels=1))
    scores = prune.synflow_scores(model, torch.rand(1, 1, 8, 8))
    totals = [float(score.sum()) for score in scores.values()]
    assert totals == pytest.approx([totals[0]] * len(totals), rel=1e-9)


@every_data_method
def test_scores_have_the_layout_of_contiguous_weights(method: Any) -> None:
    """As torch's ``global_unstructured`` needs it; autograd's second derivatives of convolutions have others."""
    layers = [layer for _ in range(3) for layer in (nn.Conv2d(2, 2, 3, padding=1), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Flatten())
    inputs = torch.randn(6, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    scores = method.scores(model, data=(inputs, torch.arange(6)), loss_fn=F.cross_entropy)
    assert all(score.is_contiguous() for score in scores.values())
    prune.global_unstructured(list(scores), method, importance_scores=scores, amount=0.5)


# --- in chunks ----------------------------------------------------------------------------------------------


@every_data_method
@pytest.mark.parametrize("size", [1, 5, 12, 100])
def test_chunks_of_one_batch_give_its_gradient(method: Any, size: int) -> None:
    """In evaluation mode, BatchNorm included; float64 to rounding."""

    class Chunked(method):  # type: ignore[misc]
        batch_size = size
        training = False

    class Whole(method):  # type: ignore[misc]
        training = False

    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 3)).double()
    model(data()[0])  # statistics that are not zero and one
    sizes: list[int] = []
    model.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    expected = Whole.scores(model, data=data(), loss_fn=F.cross_entropy)
    # GraSP passes one batch through once, and cut ones twice
    assert sizes == [12]
    sizes.clear()
    close(
        Chunked.scores(model, data=data(), loss_fn=F.cross_entropy),
        {p: s.as_subclass(Tensor) for p, s in expected.items()},
    )
    chunks = [min(size, 12 - start) for start in range(0, 12, size)]
    assert sizes == chunks * (2 if issubclass(method, prune.GraSP) and len(chunks) > 1 else 1)


def test_chunks_of_nested_inputs_and_targets() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 3)

        def forward(self, x: Tensor, scale: Tensor, y: Tensor) -> Tensor:
            return self.layer(x * scale + y)

    class Chunked(prune.SNIP):
        batch_size = 5

    x, targets = data()
    model = Net().double()
    inputs = {"x": x, "scale": torch.tensor(2.0, dtype=torch.float64), "y": x.flip(0)}

    def loss_fn(outputs: Tensor, targets: Any) -> Tensor:
        return (F.cross_entropy(outputs, targets["label"], reduction="none") * targets["weight"]).mean()

    batch = [(inputs, {"label": targets, "weight": torch.rand(12, dtype=torch.float64)})]
    whole = prune.snip_scores(model, batch, loss_fn)
    close(Chunked.scores(model, data=batch, loss_fn=loss_fn), {p: s.as_subclass(Tensor) for p, s in whole.items()})


@pytest.mark.parametrize("size", [None, 6])
def test_grasp_has_the_same_dropout_in_both_derivatives(size: int | None) -> None:
    """By an explicit Hessian under the dropout that the same random state draws."""

    class AtOne(prune.GraSP):
        temperature = 1.0
        batch_size = size

    model = nn.Sequential(nn.Linear(5, 7, bias=False), nn.Dropout(0.5), nn.Linear(7, 3, bias=False)).double()
    inputs, targets = data()
    shapes = [model[0].weight.shape, model[2].weight.shape]

    def loss(vector: Tensor) -> Tensor:
        torch.manual_seed(5)
        first, second = (v.view(s) for v, s in zip(vector.split([35, 21]), shapes, strict=True))
        parts = []
        for x, y in zip(inputs.split(size or 12), targets.split(size or 12), strict=True):
            hidden = F.dropout(x @ first.T, 0.5, training=True)
            parts.append(F.cross_entropy(hidden @ second.T, y))
        return torch.stack(parts).mean()

    flat = torch.cat([model[0].weight.detach().reshape(-1), model[2].weight.detach().reshape(-1)])
    gradient = torch.autograd.functional.jacobian(loss, flat)
    reference = flat * (torch.autograd.functional.hessian(loss, flat) @ gradient)
    torch.manual_seed(5)
    scores = AtOne.scores(model, data=(inputs, targets), loss_fn=F.cross_entropy)
    ours = torch.cat([score.as_subclass(Tensor).reshape(-1) for score in scores.values()])
    torch.testing.assert_close(ours, reference, rtol=1e-8, atol=1e-14)


def test_grasp_of_a_loss_without_curvature_in_some_weights() -> None:
    """A gradient that depends on no weight has a Hessian of zero, wherever it is."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bent, self.straight = nn.Linear(5, 3, bias=False), nn.Linear(5, 3, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.bent(x).square() + self.straight(x)

    model = Two().double()
    inputs, targets = data()
    batch = (inputs, targets)
    scores = prune.GraSP.scores(model, [(model.bent, "weight")], data=batch, loss_fn=lambda out, _: out.mean())
    assert bool(scores[model.bent, "weight"].any())
    with pytest.raises(ValueError, match=r"straight\.weight: every one of its GraSP"):
        prune.grasp_scores(model, batch, lambda out, _: out.mean())
    with pytest.raises(ValueError, match=r"straight\.weight: every one of its GraSP"):
        prune.GraSP.scores(model, [(model.straight, "weight")], data=batch, loss_fn=lambda out, _: out.mean())


@pytest.mark.parametrize("size", [0, -3, 2.0, True, "4"])
def test_batch_sizes_that_are_none(size: Any) -> None:
    class Odd(prune.SNIP):
        batch_size = size

    with pytest.raises(ValueError, match=r"Odd\.batch_size: expected None or an int of at least 1, got"):
        Odd.scores(mlp(5, 3), data=data(), loss_fn=F.cross_entropy)


def test_a_batch_whose_tensors_do_not_all_hold_its_examples_is_not_cut() -> None:
    class Chunked(prune.SNIP):
        batch_size = 5

    inputs, targets = data()
    with pytest.raises(ValueError, match=r"a batch of 12 examples by batch_size, .* got one of shape \(11,\)"):
        Chunked.scores(mlp(5, 3), data=(inputs, targets[:11]), loss_fn=F.cross_entropy)
