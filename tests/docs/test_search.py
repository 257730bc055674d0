"""Words that people search for lead to the page that answers: read from the search index of the built site."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"
#: what is typed, and the page that is to be among the first
WANTED = {
    "onnx": "saving",
    "deploy": "saving",
    "save": "saving",
    "load": "saving",
    "freeze": "faq",
    "exclude layer": "guide",
    "huggingface": "networks",
    "timm": "networks",
    "kwargs": "guide",
    "pandas": "guide",
    "faster": "smaller",
    "smaller": "smaller",
    "GPU": "performance",
    "DDP": "parallel",
    "FSDP": "parallel",
}


def source(page: str) -> str:
    return (Path(__file__).parents[2] / "docs" / f"{page}.rst").read_text()


@pytest.mark.parametrize(("query", "page"), WANTED.items())
def test_a_page_has_the_word_in_a_title_or_index_entry(query: str, page: str) -> None:
    """What Sphinx ranks above words in the text."""
    text = source(page)
    titles = re.findall(r"^(\S.*)\n(?:=+|-+|~+)$", text, re.M)
    entries = re.findall(r"^   (?:! )?single: (.+)$", text, re.M)
    assert any(query.casefold() in line.casefold() for line in (*titles, *entries))


@pytest.mark.browser
@pytest.mark.parametrize(("query", "page"), WANTED.items())
def test_the_index_of_the_built_site_leads_there(query: str, page: str) -> None:
    text = (SITE / "searchindex.js").read_text()
    index: dict[str, Any] = json.loads(text[text.index("(") + 1 : text.rindex(")")])
    number = index["docnames"].index(page)
    entries = {entry.casefold(): places for entry, places in index["indexentries"].items()}
    titles = {title.casefold(): places for title, places in index["alltitles"].items()}
    found = [
        document
        for words in (entries, titles)
        for words_of, places in words.items()
        if query.casefold() in words_of
        for document, *_ in places
    ]
    assert number in found
