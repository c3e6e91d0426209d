"""`make screenshots`: takes the pictures of the web view that docs/ shows, of a bank under simulated traffic."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

from playwright.async_api import Browser, async_playwright, expect

from tests.browser.scene import TOKEN, Scene, playing
from tests.patience import PATIENCE_S
from tests.servers import needed

IMAGES = Path(__file__).parents[2] / "docs" / "images"
BYTES_MAX = 150 * 1024
SIZES = {"desktop": (1100, 780), "phone": (390, 844)}


class Shot(NamedTuple):
    """One picture. name: of the file, behind "console-"."""

    name: str
    path: str
    size: Literal["desktop", "phone"] = "desktop"
    scheme: Literal["light", "dark"] = "light"


SHOTS = (
    Shot("home", "/"),
    Shot("home-dark", "/", "desktop", "dark"),
    Shot("home-phone", "/", "phone"),
    Shot("home-phone-dark", "/", "phone", "dark"),
    Shot("topology", "/topology"),
    Shot("topology-agent", "/topology?around=app.agents.fraud.fraud", "desktop", "dark"),
    Shot("topology-phone", "/topology?around=app.agents.fraud.fraud", "phone"),
)


async def main() -> None:
    """Take all pictures, or those whose names are given."""
    wanted = [shot for shot in SHOTS if shot.name in sys.argv[1:] or len(sys.argv) == 1]
    with tempfile.TemporaryDirectory(prefix="pelton-screenshots-") as directory:
        async with playing(Path(directory), harmless=True) as bank, async_playwright() as playwright:
            words = ("simulate", "--rate", "200", "--accounts", "1000", "--reviews", "2", "--count", "20000")
            traffic = bank.start_command(*words)
            try:
                path = needed("chromium", "chromium")
                browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
                await _grown(bank)
                for shot in wanted:
                    await _take(browser, bank, shot)
                await browser.close()
            finally:
                traffic.terminate()
                traffic.wait(PATIENCE_S)


async def _grown(bank: Scene) -> None:
    """Wait until there are trends to see: a minute of them."""
    await bank.until_answer("/api/console/home", lambda told: len(told["throughput"]) >= 30 and told["rate"] > 50)


async def _take(browser: Browser, bank: Scene, shot: Shot) -> None:
    width, height = SIZES[shot.size]
    context = await browser.new_context(
        base_url=bank.url,
        viewport={"width": width, "height": height},
        color_scheme=shot.scheme,
        reduced_motion="reduce",
    )
    await context.request.post("/sign-in", form={"token": TOKEN})
    page = await context.new_page()
    await page.goto(shot.path)
    await expect(page.locator("#state")).to_have_text("live", timeout=PATIENCE_S * 1000)
    file = IMAGES / f"console-{shot.name}.png"
    await page.screenshot(path=file)
    assert file.stat().st_size < BYTES_MAX, f"{file} has {file.stat().st_size} bytes"
    print(file, file.stat().st_size)
    await context.close()


if __name__ == "__main__":
    asyncio.run(main())
