"""Several files of weights: an index, a folder, and what is wrong or hostile in them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save_file

from pipeline.engine.artifacts import digest_file
from pipeline.errors import DataError
from pipeline.models.outside import files_behind, outside_digests
from pipeline.models.weight_index import find_weights
from pipeline.models.weights import load_weights
from pipeline.recipe.model import Model
from tests.checkpoints import build, lightning, shards

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """Tensors of a file that is written anew."""
    return load(path.read_bytes())


def is_loaded(path: Path, source: torch.nn.Module) -> bool:
    target = build()
    assert load_weights(path, target) == ()
    state = target.state_dict()
    return all(torch.equal(value, state[key]) for key, value in source.state_dict().items())


def test_the_index_its_folder_and_links_to_its_files_are_taken(tmp_path: Path) -> None:
    source = build()
    index = shards(tmp_path / "blobs", source.state_dict())
    linked = tmp_path / "snapshot"  # as the cache of Hugging Face's hub lies on a disk
    linked.mkdir()
    for file in index.parent.iterdir():
        (linked / file.name).symlink_to(os.path.relpath(file, linked))
    for path in (index, index.parent, linked, linked / INDEX):
        assert is_loaded(path, source)


def test_every_file_is_watched_and_named_in_the_evidence(tmp_path: Path) -> None:
    index = shards(tmp_path / "net", build().state_dict())
    for weights, names in (
        ("net", {f"model.weights {name}" for name in (INDEX, FIRST, SECOND)}),
        (f"net/{INDEX}", {"model.weights", f"model.weights {FIRST}", f"model.weights {SECOND}"}),
    ):
        model = Model(factory="nets:build", weights=weights)
        before = outside_digests(model, {}, tmp_path)
        assert before.keys() == names
        assert files_behind(model, tmp_path, {}) == before
        second = index.parent / SECOND
        assert before[f"model.weights {SECOND}"] == digest_file(second)
        save_file({key: value + 1 for key, value in tensors(second).items()}, second)
        after = outside_digests(model, {}, tmp_path)
        assert [name for name in before if before[name] != after[name]] == [f"model.weights {SECOND}"]


@pytest.mark.parametrize(
    "name", ["model.safetensors", "pytorch_model.bin", "diffusion_pytorch_model.safetensors", "my.safetensors"]
)
def test_a_folder_with_one_file_of_weights_among_others_is_taken(tmp_path: Path, name: str) -> None:
    source = build()
    if name.endswith(".bin"):
        torch.save(source.state_dict(), tmp_path / name)
    else:
        save_file(source.state_dict(), tmp_path / name)
    torch.save({"state": {}, "param_groups": []}, tmp_path / "optimizer.pt")
    (tmp_path / "config.json").write_text("{}")
    assert is_loaded(tmp_path, source)


def _several(folder: Path) -> None:
    torch.save(build().state_dict(), folder / "pytorch_model.bin")


def _emptied(folder: Path) -> None:
    for file in folder.iterdir():
        file.unlink()


def _distributed(folder: Path) -> None:
    _emptied(folder)
    (folder / "__0_0.distcp").touch()


def _others(folder: Path) -> None:
    _emptied(folder)
    torch.save(lightning(build().state_dict()), folder / "last.ckpt")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_several, rf"found {INDEX}, pytorch_model\.bin; name one: model\.weights = \"net/pytorch_model\.bin\""),
        (_emptied, "expected a folder with model.safetensors, .*, found no file; name the file itself"),
        (_others, "found last.ckpt; name the file itself"),
        (_distributed, r"a distributed checkpoint; make one file of it: python -m torch\.distributed\.checkpoint\."),
    ],
)
def test_a_folder_with_several_or_none_is_refused(tmp_path: Path, change: Callable[[Path], None], text: str) -> None:
    folder = shards(tmp_path / "net", build().state_dict()).parent
    change(folder)
    with pytest.raises(DataError, match=text):
        find_weights(folder)


@pytest.mark.parametrize("name", ["none", "x" * 5000, "a\0b", "pipe", "loop"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(DataError, match=r"weights .*: expected a file"):
        find_weights(tmp_path / name)


def rewrite(index: Path, change: Callable[[dict[str, object]], object]) -> None:
    document = json.loads(index.read_text())
    change(document["weight_map"])
    index.write_text(json.dumps(document))


@pytest.mark.parametrize("name", ["../secret.bin", "/etc/passwd", "", "..", ".", "a/b.bin", "a\0b"])
def test_an_index_names_no_file_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.bin").write_bytes(b"mine")
    index = shards(tmp_path / "net", build().state_dict())
    rewrite(index, lambda places: places.update({"0.weight": name}))
    with pytest.raises(DataError, match=r"expected names of files in the same folder, found .*put the files beside"):
        find_weights(index)


def _unlinked(folder: Path) -> None:
    (folder / SECOND).unlink()


def _dangling(folder: Path) -> None:
    (folder / SECOND).unlink()
    (folder / SECOND).symlink_to(folder / SECOND)


def _piped(folder: Path) -> None:
    (folder / SECOND).unlink()
    os.mkfifo(folder / SECOND)


def _cut(folder: Path) -> None:
    (folder / SECOND).write_bytes((folder / SECOND).read_bytes()[:-7])


def _page(folder: Path) -> None:
    (folder / SECOND).write_text("<!doctype html><title>Sign in</title>")


def _nested(folder: Path) -> None:
    (folder / SECOND).write_bytes((folder / INDEX).read_bytes())


def _repeated(folder: Path) -> None:
    text = (folder / INDEX).read_text()
    (folder / INDEX).write_text(text.replace('"0.bias"', f'"0.bias": "{FIRST}", "0.bias"', 1))


def _cut_index(folder: Path) -> None:
    (folder / INDEX).write_text((folder / INDEX).read_text()[:-2])


def _no_map(folder: Path) -> None:
    (folder / INDEX).write_text('{"weight_map": {}}')


def _numbers(folder: Path) -> None:
    (folder / INDEX).write_text('{"weight_map": {"a": 3}}')


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_unlinked, f"expected its 2 files in the same folder, found no {SECOND}; download or copy all"),
        (_dangling, f"expected its 2 files in the same folder, found no {SECOND}"),
        (_piped, f"expected its 2 files in the same folder, found no {SECOND}"),
        (_cut, rf"{SECOND}: .* found the beginning of a safetensors file: \d+ bytes of \d+"),
        (_page, rf"{SECOND}: .* found a web page, 'Sign in'"),
        (_nested, f"expected files of tensors in its list, found the index {SECOND}"),
        (_repeated, r"expected each tensor once, found twice: 0\.bias"),
        (_cut_index, "expected a whole index in JSON, found: .*; download it again"),
        (_no_map, "in weight_map, found none; download"),
        (_numbers, "in weight_map, found another form; download"),
    ],
)
def test_what_is_not_whole_is_named_before_anything_is_loaded(
    tmp_path: Path, change: Callable[[Path], None], text: str
) -> None:
    index = shards(tmp_path / "net", build().state_dict())
    change(index.parent)
    with pytest.raises(DataError, match=text) as caught:
        find_weights(index)
    assert "\n" not in str(caught.value)


def _twice(folder: Path) -> None:
    save_file(tensors(folder / SECOND) | {"0.bias": torch.zeros(16)}, folder / SECOND)


def _moved(folder: Path) -> None:
    rewrite(folder / INDEX, lambda places: places.update({"0.bias": SECOND}))


def _more(folder: Path) -> None:
    save_file(tensors(folder / SECOND) | {"more": torch.zeros(1)}, folder / SECOND)


def _document(folder: Path) -> None:
    torch.save({"state_dict": tensors(folder / SECOND)}, folder / SECOND)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_twice, rf"expected each tensor in one file, found 0\.bias in {FIRST} and in {SECOND}; download or save all"),
        (_moved, rf"expected the tensors that the index lists, found no 0\.bias in {SECOND}; download or save all"),
        (_more, f"expected the tensors that the index lists, found more in {SECOND}, which is not listed"),
        (_document, f"{SECOND}: expected a state dict of tensors alone, as one of several files holds"),
    ],
)
def test_files_that_do_not_go_together_are_refused(tmp_path: Path, change: Callable[[Path], None], text: str) -> None:
    index = shards(tmp_path / "net", build().state_dict())
    change(index.parent)
    net = build()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(DataError, match=text):
        load_weights(index, net)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
