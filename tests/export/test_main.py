"""The commands, as a person runs them: what they print, what they write, how they end."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

import export.__main__ as command
from export.artifact import Artifact, read_artifact, seal, write_file
from export.proof import ProofSettings
from training.reference import Network

ROOT = Path(__file__).resolve().parents[2]
SIZES = ("--features", "4", "--hidden", "6", "--layers", "2", "--outputs", "3")


@pytest.fixture
def quickly(quick: ProofSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proofs of the commands in short."""
    monkeypatch.setattr(command, "THOROUGH", quick)


@pytest.fixture
def path(make: Callable[..., Artifact], tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    write_file(path, seal(make()))
    return path


def random(*arguments: object) -> int:
    return command.main(["random", *SIZES, *map(str, arguments)])


@pytest.mark.usefixtures("quickly")
def test_random_makes_an_artefact_that_validates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "models/random/1/model.onnx"

    assert random("--out", path) == 0
    assert "weights" in capsys.readouterr().out
    assert [one.name for one in path.parent.iterdir()] == ["model.onnx"]
    assert command.main(["validate", str(path)]) == 0
    assert "batch company" in capsys.readouterr().out


@pytest.mark.usefixtures("quickly")
def test_its_options_reach_the_model(tmp_path: Path) -> None:
    first, second, third = (tmp_path / name for name in ("1.onnx", "2.onnx", "3.onnx"))
    options = ("--reset-after", "--no-bias", "--activation", "identity", "--name", "traffic")

    assert random("--out", first, *options) == 0
    assert random("--out", second, *options) == 0
    assert random("--out", third, *options, "--seed", 1) == 0

    manifests = [read_artifact(path).manifest for path in (first, second, third)]
    assert manifests[0].name == "traffic"
    cell = manifests[0].cell
    assert (cell.form, cell.layers, cell.hidden, cell.bias) == (2, 2, 6, False)
    assert manifests[0].output.activation == manifests[0].output.ACTIVATION_IDENTITY
    assert manifests[0].content_digest == manifests[1].content_digest
    assert manifests[0].content_digest != manifests[2].content_digest


@pytest.mark.usefixtures("quickly")
def test_the_sequence_form_and_the_pictures_stand_where_they_are_asked_for(tmp_path: Path) -> None:
    out, sequence = tmp_path / "model.onnx", tmp_path / "other/sequence.onnx"
    picture = tmp_path / "proof.png"

    assert random("--out", out, "--sequence-form", sequence, "--picture", picture) == 0

    assert len(read_artifact(sequence).model.graph.input) == 3
    assert {one.name for one in tmp_path.iterdir()} == {
        "model.onnx",
        "other",
        "proof.png",
        "proof_sequence.png",
    }
    assert command.main(["validate", str(out), str(sequence)]) == 0


@pytest.mark.usefixtures("quickly")
def test_a_failed_proof_exits_1_and_leaves_every_file(
    tmp_path: Path,
    chaotic: Network,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, sequence = tmp_path / "model.onnx", tmp_path / "sequence.onnx"
    out.write_bytes(b"old")
    chaotic.head_bias[0] = 0.1  # no float32 number
    monkeypatch.setattr(command, "random_network", lambda *_, **__: chaotic)

    assert random("--out", out, "--sequence-form", sequence) == 1

    printed = capsys.readouterr()
    assert "FAILED" in printed.out
    assert "checks failed, and the model must not be served; weights" in printed.err
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.usefixtures("quickly")
def test_validate_exits_1_where_the_weights_are_not_those_of_the_answers(
    make: Callable[..., Artifact], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artifact, other = make(seed=1), make(seed=2)
    artifact.manifest.golden.CopyFrom(other.manifest.golden)
    path = tmp_path / "model.onnx"
    write_file(path, seal(artifact))

    assert command.main(["validate", str(path)]) == 1
    assert "error: 2 of 7 checks failed" in capsys.readouterr().err


@pytest.mark.usefixtures("quickly")
def test_validate_tells_each_file_and_ends_with_the_worst_code(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign.onnx"
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [])), foreign)

    assert command.main(["validate", str(foreign), str(path)]) == 2

    printed = capsys.readouterr()
    (line,) = [line for line in printed.err.splitlines() if not line.startswith("checked: ")]
    assert line.startswith(f"error: {foreign} has no manifest")
    assert str(path) in printed.out


@pytest.mark.usefixtures("quickly")
def test_int8_is_exported_told_and_validated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.onnx"
    sizes = ("--features", "4", "--hidden", "256", "--layers", "1", "--outputs", "3")

    words = ["random", *sizes, "--quantize", "int8", "--out", str(path)]
    assert command.main([*words, "--picture", str(tmp_path / "proof.png")]) == 0

    assert "random in int8 (" in capsys.readouterr().out
    assert read_artifact(path).manifest.cell.precision == 1
    assert command.main(["validate", str(path)]) == 0
    assert "random in int8 (" in capsys.readouterr().out


def test_int8_of_a_small_network_is_refused_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert random("--quantize", "int8", "--out", tmp_path / "new/model.onnx") == 2

    assert capsys.readouterr().err.startswith("error: hidden is 6: int8 is less exact than float32")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quickly")
def test_an_output_that_cannot_be_written_exits_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert random("--out", tmp_path) == 2
    assert "error: can't write" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--out FILE is missing"),
        (["--out", "m.onnx"], "--run FOLDER is missing"),
        (["--run", "runs/none"], "--out FILE is missing"),
        (["random", *SIZES], "--out FILE is missing"),
        (["random", *SIZES[:-1], "0", "--out", "m.onnx"], "--outputs: '0' is not a whole number"),
        (
            ["random", *SIZES[:-1], "few", "--out", "m.onnx"],
            "--outputs: 'few' is not a whole number",
        ),
        (
            ["random", *SIZES, "--out", "m", "--quantize", "int8", "--sequence-form", "s"],
            "--sequence-form has no int8 form",
        ),
        (["random", *SIZES, "--out", "m", "--quantize", "int4"], "--quantize: invalid choice"),
        (["validate"], "MODEL"),
        (["publish"], "invalid choice: 'publish'"),
    ],
)
def test_a_mistake_in_the_arguments_exits_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        command.main(arguments)

    assert end.value.code == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("arguments", [[], ["validate"], ["random"]])
def test_help_gives_an_example(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.main([*arguments, "--help"])

    assert end.value.code == 0
    assert (
        " ".join(["python -m export", *arguments]) in capsys.readouterr().out.split("example:")[1]
    )


def test_only_reading_a_run_needs_torch_and_only_a_picture_matplotlib(path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules.update(torch=None, matplotlib=None)  # to import them is an error now\n"
        "from export.__main__ import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    for arguments in (["validate", str(path)], ["random", *SIZES, "--out", str(path)]):
        interpreter = [sys.executable, "-W", "error", "-c", program, *arguments]
        result = subprocess.run(interpreter, cwd=ROOT, capture_output=True, text=True, check=False)

        assert result.returncode == 0, result.stderr
