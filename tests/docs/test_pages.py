"""Every snippet of Python in the README and the documentation runs, in order, on a small model."""

from __future__ import annotations

import re
import textwrap
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from torch_synflow import prune

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *(f"docs/{page}.rst" for page in (
    "adding", "diagnostics", "faq", "flow", "from_authors", "from_torch", "guide", "index", "lightning", "methods",
    "quickstart", "saving", "smaller", "theory",
))]  # fmt: skip


def snippets(page: str) -> list[str]:
    text = (ROOT / page).read_text()
    if page.endswith(".md"):
        return re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    blocks = re.findall(r"^\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text, re.M)
    return [textwrap.dedent(block) for block in blocks]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(torch.relu(self.conv(x)).flatten(1))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("page", PAGES)
def test_snippets_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where some write files
    torch.manual_seed(0)
    model = Net()
    train_set = TensorDataset(torch.rand(60, 1, 4, 4), torch.arange(60) % 3)
    names: dict[str, Any] = {
        "torch": torch,
        "nn": nn,
        "F": F,
        "prune": prune,
        "model": model,
        "params": prune.prunable_parameters(model),
        "x": torch.rand(2, 1, 4, 4),
        "train_set": train_set,
        "loader": DataLoader(train_set, batch_size=20),
    }
    found = snippets(page)
    assert found
    for code in found:
        if any(name in code and find_spec(name) is None for name in ("lightning", "safetensors", "transformers")):
            continue
        if "ModelPruning" in code:
            callbacks = pytest.importorskip("lightning.pytorch.callbacks")
            names["ModelPruning"] = callbacks.ModelPruning
        for library in ("torchvision", "onnxruntime"):
            if f"import {library}" in code or f"from {library}" in code:
                pytest.importorskip(library)
        if "torch.onnx" in code:
            pytest.importorskip("onnxscript")
        exec(compile(code, page, "exec"), names)


def test_every_page_with_snippets_is_run() -> None:
    pages = [str(p.relative_to(ROOT)) for p in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.rst")))]
    assert [page for page in pages if snippets(page)] == PAGES


def test_the_method_of_the_page_is_the_synaptic_saliency_of_its_scalar() -> None:
    names: dict[str, Any] = {"prune": prune, "model": nn.Linear(3, 2), "x": torch.rand(4, 3)}
    (code,) = [code for code in snippets("docs/methods.rst") if "OutputPower" in code]
    exec(code, names)
    model, x = names["model"], names["x"]
    power = model(x).square().sum()
    (gradient,) = torch.autograd.grad(power, [model.weight])
    torch.testing.assert_close(names["scores"][model, "weight"].as_subclass(torch.Tensor), gradient * model.weight)
