"""Checkpoints in the forms in which trainers leave them, written by hand as those trainers write them."""

from __future__ import annotations

import argparse
import json
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

State = Mapping[str, Tensor]


def build() -> nn.Module:
    """A small network with parameters, buffers and a counter."""
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


def optimizer_state(network: nn.Module) -> dict[str, Any]:
    """State of an optimizer that has made a step."""
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(2, 8)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def lightning(state: State, *, prefix: str = "net.") -> dict[str, Any]:
    """What Lightning's ModelCheckpoint saves of a module whose network is an attribute, with a loss beside it."""
    score = torch.tensor(0.12)
    callback = "ModelCheckpoint{'monitor': 'loss', 'mode': 'min', 'every_n_train_steps': 0, 'every_n_epochs': 1}"
    return {
        "epoch": 2,
        "global_step": 24,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": OrderedDict(
            {f"{prefix}{key}": value for key, value in state.items()} | {"loss.weight": torch.ones(3)}
        ),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"current": {"ready": 3, "completed": 2}}}},
        "callbacks": {
            callback: {"monitor": "loss", "best_model_score": score, "best_k_models": {"/runs/a.ckpt": score}}
        },
        "optimizer_states": [optimizer_state(build())],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": {"lr": 0.1, "out": Path("runs"), "best": np.float64(0.9)},
    }


def composer(state: State) -> dict[str, Any]:
    """What Composer's CheckpointSaver saves of a model in its ComposerClassifier."""
    clock = {"epoch": 1, "batch": 12, "total_wct": timedelta(seconds=3)}
    return {
        "state": {
            "model": OrderedDict({f"module.{key}": value for key, value in state.items()}),
            "optimizers": {"AdamW": optimizer_state(build())},
            "timestamp": {"Timestamp": clock},
            "metadata": {"composer_env_info": {"composer_version": "0.32.1"}, "torch_version": torch.__version__},
            "callbacks": [("CheckpointSaver", {"all_saved_checkpoints_to_timestamp": [("ep1.pt", clock)]})],
        },
        "rng": [
            {
                "python": (3, (1, 2, 624), None),
                "numpy": ("MT19937", np.arange(624, dtype=np.uint32), 624, 0, 0.0),
                "torch": torch.get_rng_state(),
            }
        ],
    }


def shards(folder: Path, state: State, *, suffix: str = ".safetensors") -> Path:
    """Write two files of tensors and their index, as Hugging Face's `save_pretrained` does; returns the index."""
    folder.mkdir(exist_ok=True)
    stem = "model" if suffix == ".safetensors" else "pytorch_model"
    keys, places = list(state), dict[str, str]()
    for number, part in enumerate((keys[:3], keys[3:]), start=1):
        name = f"{stem}-0000{number}-of-00002{suffix}"
        tensors = {key: state[key] for key in part}
        if suffix == ".safetensors":
            save_file(tensors, folder / name, metadata={"format": "pt"})
        else:
            torch.save(tensors, folder / name)
        places |= dict.fromkeys(part, name)
    index = folder / f"{stem}{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    (folder / "config.json").write_text("{}")
    return index


@dataclass(frozen=True, kw_only=True)
class Form:
    """A form of a checkpoint.

    Args:
        write: function that writes a network's checkpoint into a folder and returns what `model.weights` names.
        key: `model.weights_key`, if it needs one.
        lines: pattern of the lines for the log.
        refusal: pattern of the refusal; None if the form is taken.
    """

    write: Callable[[Path, nn.Module], Path]
    key: str | None = None
    lines: str = ""
    refusal: str | None = None


def _saved(name: str, document: Callable[[nn.Module], object]) -> Callable[[Path, nn.Module], Path]:
    def write(folder: Path, network: nn.Module) -> Path:
        torch.save(document(network), folder / name)
        return folder / name

    return write


def _averaged(network: nn.Module) -> Mapping[str, Tensor]:
    average = AveragedModel(network)
    average.update_parameters(network)
    return average.state_dict()


def _cast(network: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    return {key: value.to(dtype) if value.is_floating_point() else value for key, value in network.state_dict().items()}


def _scripted(folder: Path, network: nn.Module) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that TorchScript is deprecated
        torch.jit.script(network).save(str(folder / "model.pt"))  # type: ignore[no-untyped-call]
    return folder / "model.pt"


# By the words of the table in docs/own-model.md.
FORMS: dict[str, Form] = {
    "Lightning's `.ckpt`": Form(
        write=_saved("epoch=2-step=24.ckpt", lambda network: lightning(network.state_dict())),
        lines=r"took the tensors behind state_dict\.net\.; left out: loss\.weight",
    ),
    "timm's `.pth.tar`": Form(
        write=_saved(
            "model_best.pth.tar",
            lambda network: {
                "epoch": 3,
                "arch": "resnet18",
                "state_dict": build().state_dict(),
                "state_dict_ema": network.state_dict(),
                "optimizer": optimizer_state(build()),
                "version": 2,
                "args": argparse.Namespace(lr=0.1, model="resnet18"),
                "metric": np.float64(71.2),
            },
        ),
        key="state_dict_ema",
    ),
    "torchvision's references": Form(
        write=_saved(
            "checkpoint.pth",
            lambda network: {
                "model": build().state_dict(),
                "model_ema": _averaged(network),
                "optimizer": optimizer_state(build()),
                "lr_scheduler": {"milestones": [30], "last_epoch": 3},
                "scaler": {"scale": 65536.0},
                "epoch": 3,
                "args": argparse.Namespace(lr=0.1, output_dir="."),
            },
        ),
        key="model_ema",
    ),
    "Hugging Face's `.bin`": Form(write=_saved("pytorch_model.bin", lambda network: network.state_dict())),
    "several safetensors with an index, or their folder": Form(
        write=lambda folder, network: shards(folder / "model", network.state_dict()).parent
    ),
    "several `.bin` with an index": Form(
        write=lambda folder, network: shards(folder / "model", network.state_dict(), suffix=".bin")
    ),
    "Composer's `.pt`": Form(write=_saved("ep1-ba12-rank0.pt", lambda network: composer(network.state_dict()))),
    '`{"weights": ...}`, or any other key': Form(
        write=_saved("w.pth", lambda network: {"weights": network.state_dict(), "epoch": 3})
    ),
    '`{"model": ..., "ema": ...}`': Form(
        write=_saved("w.pth", lambda network: {"model": build().state_dict(), "ema": network.state_dict()}), key="ema"
    ),
    "NumPy's numbers beside the tensors": Form(
        write=_saved(
            "w.pth", lambda network: {"net": network.state_dict(), "best": np.float32(0.9), "seen": np.int64(3)}
        )
    ),
    "half precision": Form(
        write=_saved("w.pth", lambda network: _cast(network, torch.float16)),
        lines="8 tensors of float16 became float32",
    ),
    "bfloat16": Form(
        write=_saved("w.pth", lambda network: _cast(network, torch.bfloat16)),
        lines="8 tensors of bfloat16 became float32",
    ),
    "a whole module, saved with `torch.save(network, path)`": Form(
        write=_saved("w.pth", lambda network: network), refusal=r"found a whole module \(torch\.nn\.modules.*refused"
    ),
    "a TorchScript archive": Form(write=_scripted, refusal="found a TorchScript archive"),
}
