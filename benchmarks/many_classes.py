"""An archive of a random network with as many classes as one likes: `python -m benchmarks.many_classes FILE.mar`.

Of colour pictures of 224 x 224 pixels it takes the mean of each 32 x 32, and from these one linear layer.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline._handlers.description import Golden, RuntimeSpec, Serving
from pipeline._handlers.limits import Limits, usual_pixels
from pipeline._handlers.tolerance import FLOAT32
from pipeline.archive.golden import answers, pack_golden
from pipeline.archive.mar import write_archive
from pipeline.archive.pictures import PICTURES_FILE, make_pictures
from pipeline.data.synthetic import synthetic_inputs

_SIDE, _POOL = 224, 32
_BATCH_SIZES = (1, 2, 7)
_INPUT = InputSpec(
    name="image", dtype="uint8", shape=(3, _SIDE, _SIDE), low=0, high=255, decoding=ImageDecoding(mode="RGB")
)


def main() -> int:
    """Write the file.

    Returns:
        0.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="where to write it; its name is the model's")
    parser.add_argument("--classes", type=int, default=1000)
    arguments = parser.parse_args()
    model = network(arguments.classes)
    runtime = RuntimeSpec(kind="onnxruntime", file="model.onnx")
    arrays = synthetic_inputs([_INPUT], 8)
    with tempfile.TemporaryDirectory(prefix="classes-") as folder:
        (Path(folder) / runtime.file).write_bytes(model)
        logits = answers(Path(folder), runtime, [_INPUT], arrays, _BATCH_SIZES)
    serving = Serving(
        name=arguments.file.stem,
        version="1.0",
        candidate="float.onnx.fp32",
        identity="0" * 64,
        precision="fp32",
        task="classification",
        inputs=(_INPUT,),
        labels=tuple(f"class {number}" for number in range(arguments.classes)),
        runtime=runtime,
        top=5,
        golden=Golden(file="golden.safetensors", batch_sizes=_BATCH_SIZES, tolerance=FLOAT32),
        pictures=PICTURES_FILE,
        files={},
        limits=Limits(pixels=usual_pixels([_INPUT])),
    )
    pictures = make_pictures([_INPUT])
    assert pictures is not None
    archive = write_archive(
        arguments.file, serving=serving, model=model, golden=pack_golden(arrays, logits, []), pictures=pictures
    )
    print(f"{archive.path}: {len(serving.labels)} classes")
    return 0


def network(classes: int) -> bytes:
    """Return the network as an ONNX file, which takes uint8 (B, 3, 224, 224) and gives logits (B, classes)."""
    values = 3 * (_SIDE // _POOL) ** 2
    weight = np.random.default_rng(0).normal(0, 1 / 255, (values, classes)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", [_INPUT.name], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("AveragePool", ["pixels"], ["means"], kernel_shape=[_POOL] * 2, strides=[_POOL] * 2),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "many_classes",
        [helper.make_tensor_value_info(_INPUT.name, TensorProto.UINT8, ["batch", *_INPUT.shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
        [numpy_helper.from_array(weight, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


if __name__ == "__main__":
    sys.exit(main())
