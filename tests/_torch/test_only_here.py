"""Nothing but ``torch_synflow/_torch`` names what is private in torch.

What an upgrade takes away then fails where a shim imports it, in a file that says what it was for.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "torch_synflow"
SHIMS = PACKAGE / "_torch"
FILES = {str(path.relative_to(ROOT)): ast.parse(path.read_text()) for path in sorted(PACKAGE.rglob("*.py"))}
ELSEWHERE = [name for name in FILES if SHIMS not in (ROOT / name).parents]
#: public by their spelling, or written as text, but without documentation
UNSTABLE = {"custom_function_call", "_orig_mod", "fp32_precision", "NonDynamicallyQuantizableLinear"}
#: private attributes of torch's objects that the package reads; ``torch_synflow/_torch/__init__.py`` says why
CONTAINERS = {
    "_parameters", "_buffers", "_modules", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks",
    "_pruning_methods", "_tensor_name",
}  # fmt: skip
#: of Lightning, which one file reads: the launcher whose processes end with ``fit``
OF_LIGHTNING = {"torch_synflow/lightning/installed.py": ["part('.strategies.launchers')._MultiProcessingLauncher"]}


def private(name: str) -> bool:
    return any(part.startswith("_") and not part.endswith("__") for part in name.split("."))


def imports_of_torch(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Each module of torch that is imported from, and the name that is, empty for the module itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.partition(".")[0] == "torch")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "torch":
            yield from ((node.module or "", alias.name) for alias in node.names)


def names_of_torch(tree: ast.AST) -> set[str]:
    """The names that stand for torch or a part of it."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    return {
        (alias.asname or alias.name).partition(".")[0]
        for node in nodes
        for alias in node.names
        if (getattr(node, "module", "") or alias.name).partition(".")[0] == "torch"
    }


def own_attributes() -> set[str]:
    """The private attributes, methods and functions that the package itself defines; of objects those of ``self``."""
    found = {"_synaptic_label", "_synaptic_bias", "_synaptic_blocked"}  # of tensors, put there by the flow
    for node in (node for tree in FILES.values() for node in ast.walk(tree)):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            found.add(node.attr)
    return found


OWN = own_attributes()


def violations(tree: ast.AST) -> list[str]:
    """What a file names of torch's private things."""
    found = [f"{module}.{name}" for module, name in imports_of_torch(tree) if private(f"{module}.{name}")]
    torchs = names_of_torch(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            root = ast.unparse(node).partition(".")[0]
            ours = node.attr in OWN or root in ("self", "cls")
            if private(node.attr) and (root in torchs or (not ours and node.attr not in CONTAINERS)):
                found.append(ast.unparse(node))
        names = {getattr(node, "attr", None), getattr(node, "id", None), getattr(node, "name", None)}
        text = {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()
        found += sorted(UNSTABLE & (names | text))
    return found


@pytest.mark.parametrize("file", ELSEWHERE)
def test_nothing_private_of_torch_is_named_outside_of_the_shims(file: str) -> None:
    found = violations(FILES[file])
    if file in OF_LIGHTNING:
        assert found == OF_LIGHTNING[file]
        return
    assert not found, f"{file} names what torch may change, {found}: let it import a shim of torch_synflow/_torch"


@pytest.mark.parametrize(
    "text",
    [
        "import torch._dynamo",
        "from torch.utils._pytree import tree_map",
        "from torch.nn.modules.conv import _ConvNd",
        "import torch\ntorch._C._functorch.get_unwrapped(x)",
        "import torch.nn.functional as F\nF._canonical_mask(x)",
        "from torch import nn\nnn.modules.conv._ConvNd",
        "tensor._version",
        "getattr(model, '_orig_mod')",
        "torch.backends.fp32_precision",
        "from torch.nn.modules.linear import NonDynamicallyQuantizableLinear",
    ],
)
def test_a_private_name_is_found(text: str) -> None:
    assert violations(ast.parse(text))
