"""The operations of the installed torch that have no surrogate are those of a committed list.

The flow runs such an operation as it is. That is right where it is homogeneous; elsewhere it is wrong, without an error
where scores stay positive and finite. torch adds operations with each version, so ``operations_without_surrogate.txt``
says of which it is.

On that version or a newer one, nightly builds of it included, any difference fails: an upgrade is looked at when it
arrives, and one command rewrites the list. An older torch has operations that have gone since and lacks new ones, which
says nothing about the tables; there only the other test runs, that nothing on the list has a surrogate.
"""

from __future__ import annotations

import inspect
import warnings
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import get_overridable_functions

from torch_synflow.flow.surrogate import operations

LIST = Path(__file__).with_name("operations_without_surrogate.txt")
COMMAND = "python -m tests.flow.surrogate.test_operations_of_torch"


def of_torch() -> set[str]:
    """The names of the operations that a model can call: those that torch lets modes see, and all functional ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of attributes that torch is about to remove
        seen = [function for functions in get_overridable_functions().values() for function in functions]
    homes = {"torch", "torch._C._nn", F.__name__}  # not what it imports to check arguments
    functional = [
        value
        for name, value in vars(F).items()
        if inspect.isroutine(value) and value.__module__ in homes and not name.startswith("_")
    ]
    return {operations.name_of(function) for function in seen + functional}


def without_surrogate(names: set[str]) -> set[str]:
    """Those that the flow runs as they are without knowing them."""
    return {name for name in names if not (operations.known(name) or name in operations.DECOMPOSED)}


def listed() -> tuple[str, set[str]]:
    """The version of torch that the list is of, and its names."""
    head, *lines = LIST.read_text().splitlines()
    return head.split()[4].rstrip(":"), {line for line in lines if not line.startswith("#")}


def difference() -> list[str]:
    """What is new (+) and what is gone (-) compared with the list."""
    found, (_, there) = without_surrogate(of_torch()), listed()
    return [f"{'+' if name in found else '-'} {name}" for name in sorted(found ^ there)]


def rewrite() -> None:
    """Write the list of the installed torch."""
    version = torch.__version__.partition("+")[0]
    head = [f"# Operations of torch {version}: those without a surrogate, which the flow runs as they are."]
    LIST.write_text("\n".join([*head, f"# Rewritten by: {COMMAND}", *sorted(without_surrogate(of_torch()))]) + "\n")


def test_nothing_on_the_list_has_a_surrogate() -> None:
    names = listed()[1]
    assert len(names) > 100
    assert sorted(names - without_surrogate(names)) == [], f"these have a surrogate now; rewrite the list: {COMMAND}"


@pytest.mark.skipif(torch.__version__ < listed()[0], reason="the list is of a newer torch")
def test_what_torch_has_without_a_surrogate_is_listed() -> None:
    changed = difference()
    assert not changed, "\n".join(
        [
            f"torch {torch.__version__} has other operations without a surrogate than {listed()[0]}:",
            *changed,
            "Those that models call and that are not homogeneous need a surrogate. Then rewrite the list:",
            f"  {COMMAND}",
        ]
    )


def test_an_operation_without_a_surrogate_is_found() -> None:
    assert {"sin", "det"} <= without_surrogate(of_torch())
    assert not {"relu", "gelu", "conv2d", "add", "scaled_dot_product_attention", "lstm"} & without_surrogate(of_torch())


if __name__ == "__main__":
    print("\n".join(difference() or ["no difference"]))
    rewrite()
