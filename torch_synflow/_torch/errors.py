"""Torch's error messages, for errors that only their text distinguishes."""

from __future__ import annotations

import re


def refused_parameter(error: Exception) -> str:
    """The name of the parameter for which a module refuses a plain tensor; empty for any other error."""
    found = re.search(r"cannot assign '.*' object to parameter '(\w+)'", str(error))
    return found[1] if found else ""
