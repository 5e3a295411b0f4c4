"""Networks, artefacts and ways to spoil them, for all tests of the export."""

from collections.abc import Callable
from dataclasses import fields, replace

import numpy as np
import onnx
import pytest

from export.artifact import Artifact, serialize
from export.exporter import make_artifact
from export.forms import STEP, Form
from export.proof import Proof, ProofSettings, prove
from export.random_model import random_model, random_network
from protos.content import content_digest
from training.reference import Layer, Network

QUICK = ProofSettings(
    reference_steps=60, reference_batches=(1, 3), company_batches=(2, 5, 17), chunked_steps=7
)
Spoil = Callable[[onnx.ModelProto], None]


@pytest.fixture(scope="session")
def quick() -> ProofSettings:
    """A proof of every check in a few milliseconds each."""
    return QUICK


@pytest.fixture
def make() -> Callable[..., Artifact]:
    """Makes a small artefact that is proven."""

    def made(form: Form = STEP, network: Network | None = None, **options: object) -> Artifact:
        network = network or random_network(4, 6, 2, 3, **options)
        artifact, proof = make_artifact(random_model(network), form, QUICK)
        assert not proof.failures
        return artifact

    return made


@pytest.fixture
def prove_spoilt() -> Callable[[Artifact, Spoil], Proof]:
    """Spoils an artefact's graph, stamps it as if it were new, and proves it without checkpoint."""

    def proven(artifact: Artifact, spoil: Spoil) -> Proof:
        model, manifest = onnx.ModelProto(), type(artifact.manifest)()
        model.CopyFrom(artifact.model)
        spoil(model)
        manifest.CopyFrom(artifact.manifest)
        manifest.content_digest = content_digest(serialize(model))
        return prove(Artifact(model, manifest), settings=QUICK)

    return proven


@pytest.fixture
def chaotic() -> Network:
    """A network that blows float32's rounding up to the size of the state."""
    network = random_network(16, 32, 1, 3, seed=1)
    layer = network.layers[0]
    grown = {f.name: (8 * getattr(layer, f.name)).astype(np.float32) for f in fields(Layer)}
    return replace(network, layers=(Layer(**{k: v.astype(float) for k, v in grown.items()}),))
