"""Event-sourced entities in a worker that stops, starts and loses its disk, on both logs with --kafka."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from pelton import App, CommandRejectedError, CommandResult, PeltonError, UnavailableError, VersionConflictError
from pelton.errors import ConfigurationError, UserCodeError
from pelton.shell.program import build_program
from tests.compat.harness import load, records, until, worker


@pytest.fixture
def log(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the programs of a test work on this log, with names of their own."""
    monkeypatch.setenv("BROKER_URL", broker_url)
    monkeypatch.setenv("ENTITIES_RUN", f"entities-{uuid4().hex[:8]}")
    monkeypatch.setenv("PELTON_AGENT_RETRIES_MAX", "1")
    return broker_url


@pytest.mark.usefixtures("log")
async def test_commands_become_events_once_and_conflicts_are_told() -> None:
    program = load("entities")
    accounts = program.accounts
    async with worker(program.app):
        assert await accounts.execute("ann", program.Deposit(50), expected_version=0) == CommandResult(1, 1)
        assert await accounts.execute("ann", program.Deposit(200), command_id="c1") == CommandResult(2, 1)
        assert await accounts.execute("ann", program.Deposit(200), command_id="c1") == CommandResult(2, 1, True)
        assert await accounts.execute("bob", program.Deposit(1), command_id="c1") == CommandResult(1, 1)
        assert await accounts.execute("ann", program.Audit(), command_id="c2") == CommandResult(2, 0)
        with pytest.raises(VersionConflictError, match="accounts 'ann': expected version 1, found 2") as conflict:
            await accounts.execute("ann", program.Withdraw(5), expected_version=1)
        assert (conflict.value.expected, conflict.value.found) == (1, 2)
        with pytest.raises(CommandRejectedError, match="insufficient funds: 250 of 251"):
            await accounts.execute("ann", program.Withdraw(251))
        with pytest.raises(UserCodeError, match="was dead-lettered: ValueError: unlucky"):
            await accounts.execute("ann", program.Withdraw(13))
        assert await accounts.execute("ann", program.Withdraw(150), expected_version=2) == CommandResult(4, 2)
        assert await accounts.execute("ann", program.Audit(), command_id="c2") == CommandResult(2, 0, True)

        assert accounts["ann"] == program.Account(99, 4)
        assert accounts.version("ann") == 4
        assert [(one.version, one.event, one.command_id) for one in accounts.recorded("ann")] == [
            (1, program.Deposited(50), None),
            (2, program.Deposited(200), "c1"),
            (3, program.Withdrawn(100), None),
            (4, program.Withdrawn(50, 1), None),
        ]
        assert accounts.state("ann", version=2) == program.Account(250, 2)
        assert accounts.state("ann", version=0) is None
        assert accounts.state("nobody") is None
        assert sorted(accounts.keys()) == ["ann", "bob"]
        times = [one.timestamp_ms / 1000 for one in accounts.recorded("ann")]
        assert accounts.state("ann", at=times[0] - 1) is None
        assert accounts.state("ann", at=times[-1]) == program.Account(99, 4)
        await until(lambda: dict(program.balances.items()) == {"ann": 99, "bob": 1})


@pytest.mark.usefixtures("log")
async def test_what_is_refused_and_nobody_waits_for_is_dead_lettered() -> None:
    program = load("entities")
    async with worker(program.app):
        await (await program.accounts.send("ann", program.Withdraw(1)))
        await (await program.accounts.send("ann", program.Deposit(1), expected_version=7))
        assert await program.accounts.execute("ann", program.Deposit(5)) == CommandResult(1, 1)
        letters = [one for batch in await records(program.app, f"{program.RUN}-dlq") for one in batch.headers or []]
        errors = [dict(headers)["pelton-dlq-error"] for headers in letters]
        assert [error.partition(b"\n")[0] for error in errors if error] == [
            b"CommandRejectedError: insufficient funds: 0 of 1",
            b"VersionConflictError: accounts 'ann': expected version 7, found 0",
        ]
        assert len(program.decided) == 2


