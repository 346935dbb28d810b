"""V, M and C as ONNX graphs, written node by node: the same bytes every time, and no path of this machine in them.

Opset 13 is the lowest that has every form used here, and readers of older versions take it. ONNX has no random numbers
of a given distribution with a seed of one's own, so a step's noise is an input.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from dreamgym.controller.linear import LinearController
from dreamgym.export import weights
from dreamgym.memory.mdn_rnn import MDNRNN
from dreamgym.vision.vae import IMAGE_SIZE, VAE

__all__ = ["controller", "decoder", "encoder", "step"]

_OPSET: Final = 13
_IR_VERSION: Final = 7  # the one that opset 13 came with
_IMAGE: Final = (3, IMAGE_SIZE, IMAGE_SIZE)


_Shapes = Mapping[str, Sequence[int]]


class _Graph:
    """Nodes and constants in the order they are added; every one is named by its output.

    Args:
        half: store weights of two dimensions and more in float16; they are cast before use.
    """

    def __init__(self, half: bool) -> None:
        self._half = half
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def add(self, operator: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> str:
        """A node; returns its first output."""
        self._nodes.append(helper.make_node(operator, list(inputs), list(outputs), name=outputs[0], **attributes))
        return outputs[0]

    def constant(self, name: str, value: ArrayLike, dtype: type = np.float32) -> str:
        """A tensor of the graph's own; returns its name."""
        array: NDArray[Any] = np.ascontiguousarray(value, dtype)
        if self._half and array.ndim >= 2 and dtype is np.float32:
            self._constants.append(numpy_helper.from_array(array.astype(np.float16), f"{name}_half"))
            return self.add("Cast", [f"{name}_half"], name, to=TensorProto.FLOAT)
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def affine(self, value: str, weight: NDArray[Any], bias: NDArray[Any], name: str) -> str:
        """value @ weight + bias."""
        parts = [value, self.constant(f"{name}_weight", weight), self.constant(f"{name}_bias", bias)]
        return self.add("Gemm", parts, name)

    def split(self, value: str, sizes: Sequence[int], names: Sequence[str], axis: int = 1) -> None:
        """Parts of a value along an axis."""
        self.add("Split", [value, self.constant(f"{names[0]}_sizes", sizes, np.int64)], *names, axis=axis)

    def with_axis(self, operator: str, value: str, axis: int, name: str, **attributes: Any) -> str:
        """An operator that takes its axis as a tensor."""
        return self.add(operator, [value, self.constant(f"{name}_axis", [axis], np.int64)], name, **attributes)

    def reshaped(self, value: str, shape: Sequence[int], name: str) -> str:
        """(N, ...) as (N, *shape)."""
        return self.add("Reshape", [value, self.constant(f"{name}_shape", [-1, *shape], np.int64)], name)

    def where_true(self, operator: str, first: str, second: str, name: str) -> str:
        """A comparison as 1 or 0, float32."""
        return self.add("Cast", [self.add(operator, [first, second], f"{name}_true")], name, to=TensorProto.FLOAT)

    def model(self, name: str, inputs: _Shapes, outputs: _Shapes, manifest: dict[str, Any]) -> bytes:
        """The finished model's bytes; shapes are without the leading N, the rows."""

        def described(values: _Shapes) -> list[onnx.ValueInfoProto]:
            float32 = TensorProto.FLOAT
            return [helper.make_tensor_value_info(key, float32, ["N", *shape]) for key, shape in values.items()]

        graph = helper.make_graph(self._nodes, name, described(inputs), described(outputs), self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="dreamgym")
        model.ir_version = _IR_VERSION
        helper.set_model_props(model, {"dreamgym": json.dumps(manifest, sort_keys=True)})
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))


def step(memory: MDNRNN, manifest: dict[str, Any], *, half: bool = False) -> bytes:
    """One step of M and the draw of the next z.

    Inputs, float32: ``z`` (N, Z), ``h`` and ``c`` (N, H), ``action`` (N, A) as executed, ``uniform`` (N, Z) in [0, 1),
    ``normal`` (N, Z + F), ``temperature`` (N, 1). Outputs: ``next_z``, ``next_h``, ``next_c``, ``units`` (N, 1), what
    the reward rule counts, and ``termination_logit`` (N, 1).

    Args:
        memory: M.
        manifest: of :func:`dreamgym.export.manifest.manifest`.
        half: store the weights in float16.
    """
    graph = _Graph(half)
    z, h, factors = memory.latent_size, memory.hidden_size, memory.factors
    _lstm(graph, memory)
    graph.affine("next_h", *weights.heads(memory), "heads")
    outputs = {"mixture": 3 * memory.mixtures * z, "loadings": factors * z, "units_raw": 1, "termination_logit": 1}
    there = {name: size for name, size in outputs.items() if size}
    graph.split("heads", list(there.values()), list(there))
    _draw(graph, memory, manifest)
    _units(graph, manifest["rewards"])
    inputs = {"z": [z], "h": [h], "c": [h], "action": [memory.action_size], "uniform": [z], "normal": [z + factors]}
    given = {"next_z": [z], "next_h": [h], "next_c": [h], "units": [1], "termination_logit": [1]}
    return graph.model("step", {**inputs, "temperature": [1]}, given, manifest)


