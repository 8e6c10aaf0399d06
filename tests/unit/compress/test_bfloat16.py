from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.model_file import load_model
from pipeline.compress.bfloat16 import convert
from pipeline.errors import UsageError
from pipeline.export.torchscript import export_torchscript
from pipeline.models.spec import Deployable

EXAMPLE = (torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(2)),)
RUNTIME = RuntimeSpec(kind="torchscript", file="model.pt", optimization="none")
PICTURE = InputSpec(name="picture", dtype="float32", shape=(1, 8, 8), low=-9.0, high=9.0)


class Third(nn.Module):
    """Preprocessing with a product of its own, which must stay in float."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.constant_(self.scale.weight, 1 / 3)

    def forward(self, raw: Tensor) -> Tensor:
        scaled: Tensor = self.scale(raw)
        return scaled


class Spread(nn.Module):
    """A network that writes a layer's answers into a tensor that takes float32 alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, values: Tensor) -> Tensor:
        answers: Tensor = self.layer(values)
        return torch.zeros(len(values), 4).scatter_(1, torch.arange(4).expand(len(values), 4), answers)


def small_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5)).eval()


def pictures(count: int = 6) -> Tensor:
    return torch.randn(count, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def answer(network: nn.Module, values: Tensor) -> Tensor:
    with torch.no_grad():
        logits: Tensor = network(values)
    return logits


def test_answers_are_those_of_float_to_eight_bits() -> None:
    network = small_network()
    converted, report = convert(network, example=EXAMPLE)
    whole, answers = answer(network, pictures()), answer(converted, pictures())
    assert answers.dtype == torch.float32
    assert 0 < (answers - whole).abs().max() < whole.abs().max() / 64
    assert [(layer.name, layer.touched) for layer in report.layers] == [("0", True), ("4", True)]
    assert report.weight_share == (8 * 9 + 288 * 5) / (8 * 9 + 8 + 16 + 288 * 5 + 5)
    assert {parameter.dtype for parameter in converted.parameters()} == {torch.float32}


def test_preprocessing_stays_in_float() -> None:
    identity = nn.Linear(64, 64, bias=False)
    nn.init.eye_(identity.weight)
    deployable = Deployable(preprocess=Third(), network=nn.Sequential(nn.Flatten(), identity)).eval()
    converted, report = convert(deployable, example=EXAMPLE)
    assert [(layer.name, layer.touched) for layer in report.layers] == [
        ("preprocess.scale", False),
        ("network.1", True),
    ]
    once = answer(deployable, pictures()).bfloat16().float()
    twice = (pictures().bfloat16() * torch.tensor(1 / 3).bfloat16()).flatten(1).float()
    assert torch.equal(answer(converted, pictures()), once)
    assert not torch.equal(once, twice)


@pytest.mark.parametrize("batch", [1, 5])
def test_the_file_answers_as_its_module(batch: int, tmp_path: Path) -> None:
    deployable = Deployable(preprocess=nn.Identity(), network=small_network()).eval()
    converted, _ = convert(deployable, example=EXAMPLE)
    export = export_torchscript(converted, tmp_path / "model.pt", example=EXAMPLE, fold=False)
    assert export.method == "trace", "a script would take the class's own forward, in float"
    loaded = load_model(tmp_path, RUNTIME, (PICTURE,))
    answers = torch.from_numpy(loaded({"picture": pictures(batch).numpy()}))
    assert torch.equal(answers, answer(converted, pictures(batch)))
    assert not torch.equal(answers, answer(deployable, pictures(batch)))


def test_weights_are_rounded_in_the_file(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 4096)).eval()
    converted, _ = convert(network, example=EXAMPLE)
    for name, module in (("float.pt", network), ("half.pt", converted)):
        export_torchscript(module, tmp_path / name, example=EXAMPLE)
    assert (tmp_path / "half.pt").stat().st_size < 0.52 * (tmp_path / "float.pt").stat().st_size


