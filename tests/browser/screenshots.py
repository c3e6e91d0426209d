"""`make screenshots`: takes the pictures of the web view that docs/ shows, of a bank under simulated traffic.

ARGS="bank-chat console-sql" takes only those. They are listed in `tests.browser.shots`.
"""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from playwright.async_api import Browser, async_playwright, expect

from app.services import SERVICES
from pelton.batch import OutgoingBatch
from tests.app.bank_process import opened
from tests.browser.scene import TOKEN, Scene, playing
from tests.browser.shots import LETTER, OF_THE_BANK, OF_THE_PAST, SIZES, Shot
from tests.lifecycle import worker_processes
from tests.patience import PATIENCE_S
from tests.servers import needed

IMAGES = Path(__file__).parents[2] / "docs" / "images"
BYTES_MAX = 150 * 1024
#: A minute, in seconds: 2025-06-15 15:07.
NOON = 1_750_000_020.0
#: Traffic while the pictures are taken; what came before is in `_history`.
TRAFFIC = (
    (
        "simulate",
        *("--rate", "25", "--accounts", "1000", "--requests", "10", "--customers", "12"),
        *("--reviews", "2", "--questions", "1", "--feedback", "0.5", "--count", "60000"),
    ),
    ("simulate-orders", "--rate", "1"),
    ("simulate-models", "--every", "15"),
)

#: What clients send in place of reviews.
FAULTS = (
    b'{"id": "r-%d", "product": "savings plan", "text": "fine", "ts": 1767571200, "stars": "five"}',
    b'{"id": "r-%d", "text": "I like it", "ts": 1767571200}',
    b'{"id": "r-%d", "product": "credit card", "text": "fine", "ts": "yesterday"}',
    b"id=r-%d&product=credit+card&stars=4",
)
#: The address of a program, and what gives the number of one of its dead letters.
_Scene = tuple[str, Callable[[], Awaitable[str]]]


async def main() -> None:
    """Take all pictures, or those whose names are given."""
    wanted = set(sys.argv[1:])
    unknown = wanted - {shot.name for shot in (*OF_THE_BANK, *OF_THE_PAST)}
    assert not unknown, f"there are no such pictures: {sorted(unknown)}"
    expect.set_options(timeout=PATIENCE_S * 1000)
    async with async_playwright() as playwright:
        path = needed("chromium", "chromium")
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for shots, scene in ((OF_THE_PAST, _past), (OF_THE_BANK, _bank)):
            chosen = [shot for shot in shots if shot.name in wanted or not wanted]
            if not chosen:
                continue
            with tempfile.TemporaryDirectory(prefix="pelton-screenshots-") as directory:
                async with scene(Path(directory)) as (url, letter):
                    for shot in chosen:
                        await _take(browser, url, shot, letter)
        await browser.close()


# -- what there is to see ----------------------------------------------------------------------------------


@asynccontextmanager
async def _bank(directory: Path) -> AsyncIterator[_Scene]:
    """Run the bank with an hour of all its uses behind it, and traffic."""
    async with playing(directory, harmless=True) as bank:
        try:
            for service in SERVICES:
                bank.start_service(service)
            with _running(bank, TRAFFIC):
                await _history(bank)
                await bank.until_answer("/api/console/home", lambda told: len(told["throughput"]) >= 30)
                await bank.until_answer("/api/chat/waiting", lambda told: told["waiting"])
                await bank.until_answer(
                    "/api/models", lambda told: any(len(one["versions"]) > 1 for one in told.values())
                )
                yield bank.url, lambda: _letter(bank)
        finally:
            for service in list(bank.services):
                bank.kill_service(service)


@contextmanager
def _running(bank: Scene, commands: Sequence[Sequence[str]]) -> Iterator[None]:
    running: list[subprocess.Popen[bytes]] = []
    try:
        running += [bank.start_command(*words) for words in commands]
        yield
    finally:
        for one in running:
            one.terminate()
        for one in running:
            one.wait(PATIENCE_S)


async def _history(bank: Scene) -> None:
    """Feed what has a past of its own: an hour of log lines and readings, and days of reviews."""
    hour_ago = f"{time.time() - 3600:.0f}"
    for words in (
        ("simulate-logs", "--speed", "0", "--rate", "0.3", "--count", "1080", "--start", hour_ago),
        (
            "simulate-telemetry",
            "--speed",
            "0",
            "--devices",
            "8",
            "--period",
            "20",
            "--count",
            "1440",
            "--start",
            hour_ago,
        ),
        ("simulate-reviews", "--rate", "0", "--count", "800"),
    ):
        await asyncio.to_thread(bank.command, *words)


async def _letter(bank: Scene) -> str:
    """Write records that fail, once, and return the number of a letter: not before, for all is well without them."""
    told = (await bank.get("/api/dlq/letters?limit=1"))[1]["letters"]
    if told:
        return str(told[0]["number"])
    drawn, now_ms = random.Random(2), int(time.time() * 1000)
    times = sorted(now_ms - drawn.randrange(3_600_000) for _ in range(90))
    values = [drawn.choice(FAULTS) % number for number in range(len(times))]
    async with opened(bank) as log:
        await log.append([OutgoingBatch("reviews", 0, [b"a client"] * len(values), [*values], times)])
    letters = await bank.until_answer("/api/dlq/letters?limit=1", lambda told: told["letters"])
    return str(letters["letters"][0]["number"])


@asynccontextmanager
async def _past(directory: Path) -> AsyncIterator[_Scene]:
    """Run a program whose tables have a history, with accounts that paid in the course of two hours."""
    broker = f"sqlite:///{directory / 'log.sqlite'}?synchronous=off"
    drawn = random.Random(1)
    accounts = [f"account-{number:03}" for number in range(40)]
    async with worker_processes.opened(broker, directory, "tests.lifecycle.querying_program", "QUERYING") as scene:
        scene.run = "payments"
        worker = scene.start()
        paid = [(one, minute) for minute in range(120) for one in accounts if drawn.random() < 0.06]
        records = [(one, {"amount": drawn.randint(5, 95), "at": NOON + 60 * minute}) for one, minute in paid]
        await scene.append("payments", 4, *records)
        total = sum(record["amount"] for _, record in records)
        await worker.until(
            "api/tables/balances?limit=1000",
            lambda status, answer: status == 200 and sum(row["value"] for row in answer["rows"]) == total,
        )
        yield f"http://127.0.0.1:{worker.port}", _no_letter


async def _no_letter() -> str:
    raise LookupError("no picture of this program is of dead letters")


# -- the pictures ------------------------------------------------------------------------------------------


async def _take(browser: Browser, url: str, shot: Shot, letter: Callable[[], Awaitable[str]]) -> None:
    path = shot.path.replace(LETTER, await letter()) if "/dlq" in shot.path else shot.path
    width, height = SIZES[shot.size]
    context = await browser.new_context(
        base_url=url,
        viewport={"width": width, "height": height},
        color_scheme=shot.scheme,
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_S * 1000)
    if shot.path != "/sign-in":
        await context.request.post("/sign-in", form={"token": TOKEN})
    page = await context.new_page()
    await page.goto(path)
    await shot.ready(page)
    file = IMAGES / f"{shot.name}.png"
    await page.screenshot(path=file)
    assert file.stat().st_size < BYTES_MAX, f"{file} has {file.stat().st_size} bytes"
    print(file, file.stat().st_size, flush=True)
    await context.close()


if __name__ == "__main__":
    asyncio.run(main())
