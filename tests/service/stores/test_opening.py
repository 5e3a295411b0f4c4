"""The words of --state-store."""

from pathlib import Path

import pytest

from service.errors import SettingsError
from service.stores.memory import MemoryStore
from service.stores.opening import open_store
from service.stores.sqlite import SqliteStore

MOST_BYTES = 1024**2


def test_memory_is_memory() -> None:
    assert isinstance(open_store("memory:", MOST_BYTES), MemoryStore)


@pytest.mark.parametrize("url", ["sqlite:{}", "sqlite://{}"])
async def test_a_file_is_named_by_its_path(tmp_path: Path, url: str) -> None:
    store = open_store(url.format(tmp_path / "a b.db"), MOST_BYTES)

    assert isinstance(store, SqliteStore)
    assert (tmp_path / "a b.db").is_file()
    await store.close()


async def test_a_file_may_stand_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    await open_store("sqlite:states.db", MOST_BYTES).close()

    assert (tmp_path / "states.db").is_file()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "take one of memory:, sqlite:PATH"),
        ("memory", "take one of memory:, sqlite:PATH"),
        ("memory:x", "take one of memory:, sqlite:PATH"),
        ("postgres://h/db", "take one of memory:, sqlite:PATH"),
        ("sqlite:", "name a file behind it"),
        ("sqlite://", "take sqlite:PATH, or sqlite:///PATH from the root"),
        ("sqlite://states.db", "take sqlite:PATH, or sqlite:///PATH from the root"),
    ],
)
def test_a_url_that_names_no_store_is_refused(url: str, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        open_store(url, MOST_BYTES)

    assert says in refused.value.message
    assert "\n" not in refused.value.message
