"""
Lightning's ModelPruning callback
=================================

Lightning's callback takes a class and no model. ``bind`` makes a class that carries its model: the callback is used as
it is, and ranks SynFlow's scores of the network as it stands each time it prunes.
"""

import logging
import warnings

import lightning.pytorch as lightning
import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelPruning
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from torch_synflow import prune

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")
warnings.filterwarnings("ignore", category=DeprecationWarning)
warnings.filterwarnings("ignore", category=FutureWarning)


class Classifier(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 2)
        )

    def training_step(self, batch, _):
        inputs, targets = batch
        return F.cross_entropy(self.net(inputs), targets)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


class Densities(lightning.Callback):
    """Notes what is kept after each epoch."""

    def __init__(self):
        self.kept = []

    def on_train_epoch_end(self, trainer, pl_module):
        masks = [m.weight_mask for m in pl_module.net if hasattr(m, "weight_mask")]
        self.kept.append(sum(int(mask.sum()) for mask in masks))


# %%
# Half of what is left goes after each of four epochs.

torch.manual_seed(0)
inputs = torch.randn(512, 8)
data = TensorDataset(inputs, (inputs[:, 0] * inputs[:, 1] > 0).long())
model = Classifier()
params = prune.prunable_parameters(model.net)
bound = prune.SynFlow.bind(model.net, example_inputs=inputs[:1])
callback = ModelPruning(
    pruning_fn=bound,
    parameters_to_prune=list(params),
    amount=0.5,
    use_lottery_ticket_hypothesis=False,
    make_pruning_permanent=False,
)
densities = Densities()
trainer = lightning.Trainer(
    max_epochs=4,
    callbacks=[callback, densities],
    accelerator="cpu",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(model, DataLoader(data, batch_size=64, shuffle=True))

total = sum(module.weight_orig.numel() for module, _ in params)
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

expected = total
for kept in densities.kept:
    expected -= round(0.5 * expected)
    assert kept == expected
assert len(densities.kept) == 4
