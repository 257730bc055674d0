"""Masks in files: packed bits in safetensors, with their provenance."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from torch_synflow._version import __version__
from torch_synflow.compact.bits import packed, unpacked, weight_bits
from torch_synflow.compact.masks import checked_masks, masks, named_parameter
from torch_synflow.model.layout import whole_of
from torch_synflow.model.masks import unwrapped_module
from torch_synflow.model.places import is_binary, pruned_tensors

_FORMAT = "torch_synflow masks 1"


class SavedMasks(dict[str, Tensor]):
    """The masks of a file by name, for :func:`apply_masks`, with their provenance.

    Attributes:
        provenance: ``"method"`` and ``"settings"`` as passed to :func:`save_masks`, or ``None``; ``"versions"`` of
            torch and torch_synflow; and ``"weights"``, the fingerprint of the kept weights of each tensor by name, or
            ``None`` for masks that were saved without a model.
    """

    def __init__(self, masks: Mapping[str, Tensor], provenance: dict[str, Any]) -> None:
        super().__init__(masks)
        self.provenance = provenance


def save_masks(
    source: nn.Module | Mapping[str, Tensor],
    path: str | os.PathLike[str],
    *,
    method: str | type | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Save masks as packed bits: one byte per eight weights, 1/32 of the size of float32 weights.

    The file has the format of safetensors and is written atomically. It holds the shapes, the versions of torch and
    torch_synflow, and a checksum. For a model, it also holds a fingerprint of the kept weights of each tensor, the
    SHA-256 of their dtype and bits. Training the weights changes the fingerprint; making the pruning permanent does
    not.
    Sharded masks are gathered, one byte per weight. All ranks make the call, and each writes the same file.

    Args:
        source: a pruned model, or masks by name, as :func:`masks` and :func:`remove_all` return them.
        path: the path of the file.
        method: the method that found the masks, a class such as ``prune.SynFlow`` or a name.
        settings: its settings, as values that JSON can hold, such as ``{"amount": 0.9}``.

    Raises:
        ImportError: if safetensors is not installed: ``pip install "torch_synflow[masks]"``.
        TypeError, ValueError: if ``source`` has no mask, a mask has values other than zeros and ones, or JSON cannot
            hold the settings. The message names the argument.

    Example:
        >>> import tempfile
        >>> model = nn.Linear(64, 8)
        >>> _ = prune.l1_unstructured(model, "weight", amount=0.9)
        >>> path = f"{tempfile.mkdtemp()}/masks.safetensors"
        >>> prune.save_masks(model, path, method=prune.L1Unstructured, settings={"amount": 0.9})
        >>> loaded = prune.load_masks(path, model)
        >>> torch.equal(loaded["weight"], model.weight_mask != 0), loaded.provenance["method"]
        (True, 'L1Unstructured')
    """
    safetensors = _safetensors()
    found = masks(source) if isinstance(source, nn.Module) else _given(source)
    found = {name: whole_of(mask) for name, mask in found.items()}
    if not found:
        raise ValueError("source: expected a pruned model or its masks, got none; prune first")
    weights = _fingerprints(source, found) if isinstance(source, nn.Module) else None
    header = {
        "method": method if method is None or isinstance(method, str) else method.__name__,
        "settings": None if settings is None else _plain(settings),
        "versions": _versions(),
        "shapes": {name: list(mask.shape) for name, mask in found.items()},
        "weights": weights,
    }
    tensors = {name: packed(mask) for name, mask in found.items()}
    text = json.dumps(header, sort_keys=True)
    metadata = {"format": _FORMAT, "masks": text, "checksum": _checksum(text, tensors)}
    _write(Path(path), safetensors.torch.save(tensors, metadata))


