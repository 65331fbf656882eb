"""Layers of an ONNX file in int8: which of them, and the ranges of what they take and give, which images tell.

Static quantisation by onnxruntime's own quantiser (arXiv:2004.09602 says how): weights signed and by output channel,
what goes between layers unsigned and by tensor, written as pairs of QuantizeLinear and DequantizeLinear, which
onnxruntime and OpenVINO both run in integers.
"""

import contextlib
import logging
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["layers_to_quantize", "quantize_onnx"]

# The first one whose QuantizeLinear has an axis, which scales by channel need.
_OPSET = 13

_LAYERS = ("Conv", "Gemm", "MatMul")
# What can run in integers between convolutions: it picks, joins or adds their values.
_CARRIERS = ("Add", "AveragePool", "Concat", "MaxPool")
# In integers they are the range of what is in front of them.
_ACTIVATIONS = ("Clip", "Relu")
_IMAGE_POOLS = ("GlobalAveragePool", "ReduceMean")


def quantize_onnx(source: Path, target: Path, batches: Iterable[np.ndarray], input_name: str) -> dict[str, int]:
    """Writes an ONNX model with layers in int8.

    Args:
        source: An ONNX model in float32.
        target: The file to write.
        batches: Inputs of the model, from which the ranges are taken.
        input_name: Name of the input.

    Returns:
        How many layers are in int8 (`int8_layers`), and how many of the same types stayed in float (`float_layers`).

    Raises:
        ValueError: The model has no layer that can run in int8.
    """
    import onnx
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory(prefix="mindcv_int8_") as folder:
        prepared = Path(folder, "prepared.onnx")
        model = _prepared(source, prepared)
        nodes = layers_to_quantize(model.graph)
        _give_own_constants(model.graph, nodes)
        op_types = {node.name: node.op_type for node in model.graph.node}
        count = sum(op_types[name] in _LAYERS for name in nodes)
        if not count:
            raise ValueError("the network has no layer that can run in int8")
        onnx.save(model, prepared)
        with _quiet():
            quantization.quantize_static(
                prepared,
                target,
                _reader(batches, input_name),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=[*_LAYERS, *_CARRIERS, *_ACTIVATIONS],
                nodes_to_quantize=nodes,
                per_channel=True,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                calibrate_method=quantization.CalibrationMethod.MinMax,
                # A dense layer can give float at no cost, which a LayerNorm or GELU behind it is better off with.
                extra_options={"OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"]},
            )
    return {"int8_layers": count, "float_layers": sum(op_type in _LAYERS for op_type in op_types.values()) - count}


def _prepared(source: Path, target: Path) -> Any:
    """Returns the model with constants and BatchNorms folded, as onnxruntime does it, and a name for each node."""
    import onnx
    import onnxruntime
    from onnx import version_converter

    model = version_converter.convert_version(onnx.load(str(source)), _OPSET)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    model = onnx.load(str(target))
    used = {node.domain for node in model.graph.node}
    imports = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(imports)
    for index, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{index}"
    # By which the quantiser knows that nothing is left to prepare.
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    return model


