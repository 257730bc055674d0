"""Addresses of torch's and Python's documentation, without a network: inventories made from ``docs/inventories``.

Each line of ``torch.txt`` and ``python.txt`` is ``name role address``; ``$`` at the end of an address stands for the
name. ``intersphinx`` reads the files that this makes of them, as it would read those of the sites.
"""

from __future__ import annotations

import zlib
from pathlib import Path

SITES = {"torch": "https://docs.pytorch.org/docs/stable/", "python": "https://docs.python.org/3/"}


def made(source: Path, target: Path) -> dict[str, tuple[str, str]]:
    """Write ``target/<site>.inv`` for each list, and return what ``intersphinx_mapping`` is to be."""
    target.mkdir(parents=True, exist_ok=True)
    mapping = {}
    for site, address in SITES.items():
        lines = (source / f"{site}.txt").read_text().splitlines()
        entries = [line.split() for line in lines if line and not line.startswith("#")]
        body = "".join(f"{name} {role} 1 {uri} -\n" for name, role, uri in entries)
        header = f"# Sphinx inventory version 2\n# Project: {site}\n# Version: \n# The rest is compressed by zlib.\n"
        file = target / f"{site}.inv"
        file.write_bytes(header.encode() + zlib.compress(body.encode()))
        mapping[site] = (address, str(file))
    return mapping
