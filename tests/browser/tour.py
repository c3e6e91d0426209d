"""The tour: three workers, one of which is killed while somebody looks at a key that it has, and payments go on.

What pages say is noted each time that it changes, and held against what was true then. `tests/browser` takes the tour;
`make tour` takes it with pictures, and with ARGS="--headed --slow 1500" in a window, at a pace to follow.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Page, async_playwright, expect

from pelton.log.partitioner import partition_for
from tests.browser.complaints import Complaints
from tests.lifecycle.worker_processes import Scene, Worker, opened
from tests.patience import PATIENCE_S
from tests.servers import needed

__all__ = ["ACCOUNTS", "NOON", "PARTITIONS", "address", "numbered", "three_workers", "tour"]

PARTITIONS = 4
ACCOUNTS = [f"account-{number:03}" for number in range(60)]
#: A minute, in seconds.
NOON = 1_750_000_020.0
#: How long the group waits for a worker that says nothing: what is shown meanwhile stays long enough to be read.
SESSION = {"BROKER_SESSION_TIMEOUT": "20", "BROKER_HEARTBEAT_INTERVAL": "1"}
IMAGES = Path(__file__).parents[2] / "docs" / "images"
#: Of a payment while the tour lasts, and between two of them.
AMOUNT, PAUSE_S = 1, 0.25
FIRST = 5

#: What Home says when all is well, or was but for the dead letters that the tests made.
WELL = re.compile("^\\d+ workers?, |could not be processed")

#: Notes what a reader of Home sees each time that it changes: whether all is well but for the dead letters that the
#: tests made, the health line, and each worker's line.
OBSERVE_HOME = """() => {
  window.seen = [];
  const texts = (all) => [...all].map((one) => one.textContent);
  const look = () => {
    const reasons = texts(document.querySelectorAll("#reason, #reasons li"));
    const told = JSON.stringify({
      well: reasons.every((one) => /^\\d+ workers?, |could not be processed/.test(one)),
      reasons,
      workers: [...document.querySelectorAll("#workers tr")].map((row) => texts(row.cells)),
    });
    if (told !== window.seen.at(-1)) window.seen.push(told);
  };
  const everything = { subtree: true, childList: true, characterData: true, attributes: true };
  new MutationObserver(look).observe(document.querySelector("main"), everything);
  look();
}"""

#: Notes what a reader of a key's page sees each time that it changes, and when.
OBSERVE_KEY = """() => {
  window.seen = [];
  let last = "";
  const text = (wanted) => document.querySelector(wanted)?.textContent ?? "";
  const look = () => {
    const told = {
      value: Number(text("#value td").replace(",", "")),
      source: text("#source"),
      old: document.querySelector("#value-section").classList.contains("old"),
    };
    if (JSON.stringify(told) === last) return;
    last = JSON.stringify(told);
    window.seen.push({ ...told, at_ms: Date.now() });
  };
  const everything = { subtree: true, childList: true, characterData: true, attributes: true };
  new MutationObserver(look).observe(document.querySelector("main"), everything);
  look();
}"""


def address(worker: Worker) -> str:
    return f"127.0.0.1:{worker.port}"


def numbered(numbers: Iterable[int]) -> str:
    return " ".join(map(str, sorted(numbers)))


@asynccontextmanager
async def three_workers(directory: Path) -> AsyncIterator[tuple[Scene, dict[Worker, list[int]]]]:
    """Run three workers, and give the numbers of their partitions; they have worked off payments, and what is none."""
    broker = f"sqlite:///{directory / 'log.sqlite'}?synchronous=off"
    async with opened(broker, directory, "tests.lifecycle.querying_program", "QUERYING") as scene:
        started = [scene.start(**SESSION) for _ in range(3)]
        owned = await scene.settled(started, PARTITIONS)
        payments = [(account, {"amount": FIRST, "at": NOON}) for account in ACCOUNTS]
        none = [(account, {"amount": "five", "at": NOON}) for account in ACCOUNTS]
        await scene.append("payments", PARTITIONS, *none, *payments)
        await started[0].until(
            "api/tables/balances?limit=1000",
            lambda status, answer: (
                status == 200 and [row["value"] for row in answer["rows"]] == [FIRST] * len(ACCOUNTS)
            ),
        )
        yield scene, {worker: owned[worker] for worker in started}


class Payer:
    """Somebody who goes on paying into one account, and knows what it held at most at any time."""

    def __init__(self, scene: Scene, account: str) -> None:
        self.total = FIRST
        self._scene = scene
        self._account = account
        self._totals: list[tuple[float, int]] = [(0.0, FIRST)]
        self._ended = asyncio.Event()
        self._task = asyncio.create_task(self._pay())

    async def _pay(self) -> None:
        while not self._ended.is_set():
            self.total += AMOUNT
            self._totals.append((time.time() * 1000, self.total))
            await self._scene.append("payments", PARTITIONS, (self._account, {"amount": AMOUNT, "at": NOON}))
            await asyncio.sleep(PAUSE_S)

    async def end(self) -> int:
        """Pay no more, and return what the account will have come to."""
        self._ended.set()
        await self._task
        return self.total

    def most_at(self, at_ms: float) -> int:
        """Return what had been paid, or was being paid, at a moment."""
        return max(total for begun_ms, total in self._totals if begun_ms <= at_ms)


async def tour(
    context: BrowserContext,
    scene: Scene,
    workers: dict[Worker, list[int]],
    show: Callable[[str, Page], Awaitable[None]],
) -> None:
    """Kill the last of three workers while pages of the first are looked at, and hold these against the truth.

    context: of a browser, whose base is the first worker. show: called at each stop, with what there is to see.
    """
    here, other, victim = workers
    lost = workers[victim]
    account = next(one for one in ACCOUNTS if partition_for(one.encode(), PARTITIONS) in lost)
    home, key = await context.new_page(), await context.new_page()
    complaints = [Complaints(page) for page in (home, key)]

    await home.goto("/")
    await expect(home.locator("#workers tr")).to_have_count(3)
    await expect(home.locator("#reason")).to_have_text(WELL)
    await expect(home.locator("#reasons li")).to_have_count(0)
    await home.evaluate(OBSERVE_HOME)
    await key.goto(f"/tables/balances/{account}")
    await expect(key.locator("#source")).to_contain_text(f"Told by {address(victim)}, owner")
    await expect(key.locator("#value td")).to_have_text(str(FIRST))
    await key.evaluate(OBSERVE_KEY)
    payer = Payer(scene, account)
    await expect(key.locator("#value td")).not_to_have_text(str(FIRST))
    await show("before: the worker that has the key tells what it holds", key)

    await victim.kill()
    await expect(key.locator("#source")).to_contain_text("now nobody tells")
    await show("gone, key: what was told last stays, pale, and says so", key)
    await expect(home.locator("#workers")).to_contain_text("did not answer")
    await show("gone, home: the worker keeps its line, with what it had", home)

    await expect(home.locator("#workers tr")).to_have_count(2)
    await expect(home.locator("#reason")).to_have_text(WELL)
    await expect(home.locator("#reasons li")).to_have_count(0)
    await expect(home.locator("#workers-count")).to_have_text("2")
    await expect(home.locator("#partitions-count")).to_have_text(f"workers, {PARTITIONS} partitions")
    now = {worker: (await worker.get("partitions"))["numbers"] for worker in (here, other)}
    assert sorted(number for numbers in now.values() for number in numbers) == list(range(PARTITIONS))
    for worker, numbers in now.items():
        line = home.locator("#workers tr", has_text=address(worker))
        await expect(line.locator("td").nth(1)).to_have_text(numbered(numbers))
    owner = next(worker for worker, numbers in now.items() if partition_for(account.encode(), PARTITIONS) in numbers)
    # Nobody has touched the key's page since: it asks by itself until somebody has the partition.
    await expect(key.locator("#source")).to_contain_text(f"Told by {address(owner)}, owner")
    total = await payer.end()
    await expect(key.locator("#value td")).to_have_text(str(total))
    await expect(key.get_by_role("alert")).to_have_text("")
    await show("after: another worker has the key, and no payment was lost or counted twice", key)

    expect_truth_of_home(await home.evaluate("seen.map((one) => JSON.parse(one))"), address(victim), lost)
    expect_truth_of_key(await key.evaluate("seen"), payer, address(victim), address(owner))
    for one in complaints:
        one.expect_none_but(["status of 503"])


def expect_truth_of_home(seen: list[dict[str, Any]], gone: str, lost: list[int]) -> None:
    """Raise AssertionError unless Home told of the worker that is gone, and called nothing well that was not."""
    silent = [
        told for told in seen if any(gone in line[0] and "did not answer" in line[-1] for line in told["workers"])
    ]
    assert silent, seen
    for told in silent:
        assert [line[1] for line in told["workers"] if gone in line[0]] == [numbered(lost)], told
        assert not told["well"], told
        assert any(f"worker {gone}" in reason for reason in told["reasons"]), told
    for told in seen:
        numbers = {number for line in told["workers"] for number in line[1].split() if number.isdigit()}
        assert len(numbers) == PARTITIONS or not told["well"], told


def expect_truth_of_key(seen: list[dict[str, Any]], payer: Payer, gone: str, owner: str) -> None:
    """Raise AssertionError unless the key's page told at each moment what was so, and by whom it was told.

    A value was paid by then, and is never taken back; what nobody tells any more is what was told last, and is marked;
    and who is gone is not named again once it was silent.
    """
    values = [told["value"] for told in seen]
    assert values == sorted(values), values
    assert len(set(values)) > 2, "payments went on"
    for told in seen:
        assert FIRST <= told["value"] <= payer.most_at(told["at_ms"]), told
        assert told["old"] == ("now nobody tells" in told["source"]), told
        assert told["source"].startswith((f"Told by {gone}, owner", f"Told by {owner}, owner")), told
    silent = [number for number, told in enumerate(seen) if told["old"]]
    assert silent, seen
    for number in silent:
        assert seen[number]["value"] == seen[number - 1]["value"], seen[number - 1 : number + 1]
    for told in seen[silent[0] :]:
        assert told["old"] or f"Told by {owner}" in told["source"], told
    assert not seen[-1]["old"], seen[-1]


# -- with pictures -----------------------------------------------------------------------------------------


async def main() -> None:
    """Take the tour in a browser of its own."""
    given = argparse.ArgumentParser(prog="make tour", description="Kill one of three workers, and watch the pages.")
    given.add_argument("--headed", action="store_true", help="in a window")
    given.add_argument("--slow", type=float, default=0, metavar="MS", help="so long between two steps of the browser")
    given.add_argument("--into", type=Path, default=IMAGES, help="where the pictures go")
    options = given.parse_args()
    expect.set_options(timeout=PATIENCE_S * 1000)
    stops = iter(range(1, 100))

    async def show(what: str, page: Page) -> None:
        file = options.into / f"tour-{next(stops)}.png"
        await page.screenshot(path=file)
        print(f"{what} ({file})", flush=True)
        await page.bring_to_front()

    with tempfile.TemporaryDirectory(prefix="pelton-tour-") as directory:
        async with three_workers(Path(directory)) as (scene, workers), async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=needed("chromium", "chromium"),
                args=["--no-sandbox"],
                headless=not options.headed,
                slow_mo=options.slow,
            )
            context = await browser.new_context(
                base_url=f"http://{address(next(iter(workers)))}",
                viewport={"width": 1000, "height": 860},
                reduced_motion="reduce",
            )
            context.set_default_timeout(PATIENCE_S * 1000)
            await tour(context, scene, workers, show)
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
