"""The contents of a record, so that ``plot`` can draw every result that ``run`` accepts."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], bool]


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _text_or_none(value: Any) -> bool:
    return value is None or _text(value)


def _number_or_none(value: Any) -> bool:
    return value is None or _number(value)


def _list_of(check: Check, length: int | None = None) -> Check:
    def is_one(value: Any) -> bool:
        return isinstance(value, list) and len(value) == (length or len(value)) and all(map(check, value))

    return is_one


def _row(*checks: Check) -> Check:
    def is_one(value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) == len(checks)
            and all(c(v) for c, v in zip(checks, value, strict=True))
        )

    return is_one


_numbers, _names = _list_of(_number), _list_of(_text)
_PRUNED: dict[str, Check] = {
    "kept": _number,
    "total": _number,
    "empty_layers": _names,
    "layers": _list_of(_row(_text, _number, _number)),
}
_TRAINED: dict[str, Check] = {"accuracy": _number, "best_accuracy": _number, "history": _list_of(_numbers)}
#: what is drawn of a result, by what was measured; all other numbers in it are finite too
RESULTS: dict[str, dict[str, Check]] = {
    "accuracy": {**_TRAINED, **_PRUNED},
    "masks": {**_PRUNED, "neuron_sparsity": _list_of(_number, 101), "effective": _number},
    "cuts": {**_PRUNED, "prune_sizes": _numbers, "cut_sizes": _numbers},
    "structure": {
        **_PRUNED,
        "effective": _number,
        "flops": _number,
        "sparse_flops": _number,
        "log10_path_norm": _number_or_none,
    },
    "scores": {"layers": _list_of(_row(_number, _number)), "into": _numbers, "out": _numbers},
    "limit": {"critical_log10_compression": _number, "max_log10_compression": _number, "first_empty": _names},
    "magnitudes": {**_TRAINED, "sizes": _numbers, "before": _numbers, "after": _numbers},
}
#: lists of one length
_ALIKE = {"scores": ("into", "out"), "cuts": ("prune_sizes", "cut_sizes"), "magnitudes": ("sizes", "before", "after")}
_ORIGIN: dict[str, Check] = {
    "started": _text,
    "seconds": lambda value: isinstance(value, dict) and all(map(_number, value.values())) and "all" in value,
    "device": _text,
    "data": _text_or_none,
    "git": _text_or_none,
    "versions": lambda value: isinstance(value, dict),
}


def fault_in(record: Any) -> str | None:
    """The reason why a record cannot be drawn; ``None`` if it can.

    Example:
        >>> fault_in({"settings": {"measure": "limit"}, "result": {}, "origin": {}})
        'result: no critical_log10_compression, max_log10_compression, first_empty'
    """
    if not isinstance(record, dict):
        return "no record"
    parts = {part: record.get(part) for part in ("settings", "result", "origin")}
    missing = [part for part, value in parts.items() if not isinstance(value, dict)]
    if missing:
        return f"no {', '.join(missing)}"
    measure = record["settings"].get("measure")
    wanted = RESULTS.get(measure) if isinstance(measure, str) else None
    if wanted is None:
        return f"settings: no measure of this name: {measure!r}"
    for part, checks in (("result", wanted), ("origin", _ORIGIN)):
        found = record[part]
        if absent := [key for key in checks if key not in found]:
            return f"{part}: no {', '.join(absent)}"
        if wrong := [key for key, check in checks.items() if not check(found[key])]:
            return f"{part}: {', '.join(wrong)} not as expected"
    if len({len(record["result"][key]) for key in _ALIKE.get(measure, ())}) > 1:
        return f"result: {', '.join(_ALIKE[measure])} of different lengths"
    return None if _all_finite(record) else "a number that is not finite"


def _all_finite(record: Any) -> bool:
    waiting = [record]
    while waiting:
        value = waiting.pop()
        if isinstance(value, float) and not math.isfinite(value):
            return False
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return True