def _lstm(graph: _Graph, memory: MDNRNN) -> None:
    row = graph.add("Concat", ["z", "h", "action"], "row", axis=1)
    gates = graph.affine(row, *weights.gates(memory), "gates")
    names = ["input_gate", "forget_gate", "candidate", "output_gate"]
    graph.split(gates, [memory.hidden_size] * 4, [f"{name}_raw" for name in names])
    for name in names:
        graph.add("Tanh" if name == "candidate" else "Sigmoid", [f"{name}_raw"], name)
    kept = graph.add("Mul", ["forget_gate", "c"], "kept")
    written = graph.add("Mul", ["input_gate", "candidate"], "written")
    graph.add("Add", [kept, written], "next_c")
    graph.add("Mul", ["output_gate", graph.add("Tanh", ["next_c"], "squashed_c")], "next_h")


def _draw(graph: _Graph, memory: MDNRNN, manifest: dict[str, Any]) -> None:
    """The mixture at a temperature: logits / temperature, sigma * sqrt(temperature), noise with common factors."""
    z, k, factors = memory.latent_size, memory.mixtures, memory.factors
    mixture = graph.reshaped("mixture", [3 * k, z], "mixture_by_component")  # (N, 3 K, Z)
    graph.split(mixture, [k] * 3, ["logits", "means", "log_sigmas"])
    temperature = graph.with_axis("Unsqueeze", "temperature", 2, "temperature_by_component")  # (N, 1, 1)
    divided = graph.add("Div", ["logits", temperature], "warm_logits")
    weight = graph.add("Softmax", [divided], "component_weights", axis=1)
    triangle = graph.constant("triangle", np.tri(k))  # exact in float16
    cumulative = graph.add("MatMul", [triangle, weight], "cumulative_weights")
    uniform = graph.with_axis("Unsqueeze", "uniform", 1, "uniform_by_component")  # (N, 1, Z)
    beyond = graph.where_true("LessOrEqual", cumulative, uniform, "beyond")
    count = graph.with_axis("ReduceSum", beyond, 1, "components_beyond", keepdims=1)
    chosen = graph.add("Min", [count, graph.constant("last_component", [k - 1.0])], "chosen_component")
    indices = graph.constant("component_indices", np.arange(k)[None, :, None])
    mask = graph.where_true("Equal", chosen, indices, "chosen_mask")
    for name in ("means", "log_sigmas"):
        picked = graph.add("Mul", [mask, name], f"masked_{name}")
        graph.with_axis("ReduceSum", picked, 1, f"chosen_{name}", keepdims=0)
    low, high = (
        graph.constant(f"log_sigma_{end}", np.float32(limit))
        for end, limit in zip(("low", "high"), manifest["log_sigma"], strict=True)
    )
    sigma = graph.add("Exp", [graph.add("Clip", ["chosen_log_sigmas", low, high], "clipped_log_sigmas")], "sigma")
    spread = graph.add("Mul", [sigma, graph.add("Sqrt", ["temperature"], "root_temperature")], "spread")
    moved = graph.add("Mul", [spread, _noise(graph, z, factors)], "moved")
    drawn = graph.add("Add", ["chosen_means", moved], "drawn")
    limits = [
        graph.constant(f"z_{name}", np.float32(sign * manifest["latent_limit"]))
        for name, sign in (("low", -1), ("high", 1))
    ]
    graph.add("Clip", [drawn, *limits], "next_z")


def _noise(graph: _Graph, z: int, factors: int) -> str:
    if not factors:
        return "normal"
    graph.split("normal", [z, factors], ["own_noise", "common_noise"])
    loadings = graph.reshaped("loadings", [factors, z], "loadings_by_factor")
    common = graph.with_axis("Unsqueeze", "common_noise", 2, "common_noise_by_factor")  # (N, F, 1)
    moves = graph.with_axis("ReduceSum", graph.add("Mul", [common, loadings], "moves"), 1, "common_moves", keepdims=0)
    return graph.add("Add", ["own_noise", moves], "noise")


def _units(graph: _Graph, rewards: dict[str, Any]) -> None:
    """What the reward head says, by the reward rule: 0 where there is no head, or at the threshold and below."""
    predicted = "units_raw"
    if rewards["head"] == "count":
        predicted = graph.add("Softplus", [predicted], "units_said")
    least = np.inf if rewards["head"] == "none" else rewards["threshold"]
    if least is None:
        graph.add("Identity", [predicted], "units")
        return
    paid = graph.where_true("Greater", predicted, graph.constant("units_threshold", np.float32(least)), "units_paid")
    graph.add("Mul", [predicted, paid], "units")


