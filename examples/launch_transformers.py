"""
Two processes with transformers.Trainer
=======================================

The ``Trainer`` sets up the process group when it is created. Prune after that and before ``train``. All ranks prune
together, each with its own batch, using the loss that the model computes. Run it with

.. code-block:: sh

   torchrun --nproc-per-node 2 examples/launch_transformers.py
"""

import tempfile

import torch
from sklearn.datasets import load_digits
from transformers import (
    Trainer,
    TrainingArguments,
    ViTConfig,
    ViTForImageClassification,
)

from torch_synflow import prune


def main() -> None:
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 16
    data = [
        {"pixel_values": image, "labels": int(label)}
        for image, label in zip(images, digits.target)
    ]
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=128, image_size=8, patch_size=2, num_channels=1, num_labels=10,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = ViTForImageClassification(config)
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(), use_cpu=not torch.cuda.is_available(),
        num_train_epochs=8, learning_rate=2e-3, per_device_train_batch_size=32,
        save_strategy="no", report_to=[], disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(model=model, args=arguments, train_dataset=data)

    batch = next(iter(trainer.get_train_dataloader()))
    report = prune.global_iterative_unstructured(
        model, prune.SNIP, 0.5, data=[dict(batch)]
    )
    if trainer.is_world_process_zero():
        print(report)
    trainer.train()

    device = model.device
    masks = (
        torch.cat([mask.flatten() for mask in prune.masks(model).values()])
        .nonzero()
        .sum()
    )
    weights = sum(
        float(weight.detach().double().sum()) for weight in model.parameters()
    )
    with torch.no_grad():
        right = (
            (
                model.eval()(images.to(device)).logits.argmax(1).cpu()
                == torch.tensor(digits.target)
            )
            .float()
            .mean()
        )
    print(
        f"rank {arguments.process_index}: masks {masks}, "
        f"weights {weights!r}, accuracy {right:.3f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
