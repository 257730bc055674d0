"""The reference: every public name is in it, with all that a docstring is to have, and the site's checks can fail."""

from __future__ import annotations

import importlib
import json
import re
import zlib
from pathlib import Path

import inventories
import public
import pytest

from torch_synflow import prune
from torch_synflow.flow.surrogate import operations as operations_by_name

ROOT = Path(__file__).parents[2]

ENTRY = re.compile(r"^\.\. (?:py:)?(?:current)?module:: (\S+)$|^\.\. (?:auto|py:)\w+:: (\S+)$", re.M)


def in_the_reference() -> set[str]:
    """The full names that the pages of docs/reference document."""
    names = set()
    for page in (ROOT / "docs" / "reference").glob("*.rst"):
        module = ""
        for changed, name in ENTRY.findall(page.read_text()):
            module = changed or module
            if name:
                names.add(name if name.startswith("torch_synflow.") else f"{module}.{name}")
    return names


def test_every_public_name_is_in_the_reference() -> None:
    assert public.undocumented(in_the_reference()) == []


@pytest.mark.parametrize("name", sorted(public.public_names()))
def test_a_docstring_has_all_parts(name: str) -> None:
    assert public.lacking(public.public_names()[name]) == []


def test_a_name_that_is_left_out_is_found() -> None:
    there = in_the_reference() - {"torch_synflow.prune.uniform"}
    assert public.undocumented(there) == ["torch_synflow.prune.uniform"]


def test_an_alias_that_is_left_out_is_found() -> None:
    there = in_the_reference() - {"torch_synflow.prune.Parameters"}
    assert public.undocumented(there) == ["torch_synflow.prune.Parameters"]


def test_a_docstring_without_parts_is_found() -> None:
    def bare(amount: float) -> float:
        return amount

    class NewUnstructured(prune.SaliencyUnstructured):
        """A method."""

    sentence, argument, returned, example = public.lacking(bare)
    assert "first line" in sentence
    assert (argument, returned, example) == ("argument amount", "Returns", "an example")
    assert public.lacking(NewUnstructured) == [".. math::", "Source:", "Example:"]


def test_an_inventory_has_the_header_and_the_lines_that_intersphinx_reads(tmp_path: Path) -> None:
    mapping = inventories.made(ROOT / "docs" / "inventories", tmp_path)
    address, file = mapping["torch"]
    *header, body = Path(file).read_bytes().split(b"\n", 4)
    assert address == "https://docs.pytorch.org/docs/stable/"
    assert header[0] == b"# Sphinx inventory version 2"
    assert b"zlib" in header[3]
    assert "torch.Tensor py:class 1 tensors.html#$ -" in zlib.decompress(body).decode().splitlines()


def test_every_operation_with_a_reading_has_one_that_says_what_it_is() -> None:
    for name, reading in {**operations_by_name.SURROGATES, **operations_by_name.DECOMPOSED}.items():
        assert (reading.__doc__ or "").strip(), name


@pytest.mark.parametrize(
    "name",
    [
        "speed",
        "overlaps",
        "data_methods",
        "throughput",
        "architectures",
        "pruned_training",
        "survey timm",
        "survey reasons",
        "smaller",
    ],
)
def test_the_tables_of_the_performance_page_are_made_of_the_results(name: str) -> None:
    pytest.importorskip("sphinx")
    measured = importlib.import_module("measured")
    make, file = measured.TABLES[name]
    (header, *rows), where = make(json.loads((measured.RESULTS / f"{file}.json").read_text()))
    assert rows
    assert {len(row) for row in rows} == {len(header)}
    assert "torch" in where
