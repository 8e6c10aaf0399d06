"""The copies of TorchServe's classes that stand before its own, made from the one that is installed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from pipeline.errors import ServerError
from pipeline.serving.torchserve.repairs import torchserve_package, without_grpc, write_repaired_classes

SERVER = "org/pytorch/serve/ModelServer.class"


def installed() -> bytes:
    with zipfile.ZipFile(torchserve_package() / "frontend" / "model-server.jar") as jar:
        return jar.read(SERVER)


def test_one_method_of_the_server_does_nothing_any_more(tmp_path: Path) -> None:
    write_repaired_classes(tmp_path)
    before, after = installed(), (tmp_path / SERVER).read_bytes()
    assert len(after) == len(before)
    changed = [place for place, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    assert {after[place] for place in changed} == {0}
    # Two statements of eleven bytes each; some of those are 0 anyway.
    assert changed[-1] - changed[0] < 22
    assert len(list(tmp_path.rglob("*.class"))) == 2


def test_another_server_is_refused_before_it_opens_ports() -> None:
    for content in (b"", without_grpc(installed()), installed() * 2):
        with pytest.raises(ServerError) as caught:
            without_grpc(content)
        assert str(caught.value) == (
            "TorchServe: expected version 0.12, whose gRPC ports can be kept closed, found 0.12.0, whose cannot; "
            "install what requirements.lock pins"
        )
