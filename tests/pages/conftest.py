"""One browser for all tests of this folder, and the pages, each made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.pages import made
from tests.pages.browser import executable, why_none


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium by Playwright."""
    if why_none():
        pytest.skip(str(why_none()))
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Without a sandbox of its own it also runs as root, as it must where tests are run so.
        found = playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Each page of `made.PAGES` by name."""
    folder = tmp_path_factory.mktemp("pages")
    return {name: make(folder / name) for name, make in made.PAGES.items()}
