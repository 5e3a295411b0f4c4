"""What an error says again of what a caller sent."""

import pytest

from service.errors import ArtifactError, shorten


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


def test_a_model_that_says_too_much_of_itself_hides_neither_its_name_nor_the_remedy() -> None:
    error = ArtifactError(f"m/model.onnx: name is {'x' * 100_000}\n; export it again")
    assert len(error.message) < 1_300
    assert error.message.startswith("m/model.onnx: name is xxx")
    assert error.message.endswith("xxx\\n; export it again")


def test_what_a_model_says_in_few_words_is_said_again_whole() -> None:
    message = "m/model.onnx: name is " + "x" * 1_000
    assert ArtifactError(message).message == message