def load_masks(path: str | os.PathLike[str], model: nn.Module | None = None) -> SavedMasks:
    """Load masks that :func:`save_masks` has saved, for :func:`apply_masks`.

    Args:
        path: the path of the file.
        model: the model of the masks. The call checks that it has the names and shapes of the masks, and the same kept
            weights, bit for bit, pruned or made permanent. Omit it for a model that has been trained since, or that
            starts from different weights; ``apply_masks`` still checks names and shapes.

    Returns:
        The masks by name, boolean, on the device of ``model``, and their ``provenance``.

    Raises:
        ImportError: if safetensors is not installed: ``pip install "torch_synflow[masks]"``.
        FileNotFoundError: if there is no such file.
        TypeError, ValueError: if the file is damaged or truncated, or a tensor of the model is missing, or has a
            different shape or different weights. The message names the file or the tensor.

    Example:
        >>> import tempfile
        >>> model = nn.Linear(64, 8)
        >>> _ = prune.l1_unstructured(model, "weight", amount=0.9)
        >>> path = f"{tempfile.mkdtemp()}/masks.safetensors"
        >>> prune.save_masks(model, path)
        >>> fresh = nn.Linear(64, 8)
        >>> prune.apply_masks(fresh, prune.load_masks(path))
        >>> int(fresh.weight_mask.sum())
        51
    """
    header, found = _read(Path(path))
    if model is not None:
        model = unwrapped_module(model)
        checked_masks(model, found)
        found = {name: mask.to(named_parameter(model, name).device) for name, mask in found.items()}
        _same_weights(model, found, header["weights"])
    return SavedMasks(found, {key: header[key] for key in ("method", "settings", "versions", "weights")})


def _safetensors() -> ModuleType:
    try:
        import safetensors
        import safetensors.torch
    except ImportError as error:
        raise ImportError(
            'masks: mask files need safetensors, which is not installed: pip install "torch_synflow[masks]"'
        ) from error
    return safetensors


def _given(source: Any) -> dict[str, Tensor]:
    if not isinstance(source, Mapping):
        raise TypeError(f"source: expected a model or a mapping from names to masks, got {type(source).__name__}")
    for name, mask in source.items():
        if not isinstance(name, str) or not isinstance(mask, Tensor):
            raise TypeError(f"source: expected names and mask tensors, got {name!r} and {type(mask).__name__}")
        if not is_binary(mask):
            raise ValueError(f"{name}: expected a mask of zeros and ones, got other values; pass mask != 0")
    return {name: mask.detach() != 0 for name, mask in source.items()}


def _plain(settings: Mapping[str, Any]) -> Any:
    try:
        return json.loads(json.dumps(dict(settings)))
    except (TypeError, ValueError) as error:
        raise TypeError(f"settings: expected a mapping that JSON takes, got {settings!r}: {error}") from error


def _versions() -> dict[str, str]:
    return {"torch": str(torch.__version__), "torch_synflow": __version__}


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> str:
    found = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        found.update(tensors[name].numpy().tobytes())
    return found.hexdigest()


def _write(path: Path, content: bytes) -> None:
    """Write a file so that readers find the old file or the complete new one."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The checked header and masks of a file."""
    safetensors = _safetensors()
    if not path.is_file():
        raise FileNotFoundError(f"path: expected a file of prune.save_masks, got {path}, where there is none")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: expected a file of prune.save_masks, got a damaged or truncated one: {error}"
        ) from error
    if metadata.get("format") != _FORMAT:
        raise ValueError(
            f"{path}: expected a file of prune.save_masks in the format {_FORMAT!r}, got {metadata.get('format')!r}"
        )
    text = metadata.get("masks", "")
    if metadata.get("checksum") != _checksum(text, tensors):
        raise ValueError(
            f"{path}: its checksum is not that of its content: the file is damaged; copy it or save it again"
        )
    header: dict[str, Any] = json.loads(text)
    return header, {name: unpacked(tensors[name], torch.Size(shape)) for name, shape in header["shapes"].items()}


def _fingerprints(model: nn.Module, found: Mapping[str, Tensor]) -> dict[str, str]:
    parameters = {place.label: t.parameter for t in pruned_tensors(unwrapped_module(model)) for place in t.places}
    return {name: _fingerprint(parameters[name], mask) for name, mask in found.items()}


def _fingerprint(parameter: Tensor, mask: Tensor) -> str:
    bits = weight_bits(whole_of(parameter), whole_of(mask))
    return hashlib.sha256(f"{parameter.dtype} ".encode() + bits).hexdigest()


def _same_weights(model: nn.Module, found: Mapping[str, Tensor], weights: Mapping[str, str] | None) -> None:
    for name, fingerprint in (weights or {}).items():
        parameter = named_parameter(model, name)
        if _fingerprint(parameter, found[name]) != fingerprint:
            raise ValueError(
                f"{name}: expected the weights that the masks were saved with, got different ones; for a model that "
                "was trained since, or that starts from different weights, omit model=: prune.load_masks(path)"
            )
