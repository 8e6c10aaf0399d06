"""Faults planted in real files; each is found in the layer it was planted in, and its unfaulted twin has none."""

from __future__ import annotations

import copy
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.tolerance import FLOAT32, INT8_DYNAMIC
from pipeline.checks.locate import layers
from pipeline.checks.locate.first_difference import failing_batch, locate
from pipeline.checks.locate.layers import LayerFinding, locate_onnx, locate_torchscript
from pipeline.checks.locate.onnx_trace import OnnxTrace
from pipeline.checks.parity import check_parity
from pipeline.checks.parity_report import ParityReport
from pipeline.checks.reference import module_reference, unoptimized_reference
from pipeline.example import my_nets
from pipeline.export.onnx import export_onnx
from pipeline.export.torchscript import export_torchscript
from pipeline.models.preprocess import standardize
from pipeline.models.spec import Deployable
from tests.onnx_files import change_initializer
from tests.parity_reports import require

if TYPE_CHECKING:
    from tests.unit.conftest import Exported

PICTURE = InputSpec(name="image", dtype="uint8", shape=(1, 8, 8), low=0, high=255)


@dataclass(frozen=True, kw_only=True)
class Residual:
    """The worked example's network, with batch norms that do something, and its two files."""

    folder: Path
    module: nn.Module
    example: tuple[Tensor, ...]
    arrays: dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Residual:
    folder = tmp_path_factory.mktemp("residual")
    torch.manual_seed(0)
    network = my_nets.build(channels=8)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 2.0)
    preprocess = standardize(scale=1 / 255, mean=[0.3], std=[0.37], shape=PICTURE.shape)
    module = Deployable(preprocess=preprocess, network=network).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (7, 1, 8, 8), dtype=np.uint8)
    example = (torch.from_numpy(pixels[:2]),)
    export_onnx(module, folder / "float.onnx", inputs=(PICTURE,), example=example, opset=20)
    export_torchscript(module, folder / "float.pt", example=example)
    return Residual(folder=folder, module=module, example=example, arrays={"image": pixels})


def find(net: Residual, file: Path, module: nn.Module | None = None) -> LayerFinding:
    torchscript = file.suffix == ".pt"
    return (locate_torchscript if torchscript else locate_onnx)(
        file,
        runtime=RuntimeSpec(kind="torchscript" if torchscript else "onnxruntime", file=file.name),
        module=module or net.module,
        inputs=(PICTURE,),
        arrays=net.arrays,
        tolerance=FLOAT32,
    )


def with_changed(source: Path, file: Path, initializer: str, change: float = 0.1) -> Path:
    """A copy of an ONNX file with one value of one initializer changed."""
    shutil.copyfile(source, file)
    change_initializer(file, initializer, change)
    return file


def exported_with(net: Residual, file: Path, name: str) -> Path:
    """The TorchScript file of the network with one value of one parameter or buffer changed."""
    changed = copy.deepcopy(net.module)
    tensors = dict(changed.named_parameters()) | dict(changed.named_buffers())
    with torch.no_grad():
        tensors[name].reshape(-1)[0] += 0.1
    export_torchscript(changed, file, example=net.example)
    return file


INNER = "body.inner.0 (Conv2d) with body.inner.1 (BatchNorm2d) folded into it"


@pytest.mark.parametrize(
    ("initializer", "layer", "constants"),
    [
        ("network.stem.0.bias", "stem.0 (Conv2d)", ("bias",)),
        ("network.stem.0.weight", "stem.0 (Conv2d)", ("weight",)),
        ("network.body.inner.0.weight", INNER, ("folded weight",)),
        ("network.body.inner.0.weight_bias", INNER, ("folded bias",)),
        ("network.head.bias", "head (Linear)", ("bias",)),
        ("preprocess.offset", "preprocess (Affine)", ("offset",)),
        ("preprocess.factor", "preprocess (Affine)", ("factor",)),
    ],
)
def test_a_constant_changed_in_an_onnx_file(
    residual: Residual, tmp_path: Path, initializer: str, layer: str, constants: tuple[str, ...]
) -> None:
    finding = find(residual, with_changed(residual.folder / "float.onnx", tmp_path / "changed.onnx", initializer))
    assert (finding.layer, finding.constants) == (layer, constants)


