"""`make paint`: how long a new browser waits for the first paint of each page, and what each page weighs.

A real worker with simulated payments, beside it Debian's Chromium with empty caches for each visit. First contentful
paint is the browser's own measure (W3C Paint Timing): milliseconds from when it began to go to the address until
something of the page could be seen. Every page is visited VISITS times, in turn, so that a slow moment of the machine
meets all of them. The table is Markdown, for docs/console.md.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from playwright.async_api import Browser, async_playwright

from app.pages.navigation import PAGES
from bench import machine
from bench.progress import Progress
from tests.browser.complaints import new_visitor
from tests.browser.scene import TOKEN, Scene, playing
from tests.browser.test_all_pages import CONSOLE, Weight, address
from tests.servers import needed

#: Resolves to milliseconds; nothing can be painted after the page is gone, so it waits for as long as that takes.
FIRST_PAINT = """() => new Promise((resolve) => new PerformanceObserver((list) => {
  for (const entry of list.getEntriesByName("first-contentful-paint")) resolve(entry.startTime);
}).observe({type: "paint", buffered: true}))"""


class Visit(NamedTuple):
    """One visit. paint_ms: until the first contentful paint. nbytes: what was loaded, compressed."""

    paint_ms: float
    nbytes: int
    requests: int


async def visit(browser: Browser, bank: Scene, path: str) -> Visit:
    """Go to a page with a browser that has nothing of it yet, signed in."""
    async with new_visitor(browser, bank.url) as visitor:
        await visitor.request.post("/sign-in", form={"token": TOKEN})
        page = await visitor.new_page()
        weight = Weight(page)
        await page.goto(await address(bank, path))
        paint_ms = float(await page.evaluate(FIRST_PAINT))
        await page.wait_for_load_state("load")
        return Visit(paint_ms, await weight.total(), len(weight.answers))


def table(visits: dict[str, Sequence[Visit]]) -> str:
    """Return the visits as a table in Markdown, the slowest page first."""
    rows = sorted(visits.items(), key=lambda row: -median(one.paint_ms for one in row[1]))
    return "\n".join(
        [
            "| page | first paint, ms: median | longest | KiB, compressed | requests |",
            "|---|---|---|---|---|",
            *(
                f"| `{path}` | {median(one.paint_ms for one in some):.0f} | {max(one.paint_ms for one in some):.0f} "
                f"| {max(one.nbytes for one in some) / 1024:.0f} | {max(one.requests for one in some)} |"
                for path, some in rows
            ),
        ]
    )


async def main() -> None:
    """Visit all pages, or those whose paths are given."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.paint", description=__doc__)
    parser.add_argument("paths", nargs="*", help="pages to visit (default: all)")
    parser.add_argument("--visits", type=int, default=5, help="how often each is visited (default: %(default)s)")
    options = parser.parse_args()
    progress = Progress(sys.stderr)
    visits: dict[str, list[Visit]] = {path: [] for path in options.paths or dict.fromkeys([*CONSOLE, *PAGES])}
    with tempfile.TemporaryDirectory(prefix="pelton-paint-") as directory:
        async with playing(Path(directory)) as bank, async_playwright() as playwright:
            chromium = needed("chromium", "chromium")
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            await visit(browser, bank, next(iter(visits)))  # the browser's own start is none of ours
            for turn in range(options.visits):
                progress.step(f"visit {turn + 1} of {options.visits} to {len(visits)} pages")
                for path, seen in visits.items():
                    seen.append(await visit(browser, bank, path))
            await browser.close()
    print(f"{machine.describe()}, Chromium of Debian, {options.visits} visits to each page.\n")
    print(table(visits))


if __name__ == "__main__":
    asyncio.run(main())
