"""Small real models, and archives of them, for the tests of handlers and serving."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline._handlers.activation import Activation
from pipeline._handlers.compare import in_outputs
from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline._handlers.description import Golden, RuntimeSpec, Serving
from pipeline._handlers.model_file import load_model, run_chunks
from pipeline._handlers.outputs import OutputSpec
from pipeline._handlers.sizes import SizeGroup
from pipeline._handlers.task_answers import TaskName
from pipeline._handlers.tolerance import FLOAT32, INT8_DYNAMIC
from pipeline.archive.golden import answered, pack_golden
from pipeline.archive.mar import Archive, write_archive
from pipeline.archive.pictures import PICTURES_FILE, make_pictures
from pipeline.data.free_axis_sizes import resized
from pipeline.data.synthetic import synthetic_inputs

LABELS = ("ankle boot", "bag", "coat", "dress", "sneaker")
GREY = InputSpec(
    name="image", dtype="uint8", shape=(1, 8, 6), low=0, high=255, decoding=ImageDecoding(mode="L", resize="bilinear")
)
COLOUR = InputSpec(
    name="image", dtype="uint8", shape=(3, 8, 6), low=0, high=255, decoding=ImageDecoding(mode="RGB", resize="bicubic")
)
SEQUENCE = InputSpec(name="tokens", dtype="int64", shape=(6,), low=0, high=99, dynamic_axes=(0,))
TABLE = InputSpec(name="features", dtype="float32", shape=(4,), low=-2.0, high=2.0)
BATCH_SIZES = (1, 2, 7)


def description(inputs: Sequence[InputSpec], **changes: Any) -> Serving:
    """A description of a classifier in ONNX, for tests that need no archive; changes are fields."""
    return Serving(
        **{
            "name": "tiny",
            "version": "1.0",
            "candidate": "float.onnx.fp32",
            "identity": "0" * 64,
            "precision": "fp32",
            "task": "classification",
            "inputs": tuple(inputs),
            "labels": LABELS,
            "runtime": RuntimeSpec(kind="onnxruntime", file="model.onnx"),
            "top": 3,
            "golden": Golden(file="golden.safetensors", batch_sizes=(1,), tolerance=FLOAT32),
            "pictures": None,
            "files": {},
            **changes,
        }
    )


def weights(size: int) -> NDArray[np.float32]:
    """Weights of a linear classifier, (size, 5)."""
    return np.random.default_rng(7).normal(0, 1 / 255 if size > 4 else 1, (size, len(LABELS))).astype(np.float32)


def linear_onnx(inputs: Sequence[InputSpec], *, noise: float = 0.0) -> bytes:
    """Every input cast and flattened, then side by side through one linear layer, whose weights may be off by noise."""
    nodes, flat, total = [], [], 0
    kinds = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    for spec in inputs:
        nodes.append(helper.make_node("Cast", [spec.name], [f"{spec.name}_f"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Flatten", [f"{spec.name}_f"], [f"{spec.name}_flat"]))
        flat.append(f"{spec.name}_flat")
        total += int(np.prod(spec.shape))
    nodes.append(helper.make_node("Concat", flat, ["all"], axis=1))
    nodes.append(helper.make_node("MatMul", ["all", "weight"], ["logits"]))
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(spec.name, kinds[spec.dtype], ["batch", *spec.shape]) for spec in inputs],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(LABELS)])],
        [numpy_helper.from_array(weights(total) + np.float32(noise) * weights(total)[::-1], "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def hanging_onnx(spec: InputSpec) -> bytes:
    """The same for one input of `uint8`; of one whose darkest value is 254, the answer takes thousands of years."""
    scalar = helper.make_tensor_value_info("total", TensorProto.FLOAT, [])
    body = helper.make_graph(
        [helper.make_node("Identity", ["goes_on"], ["on"]), helper.make_node("Add", ["total", "zero"], ["sum"])],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("goes_on", TensorProto.BOOL, []),
            scalar,
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), helper.make_tensor_value_info("sum", 1, [])],
    )
    model = onnx.load_from_string(linear_onnx([spec]))
    model.graph.node[-1].output[0] = "linear"
    model.graph.node.extend(
        [
            helper.make_node("ReduceMin", ["all", "pixels"], ["darkest"], keepdims=0),
            helper.make_node("ReduceMax", ["darkest"], ["lightest"], keepdims=0),  # of the batch
            helper.make_node("Equal", ["lightest", "nearly_white"], ["hangs"]),
            helper.make_node("Where", ["hangs", "most", "none"], ["rounds"]),
            helper.make_node("Loop", ["rounds", "", "zero"], ["nothing"], body=body),
            helper.make_node("Add", ["linear", "nothing"], ["logits"]),
        ]
    )
    for name, value in {
        "zero": np.array(0, np.float32),
        "nearly_white": np.array(254, np.float32),
        "most": np.array(1 << 60),
        "none": np.array(0),
        "pixels": np.array([1]),
    }.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def linear_torchscript(spec: InputSpec, path: Path) -> None:
    """The same for one input, scripted and frozen."""
    import torch

    from pipeline.export.torchscript import canonical_torchscript

    class Linear(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.from_numpy(weights(int(np.prod(spec.shape)))))

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return values.to(torch.float32).flatten(1) @ self.weight

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript, asked for
        example = torch.zeros((2, *spec.shape), dtype=getattr(torch, spec.dtype))
        traced = torch.jit.trace(Linear().eval(), example)  # type: ignore[no-untyped-call]
        buffer = io.BytesIO()
        torch.jit.save(torch.jit.freeze(traced), buffer)
    path.write_bytes(canonical_torchscript(buffer.getvalue()))


def mean_onnx(spec: InputSpec) -> bytes:
    """The mean over one free axis of numbers, then a linear layer; no answer for fewer than two of them."""
    nodes = [
        helper.make_node("Cast", [spec.name], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["numbers", "channel"], ["signal"]),
        helper.make_node("Conv", ["signal", "pair"], ["pairs"]),
        helper.make_node("ReduceMean", ["pairs", "last"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "weight"], ["logits"]),
    ]
    kind = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "uint8": TensorProto.UINT8}[spec.dtype]
    graph = helper.make_graph(
        nodes,
        "mean",
        [helper.make_tensor_value_info(spec.name, kind, ["batch", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(LABELS)])],
        [
            numpy_helper.from_array(np.array([1]), "channel"),
            numpy_helper.from_array(np.full((1, 1, 2), 0.5, np.float32), "pair"),
            numpy_helper.from_array(np.array([2]), "last"),
            numpy_helper.from_array(weights(1), "weight"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def build_archive(
    folder: Path,
    inputs: Sequence[InputSpec],
    *,
    name: str = "tiny",
    candidate: str = "float.onnx.fp32",
    kind: Literal["onnxruntime", "torchscript"] = "onnxruntime",
    batch_invariant: bool = True,
    allow_batch_variant: bool = False,
    golden_shift: float = 0.0,
    activation: Activation = "none",
    sizes: Sequence[int] = (),
    size_shift: float = 0.0,
    noise: float = 0.0,
    hangs: bool = False,
    labels: Sequence[str] = LABELS,
    task: TaskName = "classification",
    task_settings: Mapping[str, Any] | None = None,
    outputs: Sequence[OutputSpec] = (),
    evidence: Mapping[str, Any] | None = None,
) -> Archive:
    """Pack a small model; shifts are added to golden answers to make them wrong, `sizes` are of one free axis.

    Noise makes another model. One that hangs never answers a nearly white picture.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if hangs:
        (folder / "model.onnx").write_bytes(hanging_onnx(inputs[0]))
    elif kind == "onnxruntime":
        (folder / "model.onnx").write_bytes(mean_onnx(inputs[0]) if sizes else linear_onnx(inputs, noise=noise))
    else:
        linear_torchscript(inputs[0], folder / "model.pt")
    runtime = RuntimeSpec(
        kind=kind,
        file="model.onnx" if kind == "onnxruntime" else "model.pt",
        batch_invariant=batch_invariant,
        allow_batch_variant=allow_batch_variant,
        outputs=tuple(outputs),
    )
    arrays: dict[str, NDArray[Any]] = synthetic_inputs(inputs, 9)
    model = load_model(folder, runtime, inputs)
    logits = {size: run_chunks(model, arrays, size) + np.float32(golden_shift) for size in BATCH_SIZES}
    others = [SizeGroup(sizes="", inputs=resized(arrays, inputs, {inputs[0].size_name(0): size})) for size in sizes]
    groups = [
        replace(one, logits={size: values + np.float32(size_shift) for size, values in one.logits.items()})
        for one in answered(folder, runtime, inputs, others, BATCH_SIZES)
    ]
    pictures = make_pictures(inputs)
    serving = Serving(
        name=name,
        version="1.0",
        candidate=candidate,
        identity="0" * 64,
        precision="fp32",
        task=task,
        task_settings=dict(task_settings or {}),
        inputs=tuple(inputs),
        labels=tuple(labels),
        runtime=runtime,
        top=min(3, len(labels)),
        golden=Golden(
            file="golden.safetensors",
            batch_sizes=BATCH_SIZES,
            tolerance=in_outputs(FLOAT32 if batch_invariant else INT8_DYNAMIC, outputs),
        ),
        pictures=None if pictures is None else PICTURES_FILE,
        files={},
        activation=activation,
    )
    path = folder / f"{name}.mar"
    return write_archive(
        path,
        serving=serving,
        model=(folder / runtime.file).read_bytes(),
        golden=pack_golden(arrays, logits, groups),
        pictures=pictures or b"",
        evidence=evidence,
    )
