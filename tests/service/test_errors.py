"""What an error says again of what a caller sent."""

import pytest

from service.errors import shorten


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pump ä", "pump ä"),
        ("x" * 128, "x" * 128),
        ("x" * 129, "x" * 128 + "..."),
        ("a\nERROR b", "a\\nERROR b"),
        ("\x1b[31m\u2028\udc80", "\\x1b[31m\\u2028\\udc80"),
    ],
)
def test_it_is_short_and_in_one_line(text: str, said: str) -> None:
    assert shorten(text) == said
