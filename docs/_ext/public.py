"""Which names are public, and the check that each has its place in the reference: a missing one fails the build."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any, get_origin

import torch.nn.utils.prune as torch_prune

import torch_synflow
from torch_synflow import prune


def public_names() -> dict[str, Any]:
    """Every public function and class by the name that users write, those that are torch's own left out."""
    exported = [getattr(torch_synflow, name) for name in torch_synflow.__all__]
    modules = [torch_synflow, *filter(inspect.ismodule, exported)]
    names = {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in modules
        for name in module.__all__
        if not hasattr(torch_prune, name)
    }
    return {name: value for name, value in names.items() if inspect.isclass(value) or inspect.isfunction(value)}


def aliases() -> dict[str, Any]:
    """Every public name of a type that annotations use, as ``Parameters``."""
    values = {
        f"{prune.__name__}.{name}": getattr(prune, name) for name in prune.__all__ if not hasattr(torch_prune, name)
    }
    return {name: value for name, value in values.items() if get_origin(value) is not None}


def undocumented(documented: Iterable[str]) -> list[str]:
    """The public names whose object has no entry in the reference under any of its names."""
    documented = set(documented)
    names = public_names() | aliases()
    there = [value for name, value in names.items() if name in documented]
    return sorted(name for name, value in names.items() if not any(value is other for other in there))


def lacking(value: Any) -> list[str]:
    """The parts that the docstring of a public name lacks."""
    text = inspect.getdoc(value) or ""
    lines = {line.strip() for line in text.splitlines()}
    found = []
    if not text.splitlines()[:1] or not text.splitlines()[0].rstrip().endswith((".", "?")):
        found.append("a first line that is a sentence")
    if inspect.isfunction(value):
        arguments = [name for name in inspect.signature(value).parameters if name[0] != "_"]
        found += [
            f"argument {name}" for name in arguments if not any(li.lstrip("*").startswith(f"{name}:") for li in lines)
        ]
        returned = inspect.signature(value).return_annotation
        if returned not in (None, "None") and not any(line.startswith(("Returns:", ".. math::")) for line in lines):
            found.append("Returns")
        if "Example:" not in lines or ">>>" not in text:
            found.append("an example")
    elif isinstance(value, type) and issubclass(value, prune.SaliencyUnstructured):
        if value is not prune.SaliencyUnstructured:
            found += [word for word in (".. math::", "Source:", "Example:") if word not in text]
    elif "Attributes:" not in lines and "Example:" not in lines:
        found.append("Attributes or an example")
    return found


def _check(app: Any, env: Any) -> None:
    from sphinx.errors import ExtensionError

    missing = undocumented(env.get_domain("py").objects)
    if missing:
        raise ExtensionError(f"public names that docs/reference leaves out: {', '.join(missing)}")
    faults = [f"{name} lacks {', '.join(lacks)}" for name, value in public_names().items() if (lacks := lacking(value))]
    if faults:
        raise ExtensionError(f"docstrings: {'; '.join(sorted(faults))}")


def setup(app: Any) -> dict[str, bool]:
    """Check once all pages are read; let ``Parameters | None`` be written as that."""
    from sphinx.util.inspect import TypeAliasForwardRef

    # of an alias within a union autodoc writes what ``repr`` gives, not the name that it has for one alone
    TypeAliasForwardRef.__repr__ = lambda self: self.name  # type: ignore[method-assign]
    app.connect("env-check-consistency", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
