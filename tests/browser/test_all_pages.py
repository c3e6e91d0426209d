"""What holds for every page: hostile records stay text, everybody can read it, it is light, and it asks nobody else."""

from __future__ import annotations

import gzip
import re
from urllib.parse import quote

import pytest
from playwright.async_api import Error, Page, Response, expect

from app.pages.navigation import PAGES
from pelton.console.routes import ROUTES
from tests.browser.access import expect_accessible
from tests.browser.scene import HOSTILE, Scene

#: Stands for the number of a letter that there is.
LETTER = "NEWEST"
#: Of each kind of page one, or a few that differ.
CONSOLE = [
    "/",
    "/console",
    "/sign-in",
    "/topology",
    "/topology?around=app.agents.fraud.fraud&changelogs=1",
    "/tables",
    "/tables/profiles",
    "/tables/minutes",
    "/tables/alert_histories",
    "/tables/profiles/acc-00001",
    "/tables/minutes/acc-00001",
    "/tables/profiles/nobody",
    "/topics",
    "/topics/transactions",
    "/topics/reviews",
    "/topics/transactions/0/0",
    "/dlq",
    f"/dlq/{LETTER}",
    "/sql",
]
#: What one page may weigh, compressed, with all that it loads.
WEIGHT_MAX = 300 * 1024

#: Returns what of a record may have become markup: scripts in the page, handlers in attributes, addresses that run.
MARKUP_OF_RECORDS = """() => [...document.querySelectorAll("*")].filter((one) =>
  (one.localName === "script" && !one.src) || one.localName === "img" || one.localName === "iframe" ||
  [...one.attributes].some((attribute) => /^on/i.test(attribute.name) ||
    (["href", "src", "action"].includes(attribute.localName) && /^\\s*javascript:/i.test(attribute.value)))
).map((one) => one.outerHTML.slice(0, 200))"""


class Weight:
    """Adds up what a page loads, compressed. answers: those that came."""

    def __init__(self, page: Page) -> None:
        self.answers: list[Response] = []
        page.on("response", self._note)

    def _note(self, answer: Response) -> None:
        self.answers.append(answer)

    async def total(self) -> int:
        total = 0
        for answer in self.answers:
            if "event-stream" in answer.headers.get("content-type", "") or answer.status != 200:
                continue
            try:
                total += len(gzip.compress(await answer.body()))
            except Error:  # the page was left before all of it had come
                continue
        return total


async def address(bank: Scene, path: str) -> str:
    """Return a path with what is only known when the bank runs."""
    if LETTER not in path:
        return path
    _, told = await bank.get("/api/dlq/letters?limit=1")
    return path.replace(LETTER, told["letters"][0]["number"])


async def test_of_each_kind_of_page_one_is_looked_at() -> None:
    kinds = [path for method, path, _ in ROUTES if method == "GET" and not path.startswith(("/api/", "/static/"))]
    assert len(kinds) >= 12
    patterns = [re.compile(re.sub(r"\{[^}]+\}", "[^/]+", kind)) for kind in kinds]
    paths = [path.partition("?")[0] for path in CONSOLE]
    assert [one.pattern for one in patterns if not any(one.fullmatch(path) for path in paths)] == []


@pytest.mark.parametrize("path", [*CONSOLE, *PAGES])
async def test_a_page(page: Page, bank: Scene, path: str) -> None:
    weight = Weight(page)
    response = await page.goto(await address(bank, path))
    assert response is not None
    assert response.status == 200
    await expect(page.get_by_role("heading", level=1)).to_have_count(1)
    if await page.locator("script[type=module]").count() and "renew" not in await page.content():
        await expect(page.locator("#state")).not_to_have_text("connecting")
    assert await page.evaluate(MARKUP_OF_RECORDS) == []
    assert await page.title() != "owned"
    assert await weight.total() < WEIGHT_MAX
    await expect_accessible(page)


async def test_a_page_fits_a_phone(page: Page, bank: Scene) -> None:
    await page.set_viewport_size({"width": 390, "height": 844})
    for path in [*CONSOLE, *PAGES]:
        await page.goto(await address(bank, path))
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_words_in_an_address_stay_words(page: Page, provoked: list[str], text: str) -> None:
    provoked += ["status of 404", "status of 400"]
    for path in ("/topology?around=", "/sign-in?next=", "/topics/", "/tables/", "/tables/profiles?prefix="):
        await page.goto(path + quote(text, safe=""))
        assert await page.evaluate(MARKUP_OF_RECORDS) == []
        assert await page.title() != "owned"
