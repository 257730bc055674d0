"""Hugging Face's models, pruned: saved and loaded, and a ``Trainer`` that resumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from torch_synflow import prune

transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def bert() -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = transformers.BertConfig(vocab_size=31, max_position_embeddings=12, num_labels=3, **sizes, **dropout)
    return transformers.BertForSequenceClassification(config)


def vit() -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = transformers.ViTConfig(image_size=8, patch_size=4, num_labels=3, **sizes)
    return transformers.ViTForImageClassification(config)


MODELS = {
    "bert": (bert, {"input_ids": torch.arange(12).view(2, 6)}),
    "vit": (vit, {"pixel_values": torch.linspace(-1, 1, 384).view(2, 3, 8, 8)}),
}


def pruned(kind: str) -> nn.Module:
    model = MODELS[kind][0]().eval()
    prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.7)
    return model


def logits(model: nn.Module, kind: str) -> Tensor:
    with torch.no_grad():
        return model(**MODELS[kind][1]).logits


@pytest.mark.parametrize("kind", MODELS)
def test_removed_saved_loaded_and_masked_again_it_gives_the_same_outputs(kind: str, tmp_path: Path) -> None:
    model = pruned(kind)
    before = logits(model, kind)
    prune.save_masks(model, tmp_path / "masks.safetensors")
    removed = prune.remove_all(model)
    model.save_pretrained(tmp_path)
    prune.apply_masks(model, removed)
    loaded = type(model).from_pretrained(tmp_path).eval()
    torch.testing.assert_close(logits(loaded, kind), before, rtol=0, atol=0)
    prune.apply_masks(loaded, prune.load_masks(tmp_path / "masks.safetensors", loaded))
    torch.testing.assert_close(logits(loaded, kind), before, rtol=0, atol=0)
    assert all(torch.equal(mask, removed[name]) for name, mask in prune.masks(loaded).items())
    assert torch.equal(logits(model, kind), before)


def test_what_was_saved_with_its_masks_is_loaded_by_load_pruned(tmp_path: Path) -> None:
    """``from_pretrained`` gives such a folder random weights where it is pruned."""
    from safetensors.torch import load_file

    model = pruned("bert")
    model.save_pretrained(tmp_path)
    torch.manual_seed(1)
    fresh = type(model)(type(model.config).from_pretrained(tmp_path)).eval()
    prune.load_pruned(fresh, load_file(tmp_path / "model.safetensors"))
    torch.testing.assert_close(logits(fresh, "bert"), logits(model, "bert"), rtol=0, atol=0)
    assert prune.masks(fresh).keys() == prune.masks(model).keys()


class Sentences(torch.utils.data.Dataset[Any]):
    """Eight sentences with their labels."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"input_ids": (torch.arange(6) * (index + 1)) % 31, "labels": torch.tensor(index % 3)}


def trainer(model: nn.Module, folder: Path, steps: int) -> Any:
    arguments = transformers.TrainingArguments(
        str(folder),
        max_steps=steps,
        save_steps=2,
        per_device_train_batch_size=4,
        learning_rate=0.01,
        lr_scheduler_type="constant",
        weight_decay=0.1,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        logging_steps=1000,
        dataloader_pin_memory=False,
    )
    return transformers.Trainer(model, arguments, train_dataset=Sentences())


def test_a_trainer_resumes_a_model_that_is_given_its_masks_first(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    whole, first, again = pruned("bert"), pruned("bert"), MODELS["bert"][0]()
    trainer(whole, tmp_path / "whole", 4).train()
    trainer(first, tmp_path / "parts", 2).train()
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.zero_()
    prune.apply_masks(again, prune.masks(first))
    trainer(again, tmp_path / "parts", 4).train(resume_from_checkpoint=str(tmp_path / "parts" / "checkpoint-2"))
    for each in (whole, again):
        each.eval()
        prune.detach(each)
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], tensor)
    torch.testing.assert_close(logits(again, "bert"), logits(whole, "bert"))
    assert not torch.equal(logits(again, "bert"), logits(first.eval(), "bert"))
    for name, mask in prune.masks(again).items():
        weight = again.get_submodule(name.rpartition(".")[0]).weight
        assert not bool(weight[~mask].any())
