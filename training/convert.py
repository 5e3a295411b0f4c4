"""Weights from one form to another, in pairs.

Owns the mapping between three layouts of the same numbers: the float64 `reference`, this project's
torch modules (gates stacked z, r, c), and `torch.nn.GRU` (gates stacked r, z, n, two biases a
gate, reset-after only).
"""

from collections.abc import Iterable
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from training.gru import GruLayer
from training.network import RecurrentNetwork, Shape
from training.reference import Activation, Array, Layer, Network


def to_reference(network: RecurrentNetwork, activation: Activation) -> Network:
    """The network as the reference sees it: float64 copies of its weights."""
    layers = cast(Iterable[GruLayer], network.gru.layers)
    return Network(
        layers=tuple(_to_layer(layer) for layer in layers),
        reset_after=network.shape.reset_after,
        bias=network.shape.bias,
        input_mean=_array(network.input_mean),
        input_scale=_array(network.input_scale),
        head_weight=_array(network.head.weight),
        head_bias=_array(network.head.bias),
        activation=activation,
        output_mean=_array(network.output_mean),
        output_scale=_array(network.output_scale),
    )


@torch.no_grad()
def from_reference(reference: Network) -> RecurrentNetwork:
    """The reference's weights as a trainable network, float64.

    The activation stays behind: a trainable network ends at the head's values.
    """
    network = RecurrentNetwork(
        Shape(
            features=reference.features,
            outputs=reference.outputs,
            hidden=reference.hidden,
            layers=len(reference.layers),
            reset_after=reference.reset_after,
            bias=reference.bias,
        )
    ).double()
    layers = cast(Iterable[GruLayer], network.gru.layers)
    for layer, weights in zip(layers, reference.layers, strict=True):
        _load_layer(layer, weights)
    network.input_mean.copy_(torch.from_numpy(reference.input_mean))
    network.input_scale.copy_(torch.from_numpy(reference.input_scale))
    network.output_mean.copy_(torch.from_numpy(reference.output_mean))
    network.output_scale.copy_(torch.from_numpy(reference.output_scale))
    network.head.weight.copy_(torch.from_numpy(reference.head_weight))
    network.head.bias.copy_(torch.from_numpy(reference.head_bias))
    return network


def from_torch_gru(gru: nn.GRU) -> tuple[Layer, ...]:
    """The layers of a `torch.nn.GRU`, for a reference network with `reset_after=True`.

    PyTorch's two biases of z and r only ever appear as their sum.
    """
    layers = []
    for index in range(gru.num_layers):
        w_r, w_z, w_c = _thirds(gru, f"weight_ih_l{index}")
        u_r, u_z, u_c = _thirds(gru, f"weight_hh_l{index}")
        zeros = np.zeros(gru.hidden_size)
        b_r, b_z, b_c = _thirds(gru, f"bias_ih_l{index}") if gru.bias else (zeros,) * 3
        d_r, d_z, d_c = _thirds(gru, f"bias_hh_l{index}") if gru.bias else (zeros,) * 3
        layers.append(Layer(w_z, w_r, w_c, u_z, u_r, u_c, b_z + d_z, b_r + d_r, b_c, d_c))
    return tuple(layers)


@torch.no_grad()
def to_torch_gru(layers: tuple[Layer, ...], *, bias: bool) -> nn.GRU:
    """A float64 `torch.nn.GRU` with the layers of a reset-after reference network."""
    hidden, features = layers[0].w_z.shape
    gru = nn.GRU(features, hidden, len(layers), bias=bias, dtype=torch.float64)
    for index, layer in enumerate(layers):
        stacked = {
            "weight_ih": (layer.w_r, layer.w_z, layer.w_c),
            "weight_hh": (layer.u_r, layer.u_z, layer.u_c),
        }
        if bias:
            zeros = np.zeros(hidden)
            stacked["bias_ih"] = (layer.b_r, layer.b_z, layer.b_c)
            stacked["bias_hh"] = (zeros, zeros, layer.d_c)
        for name, gates in stacked.items():
            getattr(gru, f"{name}_l{index}").copy_(torch.from_numpy(np.concatenate(gates)))
    return gru


def _to_layer(layer: GruLayer) -> Layer:
    w_z, w_r, w_c = _array(layer.input_weight).reshape(3, layer.hidden, -1)
    u_z, u_r = _array(layer.gate_weight).reshape(2, layer.hidden, -1)
    biases = np.zeros((3, layer.hidden)) if layer.bias is None else _array(layer.bias)
    b_z, b_r, b_c = biases.reshape(3, layer.hidden)
    inner = layer.candidate_bias
    d_c = np.zeros(layer.hidden) if inner is None else _array(inner)
    return Layer(w_z, w_r, w_c, u_z, u_r, _array(layer.candidate_weight), b_z, b_r, b_c, d_c)


def _load_layer(layer: GruLayer, weights: Layer) -> None:
    stacked: list[tuple[Tensor | None, tuple[Array, ...]]] = [
        (layer.input_weight, (weights.w_z, weights.w_r, weights.w_c)),
        (layer.gate_weight, (weights.u_z, weights.u_r)),
        (layer.candidate_weight, (weights.u_c,)),
        (layer.bias, (weights.b_z, weights.b_r, weights.b_c)),
        (layer.candidate_bias, (weights.d_c,)),
    ]
    for parameter, gates in stacked:
        if parameter is not None:
            parameter.copy_(torch.from_numpy(np.concatenate(gates)))


def _thirds(gru: nn.GRU, name: str) -> tuple[Array, Array, Array]:
    """A stacked parameter's three gates, in PyTorch's order r, z, n."""
    r, z, n = np.split(_array(getattr(gru, name)), 3)
    return r, z, n


def _array(tensor: Tensor) -> Array:
    return np.asarray(tensor.detach().cpu().numpy().astype(np.float64))
