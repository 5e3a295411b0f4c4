"""The two ends of the network's graph: input scaling, and the head with its activation.

Owns what stands in the graph before the first recurrent layer and after the last one, in both
directions: written from a network, and read back. Knows nothing of the layers between.

Scaling stays two nodes of its own. Folded into the first layer's weights it would save one
microsecond a call, but an input far from zero would lose its digits in the product before its mean
is taken off: at a mean of 100 scales the layer's error is 3e-5 in place of 3e-7.
"""

from dataclasses import dataclass

import numpy as np

from export.graph_reader import GraphReader
from export.graph_writer import GraphWriter
from training.reference import Activation, Array, Network


@dataclass(frozen=True)
class Edges:
    """The weights of both ends; the fields are those of Network."""

    input_mean: Array
    input_scale: Array
    head_weight: Array
    head_bias: Array
    output_mean: Array
    output_scale: Array


def write_scaling(graph: GraphWriter, network: Network, tensor: str) -> str:
    """Adds `(x - input_mean) / input_scale`, exactly as training computes it."""
    mean = graph.weight("input.mean", network.input_mean)
    scale = graph.weight("input.scale", network.input_scale)
    centred = graph.node("Sub", [tensor, mean], "input.centred")
    return graph.node("Div", [centred, scale], "input.scaled")


def write_head(graph: GraphWriter, network: Network, tensor: str, output: str) -> None:
    """Adds the head over the last axis of `tensor`, and the activation."""
    weight = graph.weight("head.weight", network.head_weight.T)  # (hidden, outputs)
    bias = graph.weight("head.bias", network.head_bias)
    product = graph.node("MatMul", [tensor, weight], "head.product")
    logits = graph.node("Add", [product, bias], "head.logits")
    if network.activation == "softmax":
        graph.node("Softmax", [logits], output, axis=-1)
    elif network.activation == "sigmoid":
        graph.node("Sigmoid", [logits], output)
    else:
        scale = graph.weight("output.scale", network.output_scale)
        mean = graph.weight("output.mean", network.output_mean)
        scaled = graph.node("Mul", [logits, scale], "output.scaled")
        graph.node("Add", [scaled, mean], output)


def read_edges(
    graph: GraphReader, features: int, hidden: int, outputs: int, activation: Activation
) -> Edges:
    """Reads both ends back.

    Raises:
        ArtifactError: a weight is missing or has another shape.
    """
    scaled = activation == "identity"
    return Edges(
        input_mean=graph.weight("input.mean", (features,)),
        input_scale=graph.weight("input.scale", (features,)),
        head_weight=graph.weight("head.weight", (hidden, outputs)).T,
        head_bias=graph.weight("head.bias", (outputs,)),
        output_mean=graph.weight("output.mean", (outputs,)) if scaled else np.zeros(outputs),
        output_scale=graph.weight("output.scale", (outputs,)) if scaled else np.ones(outputs),
    )
