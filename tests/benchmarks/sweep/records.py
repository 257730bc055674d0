"""Records as trials leave them, without running any."""

from __future__ import annotations

from typing import Any

_PRUNED = {"kept": 3, "total": 12, "empty_layers": [], "layers": [["0.weight", 3, 12]]}
_TRAINED = {"accuracy": 50.0, "best_accuracy": 60.0, "history": [[1.0, 2.3, 60.0], [2.0, 2.1, 50.0]]}
RESULTS: dict[str, dict[str, Any]] = {
    "accuracy": {**_TRAINED, **_PRUNED},
    "masks": {**_PRUNED, "neuron_sparsity": [0.5] * 101, "effective": 2},
    "cuts": {**_PRUNED, "prune_sizes": [0.5, 0.4], "cut_sizes": [1.0, 0.9]},
    "structure": {**_PRUNED, "effective": 2, "flops": 90, "sparse_flops": 40.0, "log10_path_norm": 3.5},
    "scores": {"layers": [[12, 0.1]], "into": [0.1, 0.2], "out": [0.1, 0.3]},
    "limit": {"critical_log10_compression": 1.5, "max_log10_compression": 2.0, "first_empty": ["0.weight"]},
    "magnitudes": {**_TRAINED, "sizes": [12], "before": [0.1], "after": [0.2]},
}
ORIGIN: dict[str, Any] = {
    "started": "2026-01-01T00:00:00+00:00", "seconds": {"all": 1.0}, "images_per_second": None, "device": "cpu",
    "data": None, "versions": {}, "git": None,
}  # fmt: skip


def record(measure: str = "masks", origin: dict[str, Any] | None = None, **result: Any) -> dict[str, Any]:
    """A result and its origin, changed where something is given."""
    return {"result": {**RESULTS[measure], **result}, "origin": {**ORIGIN, **(origin or {})}}
