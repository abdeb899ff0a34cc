"""The reference in a browser, opened as a file: it needs no network, and its search works."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


def test_it_opens_without_a_network_and_finds_a_name(page: Page, reference: Path, artifact) -> None:
    asked: list[str] = []
    wrong: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto((reference / "index.html").as_uri())
    artifact(page, "reference-home")

    page.get_by_label("Search", exact=True).first.click()
    page.keyboard.type("SeFa")
    found = page.locator(".md-search-result__link", has_text="SeFa").first
    found.wait_for()
    artifact(page, "reference-search")
    found.click()
    page.wait_for_url("**/*.html*")

    page.goto((reference / "tasks.html").as_uri())
    page.get_by_role("link", name="sb.SeFa").first.click()
    page.get_by_role("heading", name="SeFa").last.wait_for()
    artifact(page, "reference-sefa")
    assert wrong == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "about:"))] == []


def test_it_is_dark_where_the_system_is(page: Page, reference: Path) -> None:
    page.goto((reference / "index.html").as_uri())
    for scheme, name in (("dark", "slate"), ("light", "default")):
        page.emulate_media(color_scheme=scheme)
        page.locator(f'body[data-md-color-scheme="{name}"]').wait_for()