class Checked(nn.Module):
    """A network that insists on float32 inside."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, values: Tensor) -> Tensor:
        answers: Tensor = self.layer(values)
        assert answers.dtype == torch.float32, "not float32"
        return answers


@pytest.mark.parametrize(
    ("network", "example", "reason"),
    [
        (nn.GRU(3, 5), torch.zeros(2, 4, 3), "expected no recurrent layers, which TorchScript cannot run in it, found"),
        (Spread(), torch.zeros(2, 8), r"expected a network that runs in it, found: RuntimeError: scatter\(\)"),
        (Checked(), torch.zeros(2, 8), "expected a network that runs in it, found: AssertionError: not float32"),
        (nn.ReLU(), torch.zeros(2, 8), "expected a convolution or linear layer to act on, found none"),
    ],
    ids=["recurrent", "takes float32 alone", "insists on float32", "no layer"],
)
def test_what_cannot_be_converted_is_refused(network: nn.Module, example: Tensor, reason: str) -> None:
    with pytest.raises(UsageError, match=f"bfloat16: {reason}"):
        convert(network.eval(), example=(example,))


class Viewing(nn.Module):
    """A network that needs contiguous pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.head = nn.Conv2d(1, 8, 3), nn.Linear(288, 5)

    def forward(self, values: Tensor) -> Tensor:
        logits: Tensor = self.head(self.convolution(values).view(-1, 288))
        return logits


class Volume(nn.Module):
    """A network with a convolution over three axes."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv3d(1, 4, 3), nn.BatchNorm3d(4)

    def forward(self, values: Tensor) -> Tensor:
        features: Tensor = self.norm(self.convolution(values.unsqueeze(2).expand(-1, -1, 8, -1, -1)))
        return features.flatten(1)


class Attending(nn.Module):
    """A network with a layer that torch fuses into one operator, which autocast does not reach."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)

    def forward(self, values: Tensor) -> Tensor:
        encoded: Tensor = self.encoder(values.squeeze(1))
        return encoded.flatten(1)


@pytest.mark.parametrize("kind", [Viewing, Volume, Attending])
def test_networks_that_need_care_compute_in_bfloat16_too(kind: type[nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = kind().eval()
    converted, _ = convert(Deployable(preprocess=nn.Identity(), network=network), example=EXAMPLE)
    whole, answers = answer(network, pictures()), answer(converted, pictures())
    assert 0 < (answers - whole).abs().max() < whole.abs().max() / 64
    assert torch.backends.mha.get_fastpath_enabled(), "as it was"
    export_torchscript(converted, tmp_path / "model.pt", example=EXAMPLE, fold=False)
    served = load_model(tmp_path, RUNTIME, (PICTURE,))({"picture": pictures().numpy()})
    assert torch.equal(torch.from_numpy(served), answers)


class Branching(nn.Module):
    """A network that has no symbolic trace."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))

    def forward(self, values: Tensor) -> Tensor:
        features: Tensor = self.body(values)
        return features.flatten(1) if len(values) else values


class Shared(nn.Module):
    """A network that uses the answers of a convolution with its batch norm and without."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)

    def forward(self, values: Tensor) -> Tensor:
        features = self.convolution(values)
        both: Tensor = self.norm(features) + features
        return both.flatten(1)


class Aliased(nn.Module):
    """A network that calls a convolution by another name than a symbolic trace shows."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)
        self.layers = nn.ModuleList([self.convolution])

    def forward(self, values: Tensor) -> Tensor:
        features: Tensor = self.norm(self.layers[0](values))
        return features.flatten(1)


class Borrowing(nn.Module):
    """A network that uses the weights of a convolution once more."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)

    def forward(self, values: Tensor) -> Tensor:
        features: Tensor = self.norm(self.convolution(values))
        return (features + torch.nn.functional.conv2d(values, self.convolution.weight)).flatten(1)


class Optional(nn.Module):
    """A network that branches on an argument that nobody passes."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)

    def forward(self, values: Tensor, mask: Tensor | None = None) -> Tensor:
        features: Tensor = self.convolution(values)
        if mask is not None:
            features = self.norm(features) * mask
        return features.flatten(1)


@pytest.mark.parametrize(
    ("kind", "folded"),
    [
        (small_network, True),
        (Branching, False),
        (Shared, False),
        (Aliased, False),
        (Borrowing, False),
        (Optional, False),
    ],
)
def test_batch_norms_are_folded_where_that_changes_nothing(
    kind: Callable[[], nn.Module], folded: bool, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    network = kind().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.weight, 1 / 3)
    deployable = Deployable(preprocess=nn.Identity(), network=network).eval()
    converted, _ = convert(deployable, example=EXAMPLE)
    assert any(isinstance(module, nn.BatchNorm2d) for module in converted.modules()) is not folded
    whole, answers = answer(deployable, pictures()), answer(converted, pictures())
    assert (answers - whole).abs().max() < whole.abs().max() / 64
    export_torchscript(converted, tmp_path / "model.pt", example=EXAMPLE, fold=False)
    served = load_model(tmp_path, RUNTIME, (PICTURE,))({"picture": pictures().numpy()})
    assert torch.equal(torch.from_numpy(served), answers), "rounded where its module rounds"