def decoder(vision: VAE, manifest: dict[str, Any], *, half: bool = False) -> bytes:
    """V's decoder: ``z`` (N, Z) to ``image`` (N, 3, 64, 64) in 0..1."""
    graph = _Graph(half)
    weight, bias = weights.opening(vision)
    first = graph.affine("z", weight.reshape(len(weight), -1), bias.reshape(-1), "first_pixels")
    value = graph.reshaped(first, bias.shape, "first_picture")
    for index, layer in enumerate(weights.deconvolutions(vision)):
        value = graph.add("Relu", [value], f"rectified_{index}")
        parts = [graph.constant(f"deconvolution_{index}_{key}", part) for key, part in layer._asdict().items()]
        size = layer.weight.shape[2:]
        value = graph.add(
            "ConvTranspose", [value, *parts], f"deconvolution_{index}", strides=[2, 2], kernel_shape=list(size)
        )
    graph.add("Sigmoid", [value], "image")
    return graph.model("decoder", {"z": [vision.latent_size]}, {"image": _IMAGE}, manifest)


def encoder(vision: VAE, manifest: dict[str, Any], *, half: bool = False) -> bytes:
    """V's encoder.

    ``image`` (N, 3, 64, 64) in 0..1 to ``mean`` and ``log_variance``, (N, Z) each.
    """
    graph = _Graph(half)
    value = "image"
    convolutions = [layer for layer in vision.encoder if isinstance(layer, nn.Conv2d)]
    for index, layer in enumerate(convolutions):
        assert layer.bias is not None
        parts = [
            graph.constant(f"convolution_{index}_{key}", part.detach().cpu().numpy())
            for key, part in (("weight", layer.weight), ("bias", layer.bias))
        ]
        value = graph.add("Conv", [value, *parts], f"convolution_{index}", strides=[2, 2], kernel_shape=[4, 4])
        value = graph.add("Relu", [value], f"rectified_{index}")
    features = graph.add("Flatten", [value], "features", axis=1)
    for name, head in (("mean", vision.mean), ("log_variance", vision.log_variance)):
        graph.affine(features, head.weight.detach().cpu().numpy().T, head.bias.detach().cpu().numpy(), name)
    latents = [vision.latent_size]
    return graph.model("encoder", {"image": _IMAGE}, {"mean": latents, "log_variance": latents}, manifest)


def controller(linear: LinearController, manifest: dict[str, Any]) -> bytes:
    """C, with its actions as they are executed.

    ``z`` (N, Z) and ``h`` (N, H) to ``action`` (N, A).
    """
    graph = _Graph(half=False)
    sizes, actions = manifest["sizes"], manifest["actions"]
    observation = graph.add("Concat", ["z", "h"], "observation", axis=1)
    value = graph.add("Tanh", [graph.affine(observation, linear.weights.T, linear.bias, "raw")], "squashed")
    kinds = np.array(actions["squash"])
    for operator, name, numbers in (
        ("Mul", "scaled", np.where(kinds == "unit", 0.5, 1.0)),
        ("Add", "shifted", np.where(kinds == "unit", 0.5, 0.0)),
        ("Max", "vector", np.where(kinds == "positive", 0.0, -1.0)),
    ):
        value = graph.add(operator, [value, graph.constant(f"{name}_by", numbers)], name)
    _executed(graph, value, actions, sizes["actions"])
    inputs = {"z": [sizes["latents"]], "h": [sizes["hidden"]]}
    return graph.model("controller", inputs, {"action": [sizes["actions"]]}, manifest)


def _executed(graph: _Graph, vector: str, actions: dict[str, Any], size: int) -> None:
    """See ``ActionSet.executed``."""
    if actions["box"]:
        _by_rule(graph, vector, actions, size, "action")
        return
    table = graph.constant("discrete_actions", actions["discrete"])  # (n, A)
    done = graph.with_axis("Unsqueeze", _by_rule(graph, vector, actions, size, "done"), 1, "done_by_action")
    away = graph.add("Sub", [done, table], "away")
    distances = graph.with_axis("ReduceSum", graph.add("Mul", [away, away], "squares"), 2, "distances", keepdims=0)
    nearest = graph.add("ArgMin", [distances], "nearest", axis=1, keepdims=0)
    graph.add("Gather", [table, nearest], "action", axis=0)


def _by_rule(graph: _Graph, vector: str, actions: dict[str, Any], size: int, name: str) -> str:
    if actions["rule"] == "given":
        return graph.add("Identity", [vector], name)
    if actions["rule"] == "thresholds":
        ends = {"Greater": actions["threshold"], "Less": -actions["threshold"]}
        parts = [
            graph.where_true(
                operator, vector, graph.constant(f"limit_{operator.lower()}", np.float32(limit)), operator.lower()
            )
            for operator, limit in ends.items()
        ]
        return graph.add("Sub", parts, name)
    chosen = graph.add("ArgMax", [vector], "chosen", axis=1, keepdims=1)
    return graph.where_true("Equal", chosen, graph.constant("indices", np.arange(size)[None], np.int64), name)
