"""Lists of streams come in pages, none missing and none twice."""

import pytest
from fakes import fake_kept, fake_model, fake_streams

from service.durability.openings import Opening
from service.durability.operations import Operations


@pytest.mark.parametrize("size", [1, 7, 12, 5_000])
async def test_pages_together_are_all_streams(size, monkeypatch):
    monkeypatch.setattr("service.durability.operations._LARGEST_PAGE", 8)
    streams = fake_streams(fake_model(capacity=30))
    kept = fake_kept(streams)
    operations = Operations(streams._models, streams, kept)
    for number in range(24):
        stream = (await kept.open(Opening("fake", stream_id=f"pump-{number:02}"))).stream
        if number % 2:
            kept.leave(stream)

    found, after = [], ""
    while True:
        page, after = await operations.page(after, size, "")
        assert len(page) <= min(size, 8)
        found += page
        if not after:
            break
    assert [one.stream_id for one in found] == [f"pump-{number:02}" for number in range(24)]
    assert [one.live for one in found] == [not number % 2 for number in range(24)]
