"""The built site in Chromium: search, the theme switch, notebooks, sizes of pages and code. ``make test-browser``."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.docs.test_search import WANTED

pytestmark = pytest.mark.browser
SITE = Path(__file__).parents[2] / "docs" / "_build" / "html"
PAGES = sorted(str(page.relative_to(SITE)) for page in SITE.rglob("*.html") if "_modules" not in page.parts)
#: lines of code that do not fit into their box
CUT = "[...document.querySelectorAll('pre')].filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.innerText)"
#: pixels of a page at the width of a desktop
TALLEST = 8000
SIZES = {"desktop": (1400, 900), "phone": (390, 844)}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    assert (SITE / "index.html").exists(), "run `make docs` first"
    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium, or what playwright has installed."""
    playwright = pytest.importorskip("playwright.sync_api")
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("query", ["GraSP", "class_balanced_batch", "layer collapse"])
def test_search_finds(query: str, site: str, browser: Any) -> None:
    page = browser.new_page()
    page.goto(f"{site}/index.html")
    page.fill("input[name=q]", query)
    page.press("input[name=q]", "Enter")
    page.wait_for_selector("#search-results ul.search li a")
    found = " ".join(page.locator("#search-results").all_inner_texts())
    assert query.casefold() in found.casefold()
    page.close()


@pytest.mark.parametrize(("query", "answer"), WANTED.items())
def test_search_leads_to_the_page_that_answers(query: str, answer: str, site: str, browser: Any) -> None:
    page = browser.new_page()
    page.goto(f"{site}/search.html?q={query}")
    page.wait_for_selector("#search-results ul.search li a")
    page.wait_for_timeout(500)  # results come one by one
    links = page.eval_on_selector_all("#search-results ul.search > li > a", "found => found.map(a => a.href)")
    assert any(f"/{answer}.html" in link for link in links[:5]), links[:5]
    page.close()


def test_a_method_is_found_by_its_name_in_the_reference(site: str, browser: Any) -> None:
    page = browser.new_page()
    page.goto(f"{site}/search.html?q=SynFlowUnstructured")
    page.click("#search-results a[href*='reference/methods.html#torch_synflow.prune.SynFlowUnstructured']")
    assert page.locator("[id='torch_synflow.prune.SynFlowUnstructured']").is_visible()
    page.close()


def test_the_theme_switch_changes_the_colours(site: str, browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme="light")
    page.goto(f"{site}/index.html")

    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    seen = {}
    for _ in range(3):
        seen[page.evaluate("document.body.dataset.theme")] = background()
        page.click("button.theme-toggle >> visible=true")
    assert set(seen) == {"auto", "light", "dark"}
    assert seen["auto"] == seen["light"] != seen["dark"]
    page.goto(f"{site}/quickstart.html")
    assert page.evaluate("document.body.dataset.theme") == "auto"  # after three clicks, and remembered
    page.close()


@pytest.mark.parametrize("name", [name for name in PAGES if name.startswith("tutorials/") and "index" not in name])
def test_a_tutorial_offers_its_notebook(name: str, site: str, browser: Any) -> None:
    page = browser.new_page()
    page.goto(f"{site}/{name}")
    notebook = page.locator("a[href$='.ipynb']").first.get_attribute("href")
    cells = page.request.get(page.evaluate("link => new URL(link, document.baseURI).href", notebook)).json()["cells"]
    assert {cell["cell_type"] for cell in cells} == {"code", "markdown"}
    assert page.locator(".sphx-glr-script-out").count() > 0
    page.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PAGES)
def test_no_page_is_wider_than_the_screen_and_no_code_is_cut(name: str, size: str, site: str, browser: Any) -> None:
    width, height = SIZES[size]
    page = browser.new_page(viewport={"width": width, "height": height})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{site}/{name}", wait_until="networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if size == "desktop":
        assert page.evaluate(CUT) == []
        assert page.evaluate("document.documentElement.scrollHeight") <= TALLEST
    assert page.locator("mjx-merror").count() == 0
    assert errors == []
    page.close()
