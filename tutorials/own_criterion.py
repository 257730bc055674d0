"""
A criterion of your own
=======================

A pruning method is a function from a network to scores. Higher means keep. This tutorial writes one that applies
SynFlow's idea to real data: it scores each weight by the power of the outputs that flows through it, without a loss or
labels.

.. code-block:: sh

   pip install ".[draw]"
"""

import matplotlib.pyplot as plt
import torch
from torch import nn

from torch_synflow import prune

# %%
# The class
# ---------
#
# ``needs`` names the arguments that a call requires. ``iterations`` is the number of rounds, each of which scores the
# remaining weights again. ``saliency`` returns a tensor of scores for each weight. ``network`` runs the model at other
# weights and differentiates it.


class OutputPower(prune.SaliencyUnstructured):
    """Keep the weights on which the square of the outputs depends most."""

    needs = ("example_inputs",)
    iterations = 20

    @classmethod
    def saliency(cls, network):
        x = network.prepared(network.task.example_inputs)
        gradients = network.gradient(lambda weights: network(weights, x).square().sum())
        return {
            name: (gradient * network.weights[name]).abs()
            for name, gradient in gradients.items()
        }


# %%
# Prune with it
# -------------
#
# The base class provides the rest: exact counts, iterations, ``bind``, errors that name a layer, and a model that stays
# unchanged if anything fails.

torch.manual_seed(0)
model = nn.Sequential(
    nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4)
)
x = torch.randn(100, 20)
x[:, 10:] = 0  # ten of the inputs are never used

report = prune.global_iterative_unstructured(
    model, OutputPower, amount=0.8, example_inputs=x
)
print(report)

# %%
# The picture shows the mask of the first layer. Inputs that carry nothing keep no weight.

figure, axes = plt.subplots(figsize=(4, 6), layout="constrained")
axes.imshow(model[0].weight_mask, cmap="Blues", aspect="auto", interpolation="nearest")
axes.set(
    xlabel="input", ylabel="hidden neuron", title="kept weights of the first layer"
)
plt.show()

# %%
# Test it
# -------
#
# Compare the scores with autograd, on a model that is not pruned.

dense = nn.Sequential(nn.Linear(20, 8), nn.Tanh(), nn.Linear(8, 4))
scores = OutputPower.scores(dense, example_inputs=x)
(gradient,) = torch.autograd.grad(dense(x).square().sum(), [dense[0].weight])
expected = (gradient * dense[0].weight).detach().abs()

torch.testing.assert_close(
    scores[dense[0], "weight"].as_subclass(torch.Tensor), expected
)

# %%
# If your criterion is the saliency of a loss, you do not need a class. Pass the loss as ``loss_fn`` to
# ``prune.SynapticSaliency``. Next: :doc:`/methods` has methods that read data, and :doc:`/adding` lists what a method
# receives and what it may set.

assert report.kept == round(0.2 * report.total)
assert model[0].weight_mask[:, 10:].sum() == 0
assert model[0].weight_mask[:, :10].sum() > 0
