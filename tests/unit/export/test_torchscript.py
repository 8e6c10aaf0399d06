from __future__ import annotations

import inspect
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.model_file import load_model
from pipeline.errors import ProofError, UsageError
from pipeline.export.torchscript import export_torchscript
from pipeline.models.fashion import FashionCNN

if TYPE_CHECKING:
    from tests.unit.conftest import Exported

VALUES = InputSpec(name="values", dtype="float32", shape=(3,), low=-1.0, high=1.0)
EXAMPLE = (torch.arange(6, dtype=torch.float32).reshape(2, 3),)


def answers(path: Path, values: Tensor) -> Tensor:
    """Answers of the file as it is served, but without further optimization."""
    runtime = RuntimeSpec(kind="torchscript", file=path.name, optimization="none")
    return torch.from_numpy(load_model(path.parent, runtime, (VALUES,))({"values": values.numpy()}))


class Variadic(nn.Module):
    """A module that cannot be scripted, because TorchScript does not know `*values`."""

    def forward(self, *values: Tensor) -> Tensor:
        return torch.relu(values[0]) + 1


class BranchOnSize(nn.Module):
    """A module that cannot be scripted, and whose trace keeps the branch that the example took."""

    def forward(self, *values: Tensor) -> Tensor:
        if len(values[0]) > 1:
            return values[0] * 2
        return values[0] * 3


class Annotated(nn.Module):
    """A module with postponed annotations: they are text, which `torch.jit.script` alone does not understand."""

    factor: Tensor
    offset: int

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("factor", torch.tensor([1.0, 2.0, 3.0]))
        self.offset = 2

    def forward(self, values: Tensor) -> Tensor:
        return values * self.factor + self.offset


class Neither(nn.Module):
    """A module that cannot be scripted, and answers with something that a trace cannot hold."""

    def forward(self, *values: Tensor) -> str:
        return str(values[0])


def test_scripted_where_it_can_be(exported: Exported, tmp_path: Path) -> None:
    export = export_torchscript(exported.module, tmp_path / "model.pt", example=exported.example)
    assert export.to_json() == {"method": "script", "reason": "", "warnings": []}


@pytest.mark.parametrize("file", ["float.pt", "int8.pt"])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_file_answers_bit_for_bit(exported: Exported, file: str, batch: int) -> None:
    module = exported.module if file == "float.pt" else exported.quantized
    runtime = RuntimeSpec(kind="torchscript", file=file, optimization="none")
    pixels = exported.pictures[:batch]
    threads = torch.get_num_threads()
    logits = load_model(exported.folder, runtime, exported.inputs)({"pixels": pixels})
    with torch.no_grad():
        expected = module(torch.from_numpy(pixels)).numpy()
    torch.set_num_threads(threads)
    assert (logits == expected).all()


def test_traced_where_it_must_be(tmp_path: Path) -> None:
    export = export_torchscript(Variadic().eval(), tmp_path / "traced.pt", example=EXAMPLE)
    assert export.method == "trace"
    assert "NotSupportedError" in export.reason
    assert "\n" not in export.reason
    assert export.warnings == ()
    values = torch.randn(5, 3)
    assert torch.equal(answers(tmp_path / "traced.pt", values), torch.relu(values) + 1)


def test_a_trace_that_froze_a_branch_is_caught(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"; tracing: the file answers differently from the network for a batch of 1: "
    ):
        export_torchscript(BranchOnSize().eval(), tmp_path / "frozen.pt", example=EXAMPLE)
    assert list(tmp_path.iterdir()) == []


class Unlike(nn.Module):
    """A module whose script answers differently, because one branch is for scripts alone."""

    def forward(self, values: Tensor) -> Tensor:
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            return values * 3
        return values * 2


class UnlikeTwice(nn.Module):
    """A module of which neither script nor trace answers as the module does on one row."""

    def forward(self, values: Tensor) -> Tensor:
        if torch.jit.is_scripting():  # type: ignore[attr-defined]
            return values * 3
        return values * 2 if len(values) > 1 else values * 5


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (weight_norm(nn.Linear(3, 4)), "RuntimeError: Parametrization is not working with scripting."),
        (nn.Sequential(nn.ReLU(), weight_norm(nn.Linear(3, 4), dim=1)), "RuntimeError: Parametrization is not"),
        (Unlike(), "the file answers differently from the network for a batch of 2: "),
    ],
    ids=["cannot be called", "inside another", "differs"],
)
def test_a_script_that_cannot_be_called_or_differs_is_traced(module: nn.Module, reason: str, tmp_path: Path) -> None:
    export = export_torchscript(module.eval(), tmp_path / "model.pt", example=EXAMPLE)
    assert export.method == "trace"
    assert export.reason.startswith(reason)
    values = torch.randn(5, 3)
    torch.testing.assert_close(answers(tmp_path / "model.pt", values), module(values))


def test_where_a_trace_differs_as_well_the_script_is_left_to_the_parity_check(tmp_path: Path) -> None:
    assert export_torchscript(UnlikeTwice().eval(), tmp_path / "model.pt", example=EXAMPLE).method == "script"


def test_neither_scripted_nor_traced(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"found neither: scripting: NotSupportedError.*; tracing: ") as caught:
        export_torchscript(Neither().eval(), tmp_path / "none.pt", example=EXAMPLE)
    assert "\n" not in str(caught.value)


def test_training_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ProofError, match="export to TorchScript: expected every module in evaluation mode, found Variadic"
    ):
        export_torchscript(Variadic(), tmp_path / "m.pt", example=EXAMPLE)


@pytest.mark.parametrize("file", ["float.pt", "int8.pt"])
def test_same_bytes_whatever_was_compiled_before_and_wherever(
    exported: Exported, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = exported.module if file == "float.pt" else exported.quantized
    export_torchscript(module, Path("another name.pt"), example=exported.example)
    assert Path("another name.pt").read_bytes() == (exported.folder / file).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["another name.pt"]


@pytest.mark.parametrize("file", ["float.pt", "int8.pt"])
def test_no_source_path_and_no_process_counter(exported: Exported, file: str) -> None:
    content = (exported.folder / file).read_bytes()
    with zipfile.ZipFile(BytesIO(content)) as archive:
        members = archive.infolist()
    assert not [member.filename for member in members if member.filename.endswith((".debug_pkl", "serialization_id"))]
    assert {member.filename.split("/")[0] for member in members} == {"archive"}
    assert {member.date_time for member in members} == {(1980, 1, 1, 0, 0, 0)}
    assert str(Path(inspect.getfile(FashionCNN)).parent).encode() not in content
    assert b"site-packages" not in content


def test_the_file_is_frozen(exported: Exported) -> None:
    with zipfile.ZipFile(exported.folder / "float.pt") as archive:
        code = "".join(archive.read(member).decode() for member in archive.namelist() if member.endswith(".py"))
    assert "CONSTANTS.c0" in code
    assert "dropout" not in code
    assert "__parameters__ = []" in code


def test_attributes_annotated_in_text_are_scripted_and_the_class_is_left_as_it_was(tmp_path: Path) -> None:
    export = export_torchscript(Annotated().eval(), tmp_path / "model.pt", example=EXAMPLE)
    assert export.method == "script"
    assert inspect.get_annotations(Annotated) == {"factor": "Tensor", "offset": "int"}


def test_the_module_is_left_as_it_was(exported: Exported) -> None:
    assert not isinstance(exported.module, torch.jit.ScriptModule)
    assert all(parameter.requires_grad for parameter in exported.module.parameters())
