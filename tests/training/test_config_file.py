from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.config import Config, DataConfig, NetworkConfig, SplitConfig, TrainingConfig
from training.config_file import format_config, parse_config, read_config, setting_names
from training.errors import ConfigError

MINIMAL = """
name = "n"
[data]
path = "t.csv"
entity = "e"
order = "o"
target = "t"
features = { a = "" }
"""
words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
# Normal numbers: an engine of another test may have switched denormals off in this process.
fractions = st.floats(1e-300, 1, exclude_max=True)


@given(
    data=st.builds(
        DataConfig,
        path=words,
        entity=words,
        order=words,
        target=words | st.lists(words, min_size=1, unique=True).map(tuple),
        features=st.dictionaries(
            words, st.text(st.characters(exclude_categories=["Cs"])), min_size=1
        ),
        kind=st.just("regression"),
        builtin=st.sampled_from(["", "watch"]),
    ),
    split=st.builds(SplitConfig, test_fraction=fractions, validation_fraction=fractions),
    network=st.builds(NetworkConfig, hidden=st.integers(1, 16_384), reset_after=st.booleans()),
    training=st.builds(TrainingConfig, learning_rate=st.floats(1e-300, 1e300)),
    seed=st.integers(0, 2**63 - 1),
)
def test_what_is_written_is_read_back(data, split, network, training, seed) -> None:
    config = Config("n.1", data, 2.5, seed, split, network, training)
    assert parse_config(format_config(config)) == config


def test_defaults_and_whole_numbers_for_decimals() -> None:
    config = parse_config("steps_per_second = 10\n" + MINIMAL)
    assert config.steps_per_second == 10.0
    assert isinstance(config.steps_per_second, float)
    assert config.network == NetworkConfig()
    assert config.training == TrainingConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "[training]\nlane = 3", "training.lane is not a setting.*training.lanes"),
        (MINIMAL + "[training]\nhidden = 3", "training.hidden is not.*mean network.hidden"),
        ("seeds = 1\n" + MINIMAL, "seeds is not a setting.*mean seed"),
        (MINIMAL + "[qqqq]\n", "qqqq is not a setting; there are name, data"),
        (MINIMAL.replace('name = "n"', ""), "name is missing"),
        (MINIMAL.replace('entity = "e"', ""), "data.entity is missing"),
        (MINIMAL + "[training]\nlanes = 1.5", "training.lanes = 1.5 must be a whole number"),
        (MINIMAL + "[training]\nlanes = true", "training.lanes = True must be a whole number"),
        (MINIMAL + "[network]\nbias = 1", "network.bias = 1 must be true or false"),
        (MINIMAL + "[training]\nlearning_rate = 'x'", "training.learning_rate = 'x' must be a num"),
        ("network = 3\n" + MINIMAL, r"network = 3 must be a table, \[network\]"),
        (MINIMAL.replace('a = ""', "a = 1"), "data.features = .* must be a table of texts"),
        (MINIMAL.replace('a = ""', ""), "data.features = {} must name an input column"),
        (MINIMAL.replace('"e"', '""'), "data.entity = '' must not be empty"),
        (MINIMAL + 'builtin = "clock"', "data.builtin = 'clock' must be one of"),
        (MINIMAL.replace('"n"', '"../n"'), r"name = '\.\./n' must be letters"),
        (MINIMAL + "[split]\ntest_fraction = 1.0", "split.test_fraction = 1.0 must lie between"),
        (MINIMAL + "[split]\nvalidation_fraction = 0", "split.validation_fraction = 0.0 must lie"),
        (MINIMAL + "[network]\nhidden = 0", "network.hidden = 0 must be from 1 to 16384"),
        (MINIMAL + "[training]\nepochs = -1", "training.epochs = -1 must be from 1 to 1000000"),
        (MINIMAL + "[training]\nlearning_rate = nan", "training.learning_rate = nan must be above"),
        (MINIMAL + "[training]\nclip_norm = inf", "training.clip_norm = inf must be above 0"),
        (MINIMAL + "[training]\nweight_decay = -1", "training.weight_decay = -1.0 must be at"),
        (MINIMAL + "[training]\nwarmup_fraction = 1", "training.warmup_fraction = 1.0 must be"),
        ("steps_per_second = -1\n" + MINIMAL, "steps_per_second = -1.0 must be at least 0"),
        ("seed = -1\n" + MINIMAL, "seed = -1 must be from 0"),
        ("name =", "not TOML"),
        (MINIMAL.replace('"t"', "1"), "data.target = 1 must be text, or a list such as"),
        (
            MINIMAL.replace('"t"', '["t", "u"]'),
            "data.target = .* must be one column where data.kind",
        ),
        (MINIMAL.replace('"t"', '["t", "t"]'), "data.target = .* must name a column once"),
        (MINIMAL + 'kind = "classes"', "data.kind = 'classes' must be one of"),
        (MINIMAL + 'target_units = { t = "g" }', "data.target_units = .*only for regression"),
    ],
)
def test_mistakes_are_named_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"c.toml: {message}") as raised:
        read_config(path)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml can't be read"):
        read_config(tmp_path / "none.toml")


def test_the_committed_configuration_holds() -> None:
    import training.config

    folder = Path(training.config.__file__).parent / "configs"
    config = read_config(folder / "activity.toml")
    assert (config.name, config.steps_per_second, config.network.hidden) == ("activity", 10, 96)
    assert config.network.reset_after is False


def test_the_guide_mentions_every_setting() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    assert [name for name in setting_names() if f"`{name}`" not in guide] == []


def test_a_seed_can_be_replaced() -> None:
    config = parse_config(MINIMAL)
    assert replace(config, seed=9).seed == 9
    with pytest.raises(ConfigError, match="seed = -9"):
        replace(config, seed=-9)
