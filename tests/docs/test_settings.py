from pathlib import Path

from pelton.config import SETTINGS, reference_markdown

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_of_settings_is_current():
    assert PAGE.read_text() == reference_markdown(), "run: python -m pelton.config > docs/settings.md"


def test_every_setting_is_on_the_page():
    page = PAGE.read_text()
    assert [setting.env for setting in SETTINGS if setting.env not in page] == []
