"""Masks in files: small, checked, written whole, and refused by name."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.compact.pruned import TiedNet, pruned, pruned_tied
from tests.small_net import Net, refuses, state
from torch_synflow import prune
from torch_synflow.compact import mask_files

pytest.importorskip("safetensors")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "masks.safetensors"


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(mask, right[name]) for name, mask in left.items())


def test_what_is_saved_is_loaded_with_where_it_comes_from(path: Path) -> None:
    model = pruned()
    prune.save_masks(model, path, method=prune.L1Unstructured, settings={"amount": 0.6, "rounds": [1, 2]})
    loaded = prune.load_masks(path, model)
    assert isinstance(loaded, prune.SavedMasks)
    assert same(loaded, prune.masks(model))
    assert loaded.provenance["method"] == "L1Unstructured"
    assert loaded.provenance["settings"] == {"amount": 0.6, "rounds": [1, 2]}
    assert loaded.provenance["versions"]["torch"] == torch.__version__
    assert loaded.provenance["weights"].keys() == loaded.keys()
    fresh = Net()
    prune.apply_masks(fresh, prune.load_masks(path, fresh))  # the same initial weights
    assert same(prune.masks(fresh), prune.masks(model))


@pytest.mark.parametrize("shape", [(), (1,), (7,), (8,), (9, 3), (4, 3, 5, 5), (0, 3)])
def test_masks_of_all_sizes(shape: tuple[int, ...], path: Path) -> None:
    masks = {"weight": torch.rand(shape) > 0.5, "other": torch.ones(3)}
    prune.save_masks(masks, path)
    loaded = prune.load_masks(path)
    assert torch.equal(loaded["weight"], masks["weight"])
    assert loaded["weight"].shape == shape
    assert loaded.provenance == {
        "method": None, "settings": None, "versions": loaded.provenance["versions"], "weights": None
    }  # fmt: skip


def test_a_file_is_a_thirty_second_of_the_weights(path: Path) -> None:
    model = nn.Sequential(nn.Linear(1000, 1000, bias=False))
    prune.global_iterative_unstructured(model, prune.L1Unstructured, 0.9)
    prune.save_masks(model, path)
    assert path.stat().st_size < 4_000_000 / 32 + 1500


def test_the_weights_are_those_of_a_model_made_permanent_and_not_those_of_one_trained_on(path: Path) -> None:
    model = pruned()
    prune.save_masks(model, path)
    prune.remove_all(model)
    assert prune.load_masks(path, model).keys() == {"0.weight", "3.weight"}
    with torch.no_grad():
        model[3].weight.mul_(1.5)
    refuses(
        ValueError,
        r"3\.weight: expected the weights that the masks were saved with, got different",
        model,
        lambda: prune.load_masks(path, model),
    )
    prune.apply_masks(model, prune.load_masks(path))
    assert prune.is_pruned(model)


def test_tied_tensors_and_the_root(path: Path) -> None:
    model, fresh = pruned_tied(), TiedNet()
    prune.save_masks(model, path)
    prune.apply_masks(fresh, prune.load_masks(path, fresh))
    assert same(prune.masks(fresh), prune.masks(model))


def test_masks_of_another_model_and_of_another_shape_are_refused_by_name(path: Path) -> None:
    prune.save_masks(pruned(), path)
    with pytest.raises(ValueError, match=r"got '0\.weight', which does not exist; the nearest is '0\.\d\.weight'"):
        prune.load_masks(path, nn.Sequential(Net()))
    with pytest.raises(ValueError, match=r"0\.weight: expected a mask of shape \(7, 6\).*got \(7, 5\)"):
        prune.load_masks(path, nn.Sequential(nn.Linear(6, 7)))
    with pytest.raises(TypeError, match=r"model: expected an nn\.Module"):
        prune.load_masks(path, "model")  # type: ignore[arg-type]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut in its masks": lambda content: content[:-1],
    "cut in its header": lambda content: content[:40],
    "cut to nothing": lambda content: b"",
    "another format": lambda content: b"PK\x03\x04" + content[4:],
    "a bit of a mask": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "a name": lambda content: content.replace(b"L1Unstructured", b"L2Unstructured"),
    "a shape": lambda content: content.replace(b"[7, 5]", b"[5, 7]"),
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_file_is_named(how: str, path: Path) -> None:
    prune.save_masks(pruned(), path, method="L1Unstructured")
    whole = path.read_bytes()
    path.write_bytes(DAMAGES[how](whole))
    assert path.read_bytes() != whole
    with pytest.raises(ValueError, match=r"masks\.safetensors: .*damaged"):
        prune.load_masks(path)


def test_a_file_of_something_else_and_none_at_all_are_named(path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.ones(3)}, path)
    with pytest.raises(ValueError, match=r"expected a file of prune\.save_masks in the format .*, got None"):
        prune.load_masks(path)
    with pytest.raises(FileNotFoundError, match="where there is none"):
        prune.load_masks(path.with_name("other"))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"source": Net()}, ValueError, "source: expected a pruned model or its masks, got none"),
        ({"source": {}}, ValueError, "source: expected a pruned model or its masks, got none"),
        ({"source": [1]}, TypeError, "source: expected a model or a mapping from names to masks, got list"),
        ({"source": {"weight": [1]}}, TypeError, "source: expected names and mask tensors, got 'weight' and list"),
        ({"source": {"weight": torch.ones(3) / 2}}, ValueError, "weight: expected a mask of zeros and ones"),
        ({"source": {"weight": torch.ones(3)}, "settings": {"x": Net}}, TypeError, "settings: expected a mapping that"),
    ],
)
def test_what_can_not_be_saved_is_refused_and_the_file_stays(
    arguments: dict[str, Any], error: type[Exception], message: str, path: Path
) -> None:
    path.write_text("as it was")
    with pytest.raises(error, match=message):
        prune.save_masks(path=path, **arguments)
    assert [file.read_text() for file in path.parent.iterdir()] == ["as it was"]


def test_a_file_is_written_whole_or_not_at_all(path: Path) -> None:
    path.mkdir()
    (path / "file").touch()
    model = pruned()
    before = state(model)
    with pytest.raises(OSError, match=r"masks\.safetensors"):  # a folder cannot be replaced
        prune.save_masks(model, path)
    assert [file.name for file in path.parent.iterdir()] == ["masks.safetensors"]
    assert state(model) == before


def test_without_safetensors_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for call in (lambda: prune.save_masks(pruned(), path), lambda: prune.load_masks(path)):
        with pytest.raises(ImportError, match=r'pip install "torch_synflow\[masks\]"'):
            call()


def test_the_header_is_readable_by_safetensors_alone(path: Path) -> None:
    from safetensors import safe_open

    prune.save_masks(pruned(), path, method=prune.SynFlow)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["masks"])
        assert file.get_tensor("0.weight").dtype == torch.uint8
    assert header["method"] == "SynFlowUnstructured"
    assert header["shapes"] == {"0.weight": [7, 5], "3.weight": [3, 7]}
    assert mask_files.SavedMasks({}, header).provenance is header