async def fill(program: Any) -> dict[str, Any]:
    """Send many commands; return the states that they lead to."""
    names = [f"n{number}" for number in range(20)]
    for amount in range(1, 8):
        await asyncio.gather(*(program.accounts.execute(name, program.Deposit(amount)) for name in names))
    return dict.fromkeys(names, program.Account(28, 7))


def check(program: Any, expected: dict[str, Any]) -> None:
    accounts = program.accounts
    assert {key: accounts[key] for key in accounts.keys()} == expected  # noqa: SIM118 - it is no mapping
    for key in expected:
        for version in range(1, 8):
            balance = sum(range(1, version + 1))
            assert accounts.state(key, version=version) == program.Account(balance, version)


async def test_entities_survive_restarts_a_lost_disk_and_other_snapshots(
    log: str, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = load("entities")
    async with worker(program.app):
        expected = await fill(program)
        check(program, expected)
    shutil.rmtree(directory / "data" / "v1" / "tables")
    monkeypatch.setenv("ENTITIES_SNAPSHOTS", "2")
    again = load("entities")
    async with worker(again.app):
        check(again, {key: again.Account(28, 7) for key in expected})
        for key in expected:
            await again.accounts.execute(key, again.Deposit(1), expected_version=7)
        assert again.accounts.state("n3") == again.Account(29, 8)
        assert again.accounts.state("n3", version=5) == again.Account(15, 5)


async def test_a_read_model_is_worked_out_anew_from_the_first_event(log: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = load("entities")
    async with worker(program.app):
        expected = await fill(program)
        await until(lambda: dict(program.balances.items()) == dict.fromkeys(expected, 28))
    monkeypatch.setenv("ENTITIES_MODEL", "2")
    again = load("entities")
    async with worker(again.app):
        await again.accounts.execute("n0", again.Deposit(2))

        def balance() -> Any:
            try:
                return again.balances["n0"]
            except UnavailableError:
                return None

        assert await until(balance) in (2800, 3000)  # complete, but for what came since
        await until(lambda: again.balances["n0"] == 3000)
        assert dict(again.balances.items()) == dict.fromkeys(expected, 2800) | {"n0": 3000}
        assert again.balances.progress()[0] == again.balances.progress()[1]
        assert again.decided == [again.Deposit(2)]  # the commands of before are not handled again


def an_app() -> App:
    return App("entities")


class Told(msgspec.Struct, tag=True):
    text: str


class Heard(msgspec.Struct, tag=True):
    text: str


class Untagged(msgspec.Struct):
    pass


async def test_what_is_declared_wrongly_says_so() -> None:
    app = an_app()
    with pytest.raises(ConfigurationError, match="has no tag"):
        app.entity("a", state=dict, commands=Told, events=Told | Untagged)
    with pytest.raises(ConfigurationError, match="expected structs"):
        app.entity("a", state=dict, commands=Told, events=int)
    with pytest.raises(ConfigurationError, match="snapshot_every"):
        app.entity("a", state=dict, commands=Told, events=Told, snapshot_every=0)
    talks = app.entity("talks", state=dict, commands=Told, events=Heard)
    with pytest.raises(ConfigurationError, match="declared twice"):
        app.entity("talks", state=dict, commands=Told, events=Heard)
    with pytest.raises(ConfigurationError, match="has no decide"):
        await build_program(app)
    talks.decide(lambda state, command: None)
    with pytest.raises(ConfigurationError, match="has no apply"):
        await build_program(app)
    with pytest.raises(ConfigurationError, match="nothing can be sent to it"):
        await talks.events.send(key="a", value=Heard("x"))
    with pytest.raises(ConfigurationError, match="aggregate"):
        app.aggregate("talks")
    model = talks.read_model("model")
    model.project(lambda stream: stream.items())
    with pytest.raises(ConfigurationError, match="filled twice"):
        model.project(lambda stream: stream.items())
    assert issubclass(VersionConflictError, PeltonError)
