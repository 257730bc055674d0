"""SynFlow against products of matrices, a positive copy and arithmetic by hand, however large the flow."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchmarks.training.initialisations import initialise
from benchmarks.training.networks import resnet, vgg
from tests.scoring.closed_forms import close, mlp
from torch_synflow import prune


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
