"""
Prune a ResNet in one call
==========================

A residual network loses 95 % of its weights before it has seen any data, and then trains as usual. The result is a
model that :mod:`torch.nn.utils.prune` could have pruned.
"""

import copy

import matplotlib.pyplot as plt
import torch
from torchvision.models.resnet import BasicBlock, ResNet

torch.manual_seed(0)
model = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10)  # ResNet-10
x = torch.rand(8, 3, 32, 32)

# %%
# One call. SynFlow uses only the shape of the input: it runs the network on ones.

from torch_synflow import SynFlow, diagnostics, prune

report = prune.global_iterative_unstructured(
    model, SynFlow, amount=0.95, example_inputs=x
)

# %%
# The report prints as a table.

print(report)

# %%
# Densities differ by layer, and large layers lose most. The 1x1 convolutions of shortcuts lose more than their size
# suggests, because a path through one has fewer weights (Frankle et al. 2021, appendix J). The parallel blocks keep
# the network connected.

figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
names = [layer.name.removesuffix(".weight") for layer in report.layers]
axes.bar(names, [layer.density for layer in report.layers], color="#0072B2")
axes.axhline(report.density, color="0.4", linestyle=":", label="all layers together")
axes.set(
    yscale="log",
    ylabel="density: kept / total",
    title="ResNet-10 after SynFlow, compression ratio 20",
)
axes.tick_params(axis="x", rotation=90)
axes.legend(frameon=False)
plt.show()

# %%
# Optimisers, ``state_dict`` and ``prune.remove`` work as for any model that torch has pruned. A training step changes
# only the weights that are kept.

before = copy.deepcopy(model.state_dict())
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
torch.nn.functional.cross_entropy(model(x), torch.arange(8)).backward()
optimizer.step()

for module, _ in prune.prunable_parameters(model):
    mask, weight = module.weight_mask, module.weight_orig
    key = next(k for k, v in model.state_dict(keep_vars=True).items() if v is weight)
    assert not (weight - before[key])[mask == 0].any()
assert report.kept == report.total - round(
    0.95 * report.total
)  # exact, as torch rounds
assert all("downsample" in name for name in report.empty_layers)
assert diagnostics.trainability(model, x).can_train
assert torch.nn.utils.prune.is_pruned(model)
