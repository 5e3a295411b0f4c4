"""The benchmark of training: what it compares is the same work."""

import argparse
from dataclasses import replace

import pytest
import torch

from benchmarks.errors import BenchmarkError
from benchmarks.training.contenders import Size, make_contenders
from benchmarks.training.speed import compare, measure

SIZE = Size(steps=5, batch=3, inputs=4, hidden=6)


def test_all_of_a_cell_form_compute_the_same() -> None:
    generator = torch.Generator().manual_seed(1)
    contenders = make_contenders(SIZE, generator)
    errors = compare(contenders, torch.randn(5, 3, 4), torch.randn(5, 3, 6))
    assert len(errors) == 7
    assert max(errors.values()) < 1e-5


def test_another_result_is_not_measured() -> None:
    contenders = make_contenders(SIZE, torch.Generator().manual_seed(1))
    wrong = replace(contenders[-1], run=lambda inputs: contenders[-1].run(inputs) * 1.01)
    with pytest.raises(BenchmarkError, match="differs"):
        compare([*contenders[:-1], wrong], torch.randn(5, 3, 4), torch.randn(5, 3, 6))


def test_a_record_for_every_layer_and_number_of_threads() -> None:
    threads = torch.get_num_threads()
    records = measure(argparse.Namespace(quick=True, repeats=1))
    assert len(records) == 14
    assert {record["threads"] for record in records} == {1, 2}
    assert {record["times_nn_gru"] for record in records if record["layer"] == "nn.GRU"} == {1.0}
    assert torch.get_num_threads() == threads
