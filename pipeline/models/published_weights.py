"""Finds published weights by name: in a folder of the user's, among those that torch fetched, or on the web."""

from __future__ import annotations

import hashlib
import importlib
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.engine.download import download
from pipeline.engine.places import user_folder
from pipeline.errors import DataError, UsageError
from pipeline.presets import import_timm, torchvision_weights
from pipeline.recipe.names import PUBLISHED, meant

VARIABLE = "PIPELINE_WEIGHTS"
WEB_TIMEOUT_S = 900.0
# torchvision and timm write the start of a file's SHA-256 into its name, as `resnet50-11ad3fa6.pth`.
_DIGEST = re.compile(r"-([0-9a-f]{8,})\.")
_CHUNK_BYTES = 1 << 20
_HUB_FILE = "model.safetensors"


@dataclass(frozen=True, kw_only=True)
class Published:
    """Where published weights are to be had.

    Args:
        file: name of the file on this machine.
        url: address of the file on the web.
    """

    file: str
    url: str


def weights_place(weights: str, folder: Path, *, log: Callable[[str], None] = lambda _: None) -> Path:
    """The path of what `model.weights` names. Published weights are fetched if they are not there yet.

    Args:
        weights: setting of the recipe: a path, or the name of published weights.
        folder: folder of the recipe.
        log: function that gets a line before something is fetched.

    Raises:
        UsageError: the package is not installed or knows no such weights.
        DataError: published weights are not on this machine and cannot be fetched; the message says what was tried.
    """
    return _published(weights, log) if re.fullmatch(PUBLISHED, weights) else folder / weights


def weights_to_fetch(weights: str) -> Published | None:
    """The published weights that `model.weights` names and that are not on this machine yet; nothing is fetched.

    Args:
        weights: setting of the recipe: a path, or the name of published weights.

    Raises:
        UsageError: the package is not installed or knows no such weights.
    """
    if not re.fullmatch(PUBLISHED, weights):
        return None
    facts = published(weights)
    place, _ = _look_for(facts)
    return facts if place is None else None


def cache_folder() -> Path:
    """Folder of fetched weights: the environment's PIPELINE_WEIGHTS, or `~/.cache/pipeline/weights`."""
    return user_folder("weights", VARIABLE)


def published(name: str) -> Published:
    """Read from the installed package where published weights are to be had; nothing is fetched.

    Args:
        name: `torchvision:ResNet50_Weights.IMAGENET1K_V2`, or `timm:resnet18.a1_in1k`.

    Raises:
        UsageError: the package is not installed or knows no such weights.
    """
    source, _, member = name.partition(":")
    if source == "torchvision":
        url = str(torchvision_weights(name, member, setting="model.weights").url)
        return Published(file=url.rpartition("/")[2], url=url)
    timm = import_timm(f"model.weights {name}")
    try:
        configuration = timm.models.get_pretrained_cfg(member)
    except RuntimeError:  # the network is known, and the tag of its weights is not
        configuration = None
    if configuration is None or not (configuration.url or configuration.hf_hub_id):
        raise UsageError(
            f"model.weights {name}: expected weights that timm publishes, found none of that name"
            f"{meant(member, timm.list_pretrained())}"
        )
    if not configuration.hf_hub_id:  # timm itself prefers the hub's file, whose keys are its own
        return Published(file=configuration.url.rpartition("/")[2], url=configuration.url)
    hub = importlib.import_module("huggingface_hub")
    return Published(file=f"{member}.safetensors", url=hub.hf_hub_url(configuration.hf_hub_id, _HUB_FILE))


def _published(name: str, log: Callable[[str], None]) -> Path:
    weights, cache = published(name), cache_folder()
    place, tried = _look_for(weights)
    if place is not None:
        return place
    log(f"fetching {name} from {weights.url}")
    try:
        _fetch(weights, cache / weights.file)
    except OSError as error:
        tried.append(f"{weights.url} ({error})")
        raise DataError(
            f"model.weights {name}: expected its file on this machine or the web, found neither; tried "
            f"{'; '.join(tried)}; put {weights.file} into {cache}, or name a file of your own in model.weights"
        ) from error
    return cache / weights.file


def _look_for(weights: Published) -> tuple[Path | None, list[str]]:
    """The whole file on this machine, if there is one, and the places where there is none, each with the reason."""
    tried = []
    for place in (cache_folder() / weights.file, _torch_folder() / weights.file):
        if not place.is_file():
            tried.append(f"{place} (no such file)")
        elif fault := _fault(place):
            tried.append(f"{place} ({fault})")
        else:
            return place, tried
    return None, tried


def _torch_folder() -> Path:
    """Folder into which torch itself fetches weights."""
    import torch

    return Path(torch.hub.get_dir(), "checkpoints")


def _fetch(weights: Published, place: Path) -> None:
    """Fetch a file into its folder, whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=place.parent) as name:
        fresh = Path(name, weights.file)
        download(weights.url, fresh, deadline=time.monotonic() + WEB_TIMEOUT_S, limit_s=WEB_TIMEOUT_S)
        if fault := _fault(fresh):
            raise OSError(fault)
        fresh.replace(place)


def _fault(path: Path) -> str:
    """What is wrong with a file, by the digest in its name; empty where nothing is, or its name has none."""
    named = _DIGEST.search(path.name)
    if named is None:
        return ""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    actual = digest.hexdigest()
    if actual.startswith(named[1]):
        return ""
    return f"expected a file whose SHA-256 begins with {named[1]}, found {actual[: len(named[1])]}"
