"""The machine and the versions of a file of results, as a table says them."""

from __future__ import annotations

from typing import Any


def where(found: dict[str, Any]) -> str:
    """The device, the number of threads, and the version of torch."""
    versions = found["versions"]
    threads = versions.get("threads", found.get("threads"))
    return f"{found['device']}, {threads} thread{'s' if threads != 1 else ''}, torch {versions['torch']}"
