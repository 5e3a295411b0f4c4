import dataclasses

import numpy as np
import pytest

from service.errors import ArtifactError
from service.models.selftest import replay
from service.runtime.engine import Engine


def test_a_proven_model_passes_with_the_same_fingerprint_at_any_batch_size(loaded):
    results = [replay(Engine(loaded, provider="cpu", max_batch=size)) for size in (1, 2, 64)]
    assert len({result.fingerprint for result in results}) == 1
    assert results[0].worst_error <= results[0].tolerance
    golden = loaded.golden
    assert results[0].values == golden.outputs.size + golden.final_state.size


def test_another_model_has_another_fingerprint(loaded, make_model):
    from service.artifacts import artifact

    other = artifact.load(make_model(seed=1))
    prints = {replay(Engine(a, provider="cpu", max_batch=4)).fingerprint for a in (loaded, other)}
    assert len(prints) == 2


@pytest.mark.parametrize("wrong", [1e-3, np.nan, np.inf])
@pytest.mark.parametrize(
    ("part", "place", "where"),
    [
        ("outputs", (3, 1, 2), "output at step 3, row 1, channel 2"),
        ("final_state", (2, 30), "final state at row 2, unit 30"),
    ],
)
def test_an_engine_that_computes_something_else_is_refused(loaded, part, place, where, wrong):
    expected = getattr(loaded.golden, part).copy()
    expected[place] += wrong
    golden = dataclasses.replace(loaded.golden, **{part: expected})
    engine = Engine(dataclasses.replace(loaded, golden=golden), provider="cpu", max_batch=4)
    with pytest.raises(ArtifactError, match=f"self-test failed on provider cpu: off by .*{where}"):
        replay(engine)
