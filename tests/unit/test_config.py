from dataclasses import FrozenInstanceError, fields
from datetime import timedelta

import pytest

from pelton.config import MIB, SETTINGS, EngineConfig, load
from pelton.errors import ConfigurationError


def test_defaults_are_those_declared():
    config = load({})
    assert config == EngineConfig()
    assert {setting.name: setting.default for setting in SETTINGS} == {
        field.name: getattr(config, field.name) for field in fields(config)
    }


def test_the_environment_wins_over_the_program():
    config = load({"PELTON_SLICE_MS": " 10 "}, {"slice_ms": 50, "commit_interval_ms": 200})
    assert (config.slice_ms, config.commit_interval_ms) == (10, 200)


def test_other_variables_are_left_alone():
    assert load({"PELTON_SOMETHING_ELSE": "x", "PATH": "/bin"}) == EngineConfig()


@pytest.mark.parametrize("text", ["64 MiB", "64MiB", "65536 KiB", str(64 * MIB)])
def test_sizes_may_have_a_unit(text):
    assert load({"PELTON_FETCH_BYTES_MAX": text}).fetch_bytes_max == 64 * MIB


def test_times_may_be_timedeltas():
    assert load({}, {"commit_interval_ms": timedelta(seconds=2)}).commit_interval_ms == 2_000


@pytest.mark.parametrize("given", ["x", "", "1.5", "10 MiB", "٣", 0, -1, 1_001, 1.5, True, None, timedelta(hours=1)])
def test_a_bad_value_names_setting_expected_got_and_variable(given):
    with pytest.raises(ConfigurationError) as caught:
        load({}, {"slice_ms": given})
    text = str(caught.value)
    assert f"setting slice_ms: expected a whole number of milliseconds, from 1 to 1,000; got {given!r}" in text
    assert "PELTON_SLICE_MS" in text


def test_a_timedelta_is_no_size():
    with pytest.raises(ConfigurationError, match="fetch_bytes_max"):
        load({}, {"fetch_bytes_max": timedelta(seconds=1)})


def test_an_unknown_setting_suggests_the_nearest():
    with pytest.raises(ConfigurationError, match="did you mean slice_ms"):
        load({}, {"slic_ms": 1})


def test_a_configuration_made_directly_is_checked_too():
    with pytest.raises(ConfigurationError, match="commit_records_max"):
        EngineConfig(commit_records_max=0)


def test_a_configuration_cannot_change():
    with pytest.raises(FrozenInstanceError):
        EngineConfig().slice_ms = 5  # type: ignore[misc]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_declaration_is_complete(setting):
    assert setting.parse(setting.default) == setting.default
    assert setting.help.endswith(".")
    assert setting.name.endswith(("_ms", "_max"))
