"""Every command that measures runs, and what it writes says where it comes from."""

from __future__ import annotations

import datetime
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("torchvision")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

import torch_synflow
from benchmarks.origin import revision
from benchmarks.speed import ablation

#: a module, and the options of a short run
COMMANDS = {
    "__main__": "--networks resnet20 --compressions 2 --iterations 2 --runs 1",
    "limits": "--models squeezenet1_1 --iterations 1 --side 64",
    "ablation": "--networks resnet20 --runs 1 --cpu-time",
    "growth": "--factors 0.05 0.1 --iterations 1 --compression 2",
    "throughput": "--pair digits/vgg_small --images 100 --runs 1 --channels-last --device cpu",
    "architectures": "squeezenet1_1",
    "pruned_training": "--networks resnet20 --batches 4 --steps 1 --runs 1 --device cpu",
    "smaller": "--networks ResNet-20 --methods SynFlow --amounts 0.9 --runs 1 --batch 2 --iterations 2 --device cpu",
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torchvision's own code
def test_every_command_that_measures_says_where_its_numbers_come_from(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name in ("growth", "ablation") and not Path("/proc/self/clear_refs").exists():
        pytest.skip("reads /proc")
    out = tmp_path / "new" / f"{name}.json"
    arguments = [*COMMANDS[name].split(), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    short = {key: (*made[:2], 2) for key, made in ablation.NETWORKS.items()}
    monkeypatch.setattr(ablation, "NETWORKS", short)
    importlib.import_module(f"benchmarks.speed.{name}").main()
    text = out.read_text()
    assert str(tmp_path) not in text
    found: dict[str, Any] = json.loads(text)
    assert found["command"] == f"python -m benchmarks.speed.{name} {COMMANDS[name]} --out {name}.json".replace(
        ".__main__ ", " "
    )
    assert (found["device"], found["threads"]) == ("cpu", torch.get_num_threads())
    assert found["git"] == revision()
    assert found["versions"]["torch"] == torch.__version__
    assert found["versions"]["torch_synflow"] == torch_synflow.__version__
    age = datetime.datetime.now(datetime.timezone.utc) - datetime.datetime.fromisoformat(found["date"])
    assert abs(age.total_seconds()) < 600
    rows = {"growth": 2, "limits": 3, "ablation": 13, "pruned_training": 5}
    assert len(found["models" if name == "architectures" else "rows"]) == rows.get(name, 1)
