"""Following files: each line once, whatever becomes of the file and of the worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pelton
from pelton.connect.contract import SourceRecord
from pelton.connect.files import FileTail
from pelton.errors import ConfigurationError
from pelton.testing import Driver


async def read_on(stream: Any) -> None:
    """Read what was sent, so that there are other partition numbers than the source's."""
    async for _ in stream:
        pass


class Tailing:
    """An application that follows the files of a directory."""

    def __init__(self, directory: Path, pattern: str = "app.log*", **options: Any) -> None:
        self.log = directory / "app.log"
        self.app = pelton.App("tailing", topic_partitions=2)
        self.source = self.app.source(
            FileTail(directory / pattern, **options), self.app.topic("lines", key_type=str, value_type=str)
        )
        self.app.agent("lines", value_type=str)(read_on)
        self.driver = Driver(self.app)

    def write(self, text: str, path: Path | None = None) -> None:
        with (path or self.log).open("a") as file:
            file.write(text)

    def lines(self) -> list[str]:
        self.driver.advance(2)
        return [record.value for record in self.driver.read("lines", again=True)]


@pytest.fixture
def tailing(tmp_path: Path) -> Iterator[Tailing]:
    found = Tailing(tmp_path)
    with found.driver:
        yield found


def test_lines_come_as_they_are_written_and_a_line_comes_whole(tailing: Tailing) -> None:
    tailing.write("one\ntwo\r\nthr")
    assert tailing.lines() == ["one", "two"]
    tailing.write("ee\n\nfive\n")
    assert tailing.lines() == ["one", "two", "three", "", "five"]
    assert {record.key for record in tailing.driver.read("lines")} == {str(tailing.log)}


def test_a_rotated_file_is_read_to_its_end_and_the_new_one_from_its_beginning(tailing: Tailing) -> None:
    tailing.write("one\n")
    assert tailing.lines() == ["one"]
    tailing.write("two\n")
    rotated = tailing.log.rename(tailing.log.with_suffix(".log.1"))
    tailing.write("three\n", rotated)
    tailing.write("four\n")
    assert sorted(tailing.lines()) == ["four", "one", "three", "two"]


def test_what_is_renamed_out_of_the_pattern_is_read_to_its_end(tmp_path: Path) -> None:
    tailing = Tailing(tmp_path, "app.log")
    with tailing.driver:
        tailing.write("one\n")
        assert tailing.lines() == ["one"]
        rotated = tailing.log.rename(tmp_path / "app.log.1")
        tailing.write("two\nwithout an end", rotated)
        tailing.write("three\n")
        assert sorted(tailing.lines()) == ["one", "three", "two", "without an end"]
        tailing.driver.stop()
        tailing.write("four\n")
        tailing.log.rename(tmp_path / "app.log.2")
        tailing.write("five\n")
        tailing.driver.start()
        assert sorted(tailing.lines()) == ["five", "four", "one", "three", "two", "without an end"]


def test_a_file_that_is_cut_off_begins_anew(tailing: Tailing) -> None:
    tailing.write("one\ntwo\n")
    assert tailing.lines() == ["one", "two"]
    tailing.log.write_text("new\n")
    assert tailing.lines() == ["one", "two", "new"]
    # Cut off, and longer than before by the time that it is looked at.
    tailing.log.write_text("and this is longer\nthan it was\n")
    assert tailing.lines() == ["one", "two", "new", "and this is longer", "than it was"]


def test_a_file_that_has_the_inode_of_another_is_another(tailing: Tailing) -> None:
    tailing.write("one\ntwo\n")
    assert tailing.lines() == ["one", "two"]
    tailing.driver.stop()
    # As if the file system had given the number of a file that is gone to a new one.
    with tailing.log.open("r+") as file:
        file.truncate(0)
        file.write("another file, and a longer one\n")
    tailing.driver.start()
    assert tailing.lines() == ["one", "two", "another file, and a longer one"]


@pytest.mark.parametrize("turns", [1, 3, 7, 12, 20, 33, 54])
def test_no_crash_loses_or_doubles_a_line(tailing: Tailing, turns: int) -> None:
    written: list[str] = []
    for life in range(4):
        for _ in range(5):
            written.append(f"line {len(written)}")
            tailing.write(f"{written[-1]}\n")
        tailing.driver.crash(after=turns * (life + 1))
        if life == 2:
            tailing.driver.lose_disk()
            tailing.log.rename(tailing.log.with_suffix(".log.1"))
        tailing.driver.start()
    assert sorted(tailing.lines()) == sorted(written)


def test_only_what_comes_is_read_when_the_end_is_asked_for(tmp_path: Path) -> None:
    tailing = Tailing(tmp_path, start="end")
    tailing.write("before\nhalf a li")
    with tailing.driver:
        assert tailing.lines() == []
        tailing.write("ne\n")
        assert tailing.lines() == ["half a line"]
        tailing.driver.restart()
        tailing.write("after\n", tmp_path / "app.log.new")
        assert tailing.lines() == ["half a line", "after"]


def test_many_lines_and_long_ones(tailing: Tailing) -> None:
    many = [f"line {number}" for number in range(2_500)]
    tailing.write("".join(f"{line}\n" for line in many))
    assert tailing.lines() == many
    tailing.write("x" * 1_300_000 + "\n")
    tailing.driver.advance(5)
    assert "".join(tailing.lines()[2_500:]) == "x" * 1_300_000


def test_a_file_that_is_gone_is_forgotten(tailing: Tailing) -> None:
    tailing.write("one\n")
    assert tailing.lines() == ["one"]
    tailing.driver.stop()
    os.unlink(tailing.log)
    tailing.driver.start()
    tailing.write("two\n")
    assert tailing.lines() == ["one", "two"]
    slot = tailing.app.runtime.partitions[0].caches[f"{tailing.source.name}-positions"]  # type: ignore[union-attr]
    assert len(list(slot.scan())) == 1


def test_a_paused_source_reads_on_where_it_was(tailing: Tailing) -> None:
    tailing.write("one\n")
    assert tailing.lines() == ["one"]
    tailing.driver.run(tailing.source.pause())
    tailing.driver.advance(2)
    tailing.write("two\nthree\n")
    paused = tailing.lines()
    tailing.driver.run(tailing.source.resume())
    tailing.driver.advance(2)
    assert paused == ["one"]
    assert tailing.lines() == ["one", "two", "three"]


def test_what_the_function_fails_on_is_kept_and_can_be_replayed(tmp_path: Path) -> None:
    tailing = Tailing(tmp_path)
    broken = True

    @tailing.source
    def read(record: SourceRecord) -> list[str] | None:
        if record.value == b"bad" and broken:
            raise ValueError("bad")
        return None if record.value == b"left out" else record.value.decode().split()

    with tailing.driver as driver:
        tailing.write("a b\nbad\nleft out\nc\n")
        assert tailing.lines() == ["a", "b", "c"]
        (letter,) = driver.dead_letters()
        assert (letter.value, letter.topic) == (b"bad", "tailing-lines-filetail-source")
        broken = False
        driver.send(letter.topic, letter.key, letter.value, partition=0)
        assert tailing.lines() == ["a", "b", "c", "bad"]


def test_what_cannot_be_followed() -> None:
    with pytest.raises(ConfigurationError, match="expected a path"):
        FileTail()
    with pytest.raises(ConfigurationError, match="start: expected"):
        FileTail("a", start="now")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="poll: expected"):
        FileTail("a", poll=0)
