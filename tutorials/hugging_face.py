"""
A Hugging Face model
====================

Prune a transformer of the ``transformers`` library, train it with ``Trainer``, and save it so that ``from_pretrained``
loads it. The model is a small BERT made from a configuration, so nothing is downloaded. The calls are the same for a
model that you load with ``from_pretrained``.

.. code-block:: sh

   pip install ".[hub,masks,draw]" accelerate
"""

import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)

from torch_synflow import diagnostics, prune

set_seed(0)
config = BertConfig(
    vocab_size=50,
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=128,
    max_position_embeddings=16,
    num_labels=2,
)
model = BertForSequenceClassification(config)

# %%
# The data
# --------
#
# Sentences of 16 random tokens. The label says whether token 1 is in the sentence.

tokens = torch.randint(2, 50, (640, 16))
tokens[::2, 3] = 1
data = [
    {"input_ids": row, "attention_mask": torch.ones_like(row), "labels": int(1 in row)}
    for row in tokens
]
train, test = data[:512], data[512:]

# %%
# Prune
# -----
#
# Pass example inputs as the mapping that the model is called with. ``outputs="logits"`` says which output counts.
# Transformers have shortcuts around each block, so the method is ``BalancedSynFlow``. Embeddings are not pruned. A
# warning says so, which is silenced here.

warnings.filterwarnings("ignore", message="prunable_parameters")
inputs = {name: torch.stack([row[name] for row in data[:2]]) for name in data[0]
          if name != "labels"}  # fmt: skip
report = prune.global_iterative_unstructured(
    model, prune.BalancedSynFlow, amount=0.8, example_inputs=inputs, outputs="logits"
)
print(report)

report.draw()
plt.show()

# %%
# Every block keeps attention and feed-forward weights, and the input reaches the logits.

print(diagnostics.trainability(model, inputs, outputs="logits"))

# %%
# SNIP and GraSP take batches as the model does. With labels in the batch the model computes its own loss, so no
# ``loss_fn`` is needed:

batch = {name: torch.stack([torch.as_tensor(row[name]) for row in train[:64]])
         for name in train[0]}  # fmt: skip
scores = prune.SNIP.scores(model, data=batch)
print(f"SNIP scores {len(scores)} weights")

# %%
# Train
# -----
#
# ``Trainer`` needs no changes. Pruned weights stay zero.

arguments = TrainingArguments(
    output_dir=tempfile.mkdtemp(),
    num_train_epochs=8,
    learning_rate=3e-3,
    per_device_train_batch_size=64,
    logging_strategy="no",
    save_strategy="no",
    report_to=[],
    disable_tqdm=True,
    use_cpu=not torch.cuda.is_available(),
)
trainer = Trainer(model=model, args=arguments, train_dataset=train)
trained = trainer.train()
right = trainer.predict(test).predictions.argmax(1) == [row["labels"] for row in test]
print(f"loss {trained.training_loss:.3f}, test accuracy {right.mean():.3f}")
for name, mask in prune.masks(model).items():  # pruned weights are zero
    module = model.get_submodule(name.removesuffix(".weight"))
    assert not module.weight[mask == 0].any()

# %%
# Save and load
# -------------
#
# ``from_pretrained`` does not know the names ``weight_orig`` and ``weight_mask``. Save a plain model and its masks.

folder = Path(tempfile.mkdtemp())
prune.save_masks(model, folder / "masks.safetensors")
masks = prune.remove_all(model)
model.save_pretrained(folder)

loaded = BertForSequenceClassification.from_pretrained(folder)
prune.apply_masks(loaded, prune.load_masks(folder / "masks.safetensors", loaded))
print("pruned again:", prune.is_pruned(loaded))

device = model.device
with torch.no_grad():
    before = model.eval()(**{k: v.to(device) for k, v in inputs.items()}).logits.cpu()
    after = loaded.eval()(**inputs).logits
print("same logits:", torch.equal(before, after))

# %%
# Without the masks the loaded model works as well. It is then a dense model with zeros in it, and further training
# would fill them. Next: :doc:`/networks` lists the families of models that were tried, and :doc:`/saving` has
# checkpoints of ``Trainer``.

assert report.kept == report.total - round(0.8 * report.total)
assert not report.empty_layers
assert len(masks) == len(report.layers)
assert torch.allclose(before, after, atol=1e-5)
assert right.mean() > 0.6
