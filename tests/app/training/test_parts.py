"""What data for training is made with: redaction, near-duplicates, splits, versions; each against something simpler."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.models.training import SPLITS, Example, Split
from app.simulation.questions import card_number, iban
from app.training import NearDuplicates, pseudonym, redacted, split_of
from app.training.checking import faults
from app.training.curating import SHARES
from app.training.duplicates import JACCARD_MIN, jaccard, pieces_of
from app.training.files import DatasetFiles, manifests
from app.training.inspecting import left_in
from pelton import TopicPartition
from pelton.connect.contract import SinkBatch, SinkRow

CARDS = ["4111111111111111", "5500 0000 0000 0004", "3400-000000-00009", "6011.0000.0000.0004", "4222222222222"]
IBANS = [
    "DE89 3704 0044 0532 0130 00",
    "GB29NWBK60161331926819",
    "NO93 8601 1117 947",
    "fr14 2004 1010 0505 0001 3m02 606",
]
MAILS = ["ann@example.com", "a.b+c@mail.bank.example.org", "jörg@bücher.de"]
PHONES = [
    "+49 170 1234567",
    "0170/1234567",
    "(030) 123456-78",
    "+1 (555) 010-9999",
    "0049 30 1234567",
    "+44 20 7946 0958",
    "555-123-4567",
    "(212) 555-0199",
    "(212)555-0199",
    "212.555.0199",
    "212 555 0199",
    "1-800-555-0199",
    "170 1234567",
    "171/12345678",
    "151 123 45678",
]


@pytest.mark.parametrize(
    ("kind", "secret"),
    [
        (kind, one)
        for kind, some in (("card", CARDS), ("iban", IBANS), ("mail", MAILS), ("phone", PHONES))
        for one in some
    ],
)
@pytest.mark.parametrize("text", ["{}", "It is {}.", "no 12: {} and 7 more", "a:{},b", "\u200b{}\u200b"])
def test_secrets_go_and_the_rest_stays(kind: str, secret: str, text: str) -> None:
    plain = text.replace("\u200b", "")
    assert redacted(text.format(secret)) == (plain.format(f"<{kind.upper()}>"), Counter({kind: 1}))


@pytest.mark.parametrize(
    ("kind", "secret"),
    [
        ("card", CARDS[0]),
        ("card", CARDS[1]),
        ("iban", IBANS[0]),
        ("iban", IBANS[1]),
        ("mail", MAILS[0]),
        ("mail", MAILS[1]),
    ]
    + [("phone", phone) for phone in ("+49 170 1234567", "0170/1234567", *PHONES[6:11], "170 1234567")],
)
def test_a_second_look_finds_what_was_not_redacted(kind: str, secret: str) -> None:
    assert left_in(f"It is {secret}, I think.") == [kind]


@settings(max_examples=500, deadline=None)
@given(st.text(alphabet="0123456789 -.,()+/aB@_", max_size=60) | st.text(max_size=40))
def test_a_second_look_finds_nothing_in_what_was_redacted(text: str) -> None:
    assert left_in(redacted(text)[0]) == []


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112 is none",
        "I paid 1,250.00 EUR on 2026-01-05 at 12:30:55, invoice 123456",
        "Transfers take 1 to 3 days; 1000000 thanks",
        "user@host",
        "",
        "170 123 456 are 1.234.567,00 EUR, or 212,555,019.99 USD",
        "order 171-1234567-1234567, parcel 2125550199, item 555-123-456, invoice 12-345-6789",
        "on 05.01.2026 12:30, or 2026-01-05T12:30:55.123456, at 170.1234567 east",
        "2026-01-05 08:12:12 UTC: 39.33 EUR at Travel online 1; 2026-09-01 00:12:12 UTC: 1.99 EUR",
        "from 192.168.100.1 to 10.0.0.1, 12 345 678 9012 times, version 212.555.0199.7",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == (text, Counter())
    assert left_in(text) == []


def test_numbers_that_are_hidden_are_found() -> None:
    assert redacted("4111\u200b1111\u00ad1111 1111")[0] == "<CARD>"
    assert redacted("".join(chr(0xFF10 + int(digit)) for digit in CARDS[0]))[0] == "<CARD>"
    assert redacted("x" * 3 + " 99994111111111111111999999 ")[1]["card"] == 1
    assert redacted("acc-00042 and ACC-7")[0] == "<ACCOUNT> and <ACCOUNT>"


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.text(max_size=30), st.text(max_size=30))
def test_a_number_goes_whatever_stands_around_it(seed: int, before: str, behind: str) -> None:
    rng = Random(seed)
    for secret in (card_number(rng), iban(rng)):
        text, found = redacted(f"{before} \n{secret}\n {behind}")
        assert secret not in text
        assert sum(found.values()) >= 1
        assert redacted(text)[0] == text


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 4, 7, 100]))
def test_near_duplicates_are_those_that_a_comparison_with_all_that_are_known_finds(seed: int, most: int) -> None:
    rng, texts = Random(seed), list[str]()
    words = [f"word{chr(97 + number)}" for number in range(26)]
    for _ in range(20):
        text = rng.choice(texts).split() if texts and rng.random() < 0.6 else rng.choices(words, k=rng.randrange(4, 40))
        for _ in range(rng.randrange(3)):
            text[rng.randrange(len(text))] = rng.choice(words)
        texts.append(" ".join(text))
    rows, kept = dict[str, list[int]](), list[tuple[int, str]]()
    near = NearDuplicates(rows, most)
    for number, text in enumerate(texts):
        alike = max((jaccard(pieces_of(text), pieces_of(other)) for _, other in kept[-most:]), default=0.0)
        new = near.is_new(number, text)
        assert new == (alike < JACCARD_MIN)
        if new:
            kept.append((number, text))
    # Nothing is left of those that are not known any more.
    alone = dict[str, list[int]]()
    again = NearDuplicates(alone)
    for number, text in kept[-most:]:
        again.is_new(number, text)

    def known(some: dict[str, list[int]]) -> dict[str, list[int]]:
        return {key: value for key, value in some.items() if key.startswith(("text ", "band "))}

    assert known(rows) == known(alone)
    assert len(rows) - len(known(rows)) == min(most, len(kept)) + 1


def test_a_customer_is_in_one_split_and_the_shares_are_right() -> None:
    found = Counter(split_of(pseudonym(f"acc-{number}")) for number in range(5_000))
    assert all(abs(found[split] / 5_000 - SHARES[split]) < 0.02 for split in SPLITS)
    assert split_of("c1") == split_of("c1")


def row(offset: int, text: str = "How?", helpful: bool | None = None) -> SinkRow:
    splits: tuple[Split, ...] = SPLITS
    example = Example("c", f"q{offset}", text, "So.", "faq", 5.0, splits[offset % 3], offset % 2, offset, helpful)
    return SinkRow(offset, 5.0, "chat", example)


async def test_versions_hold_each_row_once_however_batches_are_cut(tmp_path: Path) -> None:
    files, source = DatasetFiles(tmp_path), TopicPartition("dataset", 2)
    rows = [row(offset, helpful=None if offset % 4 else False) for offset in range(20)]
    writer, other = await files.open("s"), await files.open("s")
    await writer.write(SinkBatch(source, rows[:7]))
    await other.write(SinkBatch(source, rows[:5]))
    await other.write(SinkBatch(source, rows[3:12]))
    await writer.write(SinkBatch(source, rows[7:12]))
    await writer.write(SinkBatch(source, rows))
    home = files.home(source)
    held = manifests(home)
    assert [one.offsets for one, _ in held] == [(0, 7), (7, 12), (12, 20)]
    assert held[-1][0].totals["rows"] == 20
    assert held[-1][0].totals["in the chat files"] == 15
    assert held[-1][0].lineage == {"0": (12, 18), "1": (13, 19)}
    lines = [line for path in home.glob("v*/*.jsonl") for line in path.read_bytes().splitlines()]
    assert len(lines) == 15
    first = msgspec.json.decode(lines[0])["messages"]
    assert [(one["role"], one["content"]) for one in first[1:]] == [("user", "How?"), ("assistant", "So.")]
    assert [path.name for path in home.iterdir() if path.name[0] == "."] == []
    assert list(faults(home, tmp_path / "none")) == []


async def test_what_was_changed_since_is_found(tmp_path: Path) -> None:
    files, source = DatasetFiles(tmp_path), TopicPartition("dataset", 2)
    writer = await files.open("s")
    await writer.write(SinkBatch(source, [row(0), row(1)]))
    await writer.write(SinkBatch(source, [row(3, "My card is 4111 1111 1111 1111")]))
    home = files.home(source)
    assert list(faults(home, tmp_path / "none")) == ["v000002/train.jsonl, line 1: there is a card in it"]
    file = home / "v000001" / "train.jsonl"
    file.write_bytes(file.read_bytes().replace(b"So.", b"No."))
    assert "v000001/train.jsonl: it is not the file that manifest.json tells of" in list(
        faults(home, tmp_path / "none")
    )
    manifest = home / "v000001" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"rows": 2', b'"rows": 3'))
    assert "v000002: it does not stand on the version before" in faults(home, tmp_path / "none")
