"""What torch's errors say, where nothing but their text tells them apart."""

from __future__ import annotations

import re


def refused_parameter(error: Exception) -> str:
    """The name of the parameter in whose place a module refuses a plain tensor, empty for any other error."""
    found = re.search(r"cannot assign '.*' object to parameter '(\w+)'", str(error))
    return found[1] if found else ""
