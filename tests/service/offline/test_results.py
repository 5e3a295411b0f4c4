import pytest

from service.offline.results import replacing


def test_a_file_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "answers.parquet"
    path.write_bytes(b"old")
    # Whoever has the old file open goes on with it whole.
    with path.open("rb") as reader:
        with replacing(path) as file:
            file.write(b"new")
            assert path.read_bytes() == b"old"
        assert reader.read() == b"old"

    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_whatever_ends_the_block_leaves_the_old_file(tmp_path, kind):
    path = tmp_path / "answers.parquet"
    path.write_bytes(b"old")

    with pytest.raises(kind), replacing(path) as file:
        file.write(b"new")
        raise kind

    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
