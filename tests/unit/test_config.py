from dataclasses import FrozenInstanceError, fields
from datetime import timedelta

import pytest

from pelton.config import MIB, SETTINGS, Choice, EngineConfig, load
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


def test_a_variable_that_is_nearly_a_setting_s_is_refused():
    with pytest.raises(
        ConfigurationError, match=r"PELTON_COMIT_INTERVAL_MS'\nhint: did you mean PELTON_COMMIT_INTERVAL_MS"
    ):
        load({"PELTON_COMIT_INTERVAL_MS": "5"})


def test_variables_of_a_service_that_bears_our_name_are_left_alone():
    env = {"PELTON_SERVICE_HOST": "10.0.0.1", "PELTON_PORT": "tcp://10.0.0.1:80", "PELTON_PORT_80_TCP_PORT": "80"}
    assert load(env) == EngineConfig()


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
    assert isinstance(setting, Choice) or setting.name.endswith(("_ms", "_max"))


def test_a_choice_is_one_of_its_words():
    assert load({"PELTON_ON_LOST_RECORDS": " latest "}).on_lost_records == "latest"


@pytest.mark.parametrize("given", ["", "Latest", "late", None, 1, ("fail",)])
def test_a_bad_choice_names_setting_words_got_and_variable(given):
    with pytest.raises(ConfigurationError) as caught:
        load({}, {"on_lost_records": given})
    text = str(caught.value)
    assert f"setting on_lost_records: expected one of fail, earliest, latest; got {given!r}" in text
    assert "PELTON_ON_LOST_RECORDS" in text
