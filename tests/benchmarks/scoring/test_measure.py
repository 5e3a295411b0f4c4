import json

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.errors import WrongAnswerError
from benchmarks.scoring import measure

CONTENDERS = [
    "ONNX Runtime alone",
    "statewise lanes",
    "session.run an entity, fused GRU",
    "torch.nn.GRU, padded batches",
    "score, 1 worker, files",
    "score, 2 workers, files",
    "Ray Data map_batches, files",
    "memory, sorted, 400 MB allowed",
    "memory, sorted, 200 MB allowed",
    "memory, mixed, 400 MB allowed",
    "memory, mixed, 200 MB allowed",
]


def test_a_quick_run_records_every_contender(tmp_path, capsys):
    assert main(["scoring", "--quick", "--results", str(tmp_path)]) == 0

    records = json.loads((tmp_path / "scoring.json").read_text())
    assert [record["contender"].partition(", best")[0] for record in records] == CONTENDERS
    for record in records:
        rate = record["rows"] / record["seconds"]
        assert record["rows_per_second"] == pytest.approx(rate)
    assert "of ONNX Runtime %" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [0.01, np.nan])
def test_wrong_answers_get_no_figures(wrong):
    answers = np.zeros((3, 2), np.float32)
    spoilt = answers.copy()
    spoilt[1, 1] = wrong

    with pytest.raises(WrongAnswerError, match="a peer is off by "):
        measure._require("a peer", spoilt, answers)
