"""
Lightning, on two GPUs
======================

``PruneAtInit`` is a Lightning callback that prunes once, before the first training step, on all ranks. Here it prunes
with SNIP in two processes, each of which reads its own part of the data. The page was built on a machine without GPUs,
so the two processes share a CPU. On a machine with two GPUs, change the two arguments that are marked below.

.. code-block:: sh

   pip install ".[lightning,draw]"
"""

import logging
import warnings

import lightning.pytorch as lightning
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from torch_synflow import prune
from torch_synflow.lightning import PruneAtInit

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")

# %%
# The module
# ----------
#
# ``accept_pruned`` lets ``load_state_dict`` take masks. It makes checkpoints load (``load_from_checkpoint``), and with
# ``ddp_notebook`` it brings the masks of the processes back to this one.


class Classifier(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2)
        )
        prune.accept_pruned(self)

    def forward(self, inputs):
        return self.net(inputs)

    def training_step(self, batch, batch_idx):
        inputs, targets = batch
        return F.cross_entropy(self(inputs), targets)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


torch.manual_seed(0)
inputs = torch.randn(1024, 8)
data = TensorDataset(inputs, (inputs[:, 0] * inputs[:, 1] > 0).long())
loader = DataLoader(data, batch_size=64, shuffle=True)

# %%
# Prune and train
# ---------------
#
# SNIP reads the first batch of each rank. Its gradient is that of all their data, and all ranks get the same masks.
# In a script that you start from a terminal, use ``strategy="ddp"``. ``ddp_notebook`` also works in notebooks and on
# pages like this one, because it forks the processes.

module = Classifier()
trainer = lightning.Trainer(
    accelerator="cpu",  # "gpu" on a machine with GPUs
    strategy="ddp_notebook",  # "ddp" in a script
    devices=2,
    max_epochs=20,
    callbacks=[PruneAtInit(prune.SNIP, 0.5, loss_fn=F.cross_entropy)],
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(module, loader)

# %%
# The trained weights and the masks are in ``module`` now.

masks = prune.masks(module)
for name, mask in masks.items():
    print(f"{name}: {int(mask.sum())} of {mask.numel()} kept")
with torch.no_grad():
    right = (module(inputs).argmax(1) == data.tensors[1]).float().mean()
print(f"accuracy {right:.3f}")

# %%
# Lightning's own callback
# ------------------------
#
# Lightning's ``ModelPruning`` prunes after each epoch. It takes a class but no model. ``bind`` makes a class that
# carries its model, so the callback ranks SynFlow's current scores each time that it prunes. Here it removes half of
# the remaining weights after each of four epochs.

from lightning.pytorch.callbacks import ModelPruning


class Densities(lightning.Callback):
    """Records the number of weights that are kept after each epoch."""

    def __init__(self):
        self.kept = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.kept.append(
            sum(int(mask.sum()) for mask in prune.masks(pl_module).values())
        )


model = Classifier()
params = prune.prunable_parameters(model.net)
total = sum(module.weight.numel() for module, _ in params)
callback = ModelPruning(
    pruning_fn=prune.SynFlow.bind(model.net, example_inputs=inputs[:1]),
    parameters_to_prune=list(params),
    amount=0.5,
    use_lottery_ticket_hypothesis=False,
    make_pruning_permanent=False,
)
densities = Densities()
lightning.Trainer(
    max_epochs=4,
    callbacks=[callback, densities],
    accelerator="cpu",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
).fit(model, loader)

figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
axes.plot(range(1, 5), densities.kept, "o-", color="#0072B2")
axes.set(
    xlabel="epoch",
    ylabel="weights kept",
    yscale="log",
    xticks=range(1, 5),
    title=f"of {total:,} weights",
)
axes.set_yticks(densities.kept, [str(kept) for kept in densities.kept])
axes.minorticks_off()
plt.show()

# %%
# Next: :doc:`/lightning` has checkpoints, rewinding and all strategies, and :doc:`/parallel` says what the ranks share.
# Scripts for ``torchrun``, ``accelerate`` and ``transformers.Trainer`` are in the :doc:`gallery </gallery/index>`.

kept = sum(int(mask.sum()) for mask in masks.values())
assert kept == total - round(0.5 * total)
assert right > 0.8
expected = total
for found in densities.kept:
    expected -= round(0.5 * expected)
    assert found == expected
assert len(densities.kept) == 4
