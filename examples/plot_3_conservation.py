"""
Conservation, neuron by neuron
==============================

At a hidden neuron of a network with ReLUs, the synaptic saliencies :math:`\\partial R / \\partial \\theta \\cdot
\\theta` of the parameters that lead to it sum to those of the parameters that leave it (Tanaka et al. 2020, Theorem
1), for any scalar :math:`R` of the outputs. See :doc:`/theory` for the proof.
"""

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn

from torch_synflow import diagnostics, prune

torch.manual_seed(0)
model = nn.Sequential(
    *(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2)),
    *(nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
    *(nn.Flatten(), nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, 10)),
)
inputs, targets = torch.randn(20, 3, 16, 16), torch.arange(20) % 10

# %%
# The panels show SynFlow's scalar and the cross entropy of a batch. Each dot is a hidden neuron.

synflow = diagnostics.conservation(model, inputs)
loss = diagnostics.conservation(
    model, inputs, lambda outputs: F.cross_entropy(outputs, targets)
)

figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for axes, found, title in zip(
    panels, (synflow, loss), ("SynFlow's R", "cross entropy")
):
    found.draw(axes)
    axes.set_title(title)
plt.show()
print(loss)

# %%
# Theorem 2: every cut of the network has the same total. The code checks the weights of each layer, with the biases.

for layer in ("0", "4", "9", "11"):
    cut = loss.cut([layer])
    print(f"{layer:>2}: relative error {cut.error:.1e}")
    assert cut.error < 1e-9

# %%
# The average score of a layer is therefore inversely proportional to its size, so scoring once empties the largest
# layer. The dotted line shows exact proportion.

chain = nn.Sequential(
    *[
        m
        for w in (8, 64, 16, 128, 32)
        for m in (nn.LazyLinear(w, bias=False), nn.ReLU())
    ]
)
chain(torch.rand(1, 20))
scores = diagnostics.layer_scores(chain, prune.synflow_scores(chain, torch.rand(1, 20)))
axes = scores.draw()
axes.minorticks_off()
plt.show()

totals = [layer.average * layer.size for layer in scores.layers]
assert synflow.error < 1e-9
assert loss.error < 1e-9
assert max(totals) / min(totals) - 1 < 1e-9
