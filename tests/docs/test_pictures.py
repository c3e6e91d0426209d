"""The pictures of the docs: those that pages show are there, those that are there are shown, and `make` takes them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.browser.shots import OF_THE_BANK, OF_THE_PAST, SIZES

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: What a picture may weigh.
BYTES_MAX = 150 * 1024
_PICTURE = re.compile(r'!?\[[^\]]*\]\(([^)\s]+\.(?:png|svg))\)|<img src="([^"]+)"')


def shown() -> dict[Path, list[Path]]:
    """Return each picture with the pages that show it."""
    found: dict[Path, list[Path]] = {}
    for page in PAGES:
        for match in _PICTURE.finditer(page.read_text()):
            target = match[1] or match[2]
            if not target.startswith("http"):
                found.setdefault((page.parent / target).resolve(), []).append(page)
    return found


def test_a_picture_that_is_shown_is_there() -> None:
    assert {str(picture): pages for picture, pages in shown().items() if not picture.is_file()} == {}


def test_a_picture_that_is_there_is_shown() -> None:
    assert sorted(IMAGES.iterdir()) == sorted(picture for picture in shown() if picture.parent == IMAGES)


def test_each_picture_of_the_web_view_is_one_that_make_takes() -> None:
    taken = {f"{shot.name}.png" for shot in (*OF_THE_BANK, *OF_THE_PAST)}
    assert {one.name for one in IMAGES.glob("*.png") if not one.name.startswith("tour-")} == taken


@pytest.mark.parametrize("picture", sorted(IMAGES.glob("*.png")), ids=lambda one: one.stem)
def test_a_picture_is_small(picture: Path) -> None:
    assert picture.stat().st_size < BYTES_MAX
    width = int.from_bytes(picture.read_bytes()[16:20])
    assert width <= max(wide for wide, _ in SIZES.values())
