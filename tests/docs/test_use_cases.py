"""Each row of the table of use cases names agents, tests, pages and commands that there are."""

from __future__ import annotations

import re
from http import HTTPStatus
from pathlib import Path

import click
import pytest
from faust.cli.base import cli

from app import app
from pelton.testing import Driver

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "use-cases.md"
TEXT = PAGE.read_text()
#: Use, agents, tests, pages, what feeds it.
ROWS = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| ") and "](../app/" in line]
#: What `make integration` runs.
INTEGRATION = re.findall(
    r"tests/\S+", (ROOT / "Makefile").read_text().partition("\nintegration:")[2].partition("\n\n")[0]
)
AGENT_FILES = {agent.fun.__code__.co_filename for agent in app.agents.values()}


def links(cell: str) -> list[str]:
    return re.findall(r"\]\(([^)]+)\)", cell)


def anchors(text: str) -> set[str]:
    titles = [line.lstrip("# ").lower() for line in text.splitlines() if line.startswith("#")]
    return {re.sub(r"[^\w -]", "", title).replace(" ", "-") for title in titles}


def test_there_is_a_row_for_each_use() -> None:
    assert len(ROWS) >= 11
    assert {len(row) for row in ROWS} == {5}


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_names_files_titles_and_commands_that_there_are(row: list[str]) -> None:
    use, agents, tests, _, fed_by = row
    assert links(agents), "no agent"
    assert links(tests), "no test"
    for link in links(use) + links(agents) + links(tests):
        name, _, title = link.partition("#")
        file = (PAGE.parent / name).resolve() if name else PAGE
        assert file.is_file(), link
        assert not title or title in anchors(file.read_text()), link
    for link in links(agents):
        file = (PAGE.parent / link).resolve()
        assert str(file) in AGENT_FILES or re.search(r"^@\w+\.\w+", file.read_text(), re.MULTILINE), link
    for link in links(tests):
        file = (PAGE.parent / link.partition("#")[0]).resolve()
        assert file.suffix == ".md" or "def test_" in file.read_text(), link
    for command in re.findall(r"`faust -A app ([a-z-]+)((?: --[a-z-]+)*)", fed_by):
        name, options = command
        assert name in cli.commands, command
        known = {flag for parameter in cli.commands[name].params for flag in parameter.opts}
        assert set(options.split()) <= known, command


def runs_on_kafka(file: Path) -> bool:
    """Whether `make integration` runs a file's tests on Kafka."""
    if not any(file == found or found in file.parents for paths in INTEGRATION for found in ROOT.glob(paths)):
        return False
    text = file.read_text()
    shared = "bank: Bank" in text and "def bank(" not in text  # that of tests/app/conftest.py has both logs
    return "broker_url" in text or shared or file.parent == ROOT / "tests" / "integration"


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_a_row_is_tried_by_the_driver_and_on_a_real_kafka(row: list[str]) -> None:
    files = [(PAGE.parent / link.partition("#")[0]).resolve() for link in links(row[2])]
    assert any("with Driver(" in file.read_text() for file in files), "no test drives it"
    assert any(map(runs_on_kafka, files)), "make integration does not run it on Kafka"


def test_the_pages_answer() -> None:
    paths = {path for row in ROWS for path in re.findall(r"`(/[^`{…]*)`", row[3])}
    assert len(paths) >= len(ROWS)
    with Driver(app) as driver:
        missing = [path for path in sorted(paths) if driver.request("GET", path).status == HTTPStatus.NOT_FOUND]
    assert missing == []


def test_the_list_of_commands_says_what_each_one_does() -> None:
    ours = {
        name: one for name, one in cli.commands.items() if getattr(one.callback, "__module__", "").startswith("app.")
    }
    assert {"simulate", "simulate-orders", "models", "ship"} <= set(ours)
    cut = [name for name, command in ours.items() if command.get_short_help_str(56).endswith("...")]
    assert cut == [], "the first sentence is too long for the list"
    for name, command in ours.items():
        unsaid = [option.opts for option in command.params if isinstance(option, click.Option) and not option.help]
        assert not unsaid, name
        if name.startswith("simulate"):
            assert re.search(r"Pages?: /", command.help or ""), name
