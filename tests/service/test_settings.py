import dataclasses
from pathlib import Path

import pytest

from service.errors import SettingsError
from service.settings import Settings, from_environment

REPOSITORY = {"STATEWISE_MODEL_REPOSITORY": "models"}


def test_every_setting_can_be_set_in_the_environment():
    defaults = Settings(Path("models"))
    environment = {
        f"STATEWISE_{field.name.upper()}": str(getattr(defaults, field.name))
        for field in dataclasses.fields(Settings)
    }
    assert Settings.build(from_environment(environment)) == defaults


def test_what_the_environment_leaves_out_keeps_its_default():
    assert Settings.build(from_environment(REPOSITORY)) == Settings(Path("models"))


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("STATEWISE_PORT", "http", "STATEWISE_PORT is 'http'; set it to a whole number"),
        ("STATEWISE_DRAIN_SECONDS", "long", "STATEWISE_DRAIN_SECONDS is 'long'; set it to a numb"),
        ("STATEWISE_PORT", "70000", "port is 70000; take a value from 0 to 65535"),
        ("STATEWISE_MAX_STREAMS", "0", "max_streams is 0; take a value from 1"),
        ("STATEWISE_PROVIDER", "tpu", "provider is 'tpu'; take one of cpu, cuda, auto"),
    ],
)
def test_a_bad_value_is_named_with_the_remedy(variable, text, message):
    with pytest.raises(SettingsError, match=message):
        Settings.build(from_environment(REPOSITORY | {variable: text}))


def test_a_missing_repository_is_asked_for():
    with pytest.raises(SettingsError, match="give --model-repository DIR"):
        Settings.build(from_environment({}))


def test_each_attribute_is_documented():
    text = Settings.__doc__
    assert [f.name for f in dataclasses.fields(Settings) if f"{f.name}:" not in text] == []