@pytest.mark.parametrize(
    ("name", "layer", "constants"),
    [
        ("network.stem.0.bias", "stem.0 (Conv2d)", ("bias",)),
        ("network.head.weight", "head (Linear)", ("weight",)),
        ("network.body.inner.0.weight", INNER, ("folded weight",)),
        ("network.body.inner.1.running_mean", INNER, ("folded bias",)),
        ("network.body.inner.1.running_var", INNER, ("folded weight", "folded bias")),
        ("preprocess.offset", "preprocess (Affine)", ("offset",)),
    ],
)
def test_a_weight_changed_in_a_torchscript_file(
    residual: Residual, tmp_path: Path, name: str, layer: str, constants: tuple[str, ...]
) -> None:
    finding = find(residual, exported_with(residual, tmp_path / "changed.pt", name))
    assert (finding.layer, finding.constants) == (layer, constants)


@pytest.mark.parametrize("form", ["onnx", "pt"])
def test_the_unfaulted_twin_has_no_layer_at_fault(residual: Residual, form: str) -> None:
    finding = find(residual, residual.folder / f"float.{form}")
    assert finding.layer == ""
    assert "agrees" in finding.text


@pytest.mark.parametrize("form", ["onnx", "pt"])
def test_a_few_values_at_a_time_find_the_same(
    residual: Residual, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "network.head.bias"
    file = (
        with_changed(residual.folder / "float.onnx", tmp_path / "changed.onnx", name)
        if form == "onnx"
        else exported_with(residual, tmp_path / "changed.pt", name)
    )
    whole = find(residual, file)
    monkeypatch.setattr(layers, "_WINDOW_BYTES", 1)
    assert find(residual, file) == whole


def test_what_it_says(residual: Residual, tmp_path: Path) -> None:
    name = "network.stem.0.bias"
    later = find(residual, with_changed(residual.folder / "float.onnx", tmp_path / "a.onnx", name))
    assert later.before == "preprocess (Affine)"
    assert later.text == (
        f"stem.0 (Conv2d): 0.1 apart, limit {later.to_json()['comparison']['limit']:.2g}; its bias differs; "
        "everything before it agrees"
    )
    first = find(residual, exported_with(residual, tmp_path / "b.pt", "preprocess.factor"))
    assert first.text.endswith("its factor differs; nothing comes before it")


class Forks(nn.Module):
    """Functions outside of modules, and one activation used twice, in place."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.activation = nn.ReLU(inplace=True)
        self.scale = nn.Parameter(torch.rand(4, 1, 1) + 0.5)

    def forward(self, images: Tensor) -> Tensor:
        left = self.activation(self.first(images))
        right = self.activation(self.second(left)) * self.scale
        logits: Tensor = (left + right).mean((2, 3))
        return logits


@pytest.mark.parametrize(
    ("name", "layer"),
    [("second.bias", "second (Conv2d)"), ("scale", "network (Forks)"), ("first.weight", "first (Conv2d)")],
)
@pytest.mark.parametrize("form", ["onnx", "pt"])
def test_operators_outside_of_modules_and_modules_used_twice(
    residual: Residual, tmp_path: Path, form: str, name: str, layer: str
) -> None:
    torch.manual_seed(0)
    preprocess = standardize(scale=1 / 255, mean=[0.3], std=[0.37], shape=PICTURE.shape)
    module = Deployable(preprocess=preprocess, network=Forks()).eval()
    changed = copy.deepcopy(module)
    with torch.no_grad():
        dict(changed.network.named_parameters())[name].add_(0.1)
    file = tmp_path / f"changed.{form}"
    if form == "onnx":
        export_onnx(changed, file, inputs=(PICTURE,), example=residual.example, opset=20)
    else:
        export_torchscript(changed, file, example=residual.example)
    finding = find(residual, file, module)
    assert finding.layer == layer
    assert finding.constants == (name.rpartition(".")[2],)


def check(exported: Exported, file: Path, scratch: Path) -> tuple[ParityReport, LayerFinding]:
    kind: Any = "torchscript" if file.suffix == ".pt" else "onnxruntime"
    int8 = file.name.startswith("int8")
    runtime = RuntimeSpec(kind=kind, file=file.name)
    reference = (
        unoptimized_reference(file, exported.inputs) if int8 else module_reference(exported.module, exported.inputs)
    )
    report = check_parity(
        candidate="planted",
        file=file,
        runtime=runtime,
        reference=reference,
        inputs=exported.inputs,
        samples=exported.samples,
        tolerance=INT8_DYNAMIC if int8 else FLOAT32,
        batch_sizes=(1, 7),
        calls=1,
        scratch=scratch,
    )
    finding = locate(
        report,
        file=file,
        runtime=runtime,
        reference=reference,
        inputs=exported.inputs,
        samples=exported.samples,
    )
    return report, finding


def test_from_parity_to_the_layer_on_the_fashion_cnn(exported: Exported, tmp_path: Path) -> None:
    file = with_changed(exported.folder / "float.onnx", tmp_path / "changed.onnx", "network.features.3.bias", 0.8)
    report, finding = check(exported, file, tmp_path)
    # The limit follows from the largest value of the layer, which another processor rounds otherwise.
    assert re.match(r"features\.3 \(Conv2d\): 0\.8 apart, limit 3\.\de-05;", finding.text)
    assert finding.text.endswith("; its bias differs; everything before it agrees")
    with pytest.raises(Exception, match=r"checks failed: .*\); features\.3 \(Conv2d\): 0\.8 apart, .*"):
        require(report, where=finding.text)


@pytest.mark.parametrize("file", ["float.onnx", "float.pt", "int8.onnx"])
def test_nothing_is_looked_for_where_parity_holds(exported: Exported, file: str, tmp_path: Path) -> None:
    report, finding = check(exported, exported.folder / file, tmp_path)
    assert report.passed
    assert finding == LayerFinding()


def test_the_batch_that_failed_is_the_one_that_is_run_again(exported: Exported, tmp_path: Path) -> None:
    file = with_changed(exported.folder / "float.onnx", tmp_path / "changed.onnx", "network.features.0.weight", 0.5)
    report, _ = check(exported, file, tmp_path)
    worst = report.worst
    assert worst is not None
    arrays = failing_batch(report, worst, exported.inputs, exported.samples)
    assert arrays["pixels"].shape == (worst.batch_size, 1, 28, 28)
    if worst.inputs == "real":
        assert worst.comparison.position is not None
        start = worst.comparison.position[0] // worst.batch_size * worst.batch_size
        assert np.array_equal(arrays["pixels"], exported.pictures[start : start + worst.batch_size])


def test_what_goes_wrong_on_the_way_does_not_hide_the_failure(exported: Exported, tmp_path: Path) -> None:
    file = with_changed(exported.folder / "float.onnx", tmp_path / "changed.onnx", "network.features.3.bias")
    report, _ = check(exported, file, tmp_path)
    finding = locate(
        report,
        file=tmp_path / "gone.onnx",
        runtime=RuntimeSpec(kind="onnxruntime", file="gone.onnx"),
        reference=module_reference(exported.module, exported.inputs),
        inputs=exported.inputs,
        samples=exported.samples,
    )
    assert finding.text.startswith("which layer could not be found out: FileNotFoundError: ")


class Undefined(nn.Module):
    """0/0 for inputs of zero."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        logits: Tensor = self.head(flat / flat.sum(1, keepdim=True))
        return logits


def test_a_network_that_answers_nan_itself(residual: Residual, tmp_path: Path) -> None:
    preprocess = standardize(scale=1.0, mean=[0.0], std=[1.0], shape=PICTURE.shape)
    module = Deployable(preprocess=preprocess, network=Undefined()).eval()
    export_torchscript(module, tmp_path / "model.pt", example=residual.example)
    finding = locate_torchscript(
        tmp_path / "model.pt",
        runtime=RuntimeSpec(kind="torchscript", file="model.pt"),
        module=module,
        inputs=(PICTURE,),
        arrays={"image": np.zeros((2, 1, 8, 8), np.uint8)},
        tolerance=FLOAT32,
    )
    assert finding.text == "network (Undefined) of the network itself answers NaN"


def test_an_int8_file_is_named_by_the_users_modules(exported: Exported) -> None:
    pixels = {"pixels": exported.pictures[:2]}
    trace = OnnxTrace(exported.folder / "int8.onnx", pixels)
    names = [step.module for step in trace.steps]
    assert names[0] == "preprocess"
    assert [name for name in names if name.startswith("network.classifier.")] == [
        "network.classifier.1",
        "network.classifier.2",
        "network.classifier.4",
    ]
    values = trace.outputs(range(len(names)))
    assert values[names.index("network.classifier.1")].shape == (2, 512)
    assert np.array_equal(values[len(names) - 1], trace.logits())
