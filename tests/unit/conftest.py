"""One small real network and its four exported files, made once: the first ONNX export of a process takes seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from pipeline._handlers.decode import InputSpec
    from pipeline.compress.pass_effect import PassReport


@dataclass(frozen=True, kw_only=True)
class Exported:
    """The fashion CNN, untrained, with its preprocessing: `float.onnx`, `float.pt`, `int8.onnx`, `int8.pt`."""

    folder: Path
    module: nn.Module
    quantized: nn.Module
    inputs: tuple[InputSpec, ...]
    example: tuple[Tensor, ...]
    samples: Path
    pictures: NDArray[Any]
    reports: Mapping[str, PassReport]


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    import numpy as np
    import torch
    from safetensors.numpy import save_file
    from sklearn.datasets import load_digits

    from pipeline._handlers.decode import ImageDecoding, InputSpec
    from pipeline.compress import dynamic, onnx_dynamic
    from pipeline.export.onnx import export_onnx
    from pipeline.export.torchscript import export_torchscript
    from pipeline.models.fashion import FashionCNN
    from pipeline.models.preprocess import standardize
    from pipeline.models.spec import Deployable

    folder = tmp_path_factory.mktemp("exported")
    inputs = (
        InputSpec(name="pixels", dtype="uint8", shape=(1, 28, 28), low=0, high=255, decoding=ImageDecoding(mode="L")),
    )
    digits = load_digits()
    # 8x8 pixels of 0 to 16, drawn large enough for the network.
    large = digits.images[:64].repeat(3, axis=1).repeat(3, axis=2) * 15
    pictures = np.zeros((64, 1, 28, 28), np.uint8)
    pictures[:, 0, 2:26, 2:26] = large.astype(np.uint8)
    labels = digits.target[:64].astype(np.int64)
    samples = folder / "samples.safetensors"
    save_file({"input.pixels": pictures, "labels": labels}, samples)

    torch.manual_seed(0)
    preprocess = standardize(scale=1 / 255, mean=[0.286], std=[0.353], shape=(1, 28, 28))
    module = Deployable(preprocess=preprocess, network=FashionCNN(dropout=0.3)).eval()
    example = (torch.from_numpy(pictures[:2]),)
    export_onnx(module, folder / "float.onnx", inputs=inputs, example=example, opset=20)
    export_torchscript(module, folder / "float.pt", example=example)
    quantized, report = dynamic.quantize(module, example=example)
    export_torchscript(quantized, folder / "int8.pt", example=example)
    reports = {"int8.pt": report, "int8.onnx": onnx_dynamic.quantize_file(folder / "float.onnx", folder / "int8.onnx")}
    return Exported(
        folder=folder,
        module=module,
        quantized=quantized,
        inputs=inputs,
        example=example,
        samples=samples,
        pictures=pictures,
        reports=reports,
    )