def _give_own_constants(graph: Any, names: list[str]) -> None:
    """Copies constants that several of the named nodes read.

    A bias is scaled by the input's scale too, and the quantiser would write the one that they share once for each.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    wanted, seen = set(names), set()
    for node in graph.node:
        if node.name not in wanted:
            continue
        for index, name in enumerate(node.input):
            if name in constants and name in seen:
                copied = graph.initializer.add()
                copied.CopyFrom(constants[name])
                copied.name = node.input[index] = f"{name}_of_{node.name}"
            seen.add(name)


class _Graph:
    """Who makes and who takes each tensor of an ONNX graph."""

    def __init__(self, graph: Any) -> None:
        self.nodes = list(graph.node)
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        self.maker = {name: node for node in self.nodes for name in node.output}
        self.takers: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self.takers[name].append(node)

    def inputs(self, node: Any) -> list[str]:
        """The inputs of a node that are no constants."""
        return [name for name in node.input if name and name not in self.weights]

    def is_layer(self, node: Any) -> bool:
        """Whether a node multiplies by weights; attention's products of two tensors do not.

        Nor is a product with a stack of matrices one: it has no axis of output channels.
        """
        if node.op_type not in _LAYERS or node.input[1] not in self.weights or node.input[0] in self.weights:
            return False
        return node.op_type == "Conv" or len(self.weights[node.input[1]].dims) <= 2

    def source(self, name: str) -> str:
        """The name of the node that a tensor comes from, but for activations; '' for the model's input."""
        node = self.maker.get(name)
        while node is not None and node.op_type in _ACTIVATIONS:
            node = self.maker.get(node.input[0])
        return "" if node is None else node.name

    def goals(self, node: Any) -> Iterator[str]:
        """The names of the nodes that an output goes to, but for activations."""
        for name in node.output:
            for taker in self.takers[name]:
                if taker.op_type in _ACTIVATIONS:
                    yield from self.goals(taker)
                else:
                    yield taker.name


def layers_to_quantize(graph: Any) -> list[str]:
    """Returns the names of the nodes of an ONNX graph that run in int8.

    * Convolutions and dense layers with constant weights, but for those of gates (squeeze-and-excitation): they cost
      next to nothing, and what they say scales whole channels.
    * Between convolutions, additions, concatenations and pooling, where all that goes in comes from such layers, and
      something of what comes out goes to one: without that each would be a way out of integers and back.

    All else stays in float: LayerNorm, GELU, Softmax and a gate's product need more than 8 bits, and so do the sums of
    a transformer's branches, whose few large values leave nothing of the small ones.
    """
    view = _Graph(graph)
    gates = _gates(view)
    layers = {node.name for node in view.nodes if view.is_layer(node)} - gates
    maps = {node.name for node in view.nodes if node.op_type == "Conv"} & layers
    carriers = _carriers(view, maps)
    activations = {
        node.name
        for node in view.nodes
        if node.op_type in _ACTIVATIONS and view.source(node.output[0]) in maps | carriers
    }
    return [node.name for node in view.nodes if node.name in layers | carriers | activations]


def _carriers(view: _Graph, maps: set[str]) -> set[str]:
    """The nodes between convolutions that can run in integers: those that others rely on fall with them."""
    candidates = {
        node.name: node
        for node in view.nodes
        if node.op_type in _CARRIERS and len(view.inputs(node)) == len(node.input)
    }
    while True:
        integers = maps | candidates.keys()
        kept = {
            name: node
            for name, node in candidates.items()
            if all(view.source(tensor) in integers for tensor in node.input) and integers & set(view.goals(node))
        }
        if len(kept) == len(candidates):
            return set(kept)
        candidates = kept


def _gates(view: _Graph) -> set[str]:
    """The layers that work on what a pool over the whole image gave, and whose result meets an image again."""
    pooled: set[str] = set()
    for node in view.nodes:  # in the order in which they run
        inputs = view.inputs(node)
        if node.op_type in _IMAGE_POOLS or (inputs and pooled.issuperset(inputs)):
            pooled.update(node.output)
    meets_image: set[str] = set()
    for node in reversed(view.nodes):
        takers = [taker for name in node.output for taker in view.takers[name]]
        if any(taker.name in meets_image or not pooled.issuperset(view.inputs(taker)) for taker in takers):
            meets_image.add(node.name)
    return {
        node.name
        for node in view.nodes
        if view.is_layer(node) and pooled.issuperset(view.inputs(node)) and node.name in meets_image
    }


def _reader(batches: Iterable[np.ndarray], input_name: str) -> Any:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches = iter(batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.batches, None)
            return None if batch is None else {input_name: batch}

    return Reader()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser gives advice by the root logger, which would be on the user's screen."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)
