"""Every page links to every other, and says which one it is."""

from __future__ import annotations

import pytest

from app import app
from app.pages.navigation import PAGES
from pelton.testing import Driver


def test_every_page_has_the_frame_and_its_place_in_it() -> None:
    with Driver(app) as driver:
        for path, name in PAGES.items():
            answer = driver.request("GET", path, headers={"Accept": "text/html"})
            assert answer.status == 200, path
            assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
            assert answer.text.count("<h1>") == 1
            assert answer.text.count("aria-current") == 1
            assert f'<a href="{path}" aria-current="page">{name}</a>' in answer.text
            assert all(f'<a href="{other}"' in answer.text for other in (*PAGES, "/", "/topology", "/tables"))


@pytest.mark.parametrize("file", ["payments.js", "page.css"])
def test_the_files_of_the_pages(file: str) -> None:
    with Driver(app) as driver:
        assert driver.request("GET", f"/static/bank/{file}").status == 200
        for none in ("payments.html", "../navigation.py", "..%2Fnavigation.py", "nothing.js"):
            assert driver.request("GET", f"/static/bank/{none}").status == 404
