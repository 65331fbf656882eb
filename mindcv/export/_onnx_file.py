"""ONNX files, read and checked."""

from pathlib import Path
from typing import Any

__all__ = ["read_onnx"]


def read_onnx(path: Path) -> Any:
    """Returns the model of an ONNX file, which holds all of its weights itself.

    Raises:
        ImportError: The package onnx is not installed.
        ValueError: It is no ONNX model, or keeps weights in other files: those could be any file of this machine.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ImportError(f"{path}: an ONNX file is read with onnx ({error}); pip install 'mindcv[export]'") from error
    try:
        model = onnx.load(str(path), load_external_data=False)
    except DecodeError as error:
        raise ValueError(f"{path}: is no ONNX model, or it is damaged; export again") from error
    if not model.graph.node:
        raise ValueError(f"{path}: is no ONNX model, or it is damaged (it has no layers); export again")
    for tensor in _tensors(model.graph):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ValueError(
                f"{path}: keeps weights in other files ({tensor.name}), which `mindcv export` never writes; "
                "export a network of more than 2 GB with --fp16_weights, or to mindir"
            )
    return model


def _tensors(graph: Any) -> Any:
    """All tensors of a graph, also those in attributes and in graphs of attributes."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _tensors(inner)
