"""A version that takes another's place under its version_policy, over a real server."""

import shutil

import grpc
import numpy as np
import pytest
from processes import failed, serving

from protos.inference import service_pb2 as wire
from protos.inference.service_pb2_grpc import GRPCInferenceServiceStub

CONFIG = "version_policy { latest { num_versions: 1 } }"
FEATURES = 5


@pytest.fixture
def path(model_path, tmp_path):
    """A repository of its own, with one version and a policy."""
    path = tmp_path / "models" / "random" / "1" / "model.onnx"
    path.parent.mkdir(parents=True)
    shutil.copy(model_path, path)
    (path.parent.parent / "config.pbtxt").write_text(CONFIG)
    return path


def request(sequence, *, start=False, end=False):
    row = np.random.default_rng(sequence).normal(size=(1, FEATURES)).astype(np.float32)
    message = wire.ModelInferRequest(model_name="random", raw_input_contents=[row.tobytes()])
    message.inputs.add(name="input", datatype="FP32", shape=row.shape)
    message.parameters["sequence_id"].int64_param = sequence
    message.parameters["sequence_start"].bool_param = start
    message.parameters["sequence_end"].bool_param = end
    return message


def test_new_sequences_take_the_new_version_and_the_old_one_takes_no_more(path):
    with serving(path) as server, grpc.insecure_channel(server.target) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(request(1, start=True)).model_version == "1"
        shutil.copytree(path.parent, path.parent.parent / "2")
        stub.RepositoryModelLoad(wire.RepositoryModelLoadRequest(model_name="random"))

        index = stub.RepositoryIndex(wire.RepositoryIndexRequest())
        states = {one.version: one.state for one in index.models}
        assert states == {"1": "UNLOADING", "2": "READY"}
        assert stub.ModelInfer(request(1)).model_version == "1"
        assert stub.ModelInfer(request(2, start=True)).model_version == "2"
        config = stub.ModelConfig(wire.ModelConfigRequest(name="random")).config
        assert config.version_policy.latest.num_versions == 1
        assert stub.ModelInfer(request(1, end=True)).model_version == "1"

        (path.parent.parent / "config.pbtxt").write_text(CONFIG.replace("1", "0"))
        with pytest.raises(grpc.RpcError, match="num_versions is 0; take 1 or more"):
            stub.RepositoryModelLoad(wire.RepositoryModelLoadRequest(model_name="random"))
        assert stub.ModelInfer(request(2)).model_version == "2"


@pytest.mark.parametrize(
    ("policy", "fault"),
    [
        ("latest { num_versions: 0 }", "num_versions is 0; take 1 or more"),
        ("specific { versions: [ 4 ] }", "version 4 is not there, of 1; add "),
    ],
)
def test_a_policy_that_nobody_can_follow_stops_the_start(path, policy, fault):
    (path.parent.parent / "config.pbtxt").write_text(f"version_policy {{ {policy} }}")
    repository = path.parent.parent.parent
    assert fault in failed("--model-repository", repository, "--port", 0, "--metrics-port", 0)
