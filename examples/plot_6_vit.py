"""
A vision transformer
====================

SynFlow is defined for networks of ReLUs. While it scores, homogeneous surrogates replace GELU, LayerNorm and attention
(:doc:`/flow`), so a ViT needs no preparation.
"""

import warnings

import matplotlib.pyplot as plt
import torch
from torchvision.models import VisionTransformer

from torch_synflow import prune

torch.manual_seed(0)
vit = VisionTransformer(
    image_size=32,
    patch_size=8,
    num_layers=4,
    num_heads=4,
    hidden_dim=64,
    mlp_dim=128,
    num_classes=10,
)
x = torch.rand(2, 3, 32, 32)

# %%
# torchvision initialises the head with zeros, so no path would lead to an output. SynFlow counts such a layer as ones,
# and issues a warning.

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    scores = prune.synflow_scores(vit, x)
print(*(warning.message for warning in caught), sep="\n")

# %%
# The plot shows the flow through each layer relative to the flow through the head, which receives all of it. Attention
# and MLP are branches of a residual stream, so each carries a part. Biases add flow on the way.

names = {module: name for name, module in vit.named_modules()}
flows = {names[module]: float(score.sum()) for (module, _), score in scores.items()}
last = flows["heads.head"]
figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
axes.barh(list(flows), [flow / last for flow in flows.values()], color="#0072B2")
axes.invert_yaxis()
axes.set(xlabel="flow through the layer / flow through the head")
plt.show()

# %%
# Queries, keys and values share one projection, ``in_proj_weight``, and each third of it carries the flow of its block.
# ``prunable_parameters`` leaves out attention's output projections, which ``nn.MultiheadAttention`` reads without
# calling a module. SynFlow empties branches before the stream: at higher amounts, the later MLPs lose all weights.
# ``prune.BalancedSynFlow`` keeps them.

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    report = prune.global_iterative_unstructured(
        vit, prune.SynFlow, amount=0.5, example_inputs=x
    )
print(report)

vit.eval()
with torch.no_grad():
    outputs = vit(x)

assert any("heads.head" in str(warning.message) for warning in caught)
assert all(0 < flow <= 3 * last * (1 + 1e-9) for flow in flows.values())
assert report.kept == report.total - round(0.5 * report.total)
assert not report.empty_layers
assert torch.isfinite(outputs).all()
