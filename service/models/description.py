"""What a served model is, in the words of Triton's configuration.

Owns the config that clients are told: what the graph and its files say, every free choice filled
in. Knows nothing of transports.
"""

from protos.inference.model_config_pb2 import (
    DataType,
    ModelConfig,
    ModelInput,
    ModelOutput,
)
from service.models.served import ServedModel
from service.tensors import Tensor, wire_name


def describe(model: ServedModel) -> ModelConfig:
    """The whole configuration of a version."""
    signature = model.signature
    config = ModelConfig()
    if model.artifact.config is not None:
        config.CopyFrom(model.artifact.config)
    config.name = model.name
    if config.version_policy.WhichOneof("policy_choice") is None:
        config.version_policy.all.SetInParent()
    config.platform, config.backend = "onnxruntime_onnx", "onnxruntime"
    config.default_model_filename = model.artifact.path.name
    config.max_batch_size = model.batcher.max_batch if signature.batched else 0
    del config.input[:], config.output[:]
    for tensor in signature.inputs:
        config.input.append(
            ModelInput(name=tensor.name, data_type=_type(tensor), dims=dims(model, tensor))
        )
    for tensor in signature.outputs:
        config.output.append(
            ModelOutput(name=tensor.name, data_type=_type(tensor), dims=dims(model, tensor))
        )
    if signature.states and not config.HasField("sequence_batching"):
        # Any candidate may share a batch with any other.
        config.sequence_batching.oldest.max_candidate_sequences = model.arena.slots.capacity
        for state in signature.states:
            config.sequence_batching.state.add(
                input_name=state.tensor.name,
                output_name=state.output,
                data_type=_type(state.tensor),
                dims=state.tensor.shape,
            )
    if not signature.states and not config.WhichOneof("scheduling_choice"):
        config.dynamic_batching.SetInParent()
    return config


def dims(model: ServedModel, tensor: Tensor) -> tuple[int, ...]:
    """A tensor's shape without its batch; time, where it has that, is free."""
    free = tensor.timed or model.signature.time_axis
    return (-1, *tensor.shape[1:]) if free else tensor.shape


def metadata_shape(model: ServedModel, tensor: Tensor) -> tuple[int, ...]:
    """A tensor's shape with its batch."""
    return (-1, *dims(model, tensor)) if model.signature.batched else dims(model, tensor)


def _type(tensor: Tensor) -> DataType.ValueType:
    return DataType.Value(f"TYPE_{wire_name(tensor.dtype)}")
