"""Takes a PyTorch model to the fastest artifact that is proven to be the same model, and serves it.

The public names are loaded when first used; importing this package does nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline._handlers.columns import Column
    from pipeline._handlers.decode import ImageDecoding, InputSpec
    from pipeline.commands.bench.result import BenchResult
    from pipeline.commands.bench.run import bench
    from pipeline.commands.build import build
    from pipeline.commands.build_result import BuildResult
    from pipeline.commands.capture import CaptureResult, capture
    from pipeline.commands.clean import CleanResult, clean
    from pipeline.commands.compare import compare
    from pipeline.commands.decode_image import decode_image
    from pipeline.commands.diff import diff
    from pipeline.commands.doctor import Diagnosis, doctor
    from pipeline.commands.evidence import evidence
    from pipeline.commands.inspect import inspect
    from pipeline.commands.predict import FileAnswer, predict
    from pipeline.commands.predict_archive import ArchiveAnswers, predict_archive
    from pipeline.commands.profile import ProfileResult, profile
    from pipeline.commands.report import report
    from pipeline.commands.serve import serve
    from pipeline.commands.sign import sign
    from pipeline.commands.train import TrainResult, train
    from pipeline.commands.verify import verify
    from pipeline.commands.verify_archive import ArchiveVerification
    from pipeline.commands.verify_run import RunVerification
    from pipeline.data.dataset import DataSet, Split
    from pipeline.engine.probe import Check
    from pipeline.engine.stage import Reporter
    from pipeline.errors import (
        DataError,
        ElsewhereError,
        FileError,
        JobError,
        PipelineError,
        ProofError,
        ServerError,
        StageError,
        UsageError,
    )
    from pipeline.inspection.graph_comparison import GraphComparison
    from pipeline.inspection.model_archive import ArchiveInspection
    from pipeline.inspection.onnx_model import OnnxInspection
    from pipeline.inspection.torchscript_archive import TorchScriptInspection
    from pipeline.models.spec import ModelSpec
    from pipeline.recipe.loading import load_recipe
    from pipeline.recipe.recipe import Recipe
    from pipeline.scoring.comparison import ArchiveComparison
    from pipeline.serving.lifecycle import status, stop
    from pipeline.serving.server import ServerState
    from pipeline.serving.server_status import ServerStatus
    from pipeline.serving.wire import Prediction

# Of the release; the distribution takes it from here.
__version__ = "0.1.0"

_HOMES = {
    "ArchiveAnswers": "pipeline.commands.predict_archive",
    "ArchiveComparison": "pipeline.scoring.comparison",
    "ArchiveInspection": "pipeline.inspection.model_archive",
    "ArchiveVerification": "pipeline.commands.verify_archive",
    "BenchResult": "pipeline.commands.bench.result",
    "BuildResult": "pipeline.commands.build_result",
    "CaptureResult": "pipeline.commands.capture",
    "Check": "pipeline.engine.probe",
    "CleanResult": "pipeline.commands.clean",
    "Column": "pipeline._handlers.columns",
    "DataError": "pipeline.errors",
    "DataSet": "pipeline.data.dataset",
    "Diagnosis": "pipeline.commands.doctor",
    "ElsewhereError": "pipeline.errors",
    "FileAnswer": "pipeline.commands.predict",
    "FileError": "pipeline.errors",
    "ImageDecoding": "pipeline._handlers.decode",
    "GraphComparison": "pipeline.inspection.graph_comparison",
    "InputSpec": "pipeline._handlers.decode",
    "JobError": "pipeline.errors",
    "ModelSpec": "pipeline.models.spec",
    "OnnxInspection": "pipeline.inspection.onnx_model",
    "PipelineError": "pipeline.errors",
    "Prediction": "pipeline.serving.wire",
    "ProfileResult": "pipeline.commands.profile",
    "ProofError": "pipeline.errors",
    "Recipe": "pipeline.recipe.recipe",
    "Reporter": "pipeline.engine.stage",
    "RunVerification": "pipeline.commands.verify_run",
    "ServerError": "pipeline.errors",
    "ServerState": "pipeline.serving.server",
    "ServerStatus": "pipeline.serving.server_status",
    "Split": "pipeline.data.dataset",
    "StageError": "pipeline.errors",
    "TorchScriptInspection": "pipeline.inspection.torchscript_archive",
    "TrainResult": "pipeline.commands.train",
    "UsageError": "pipeline.errors",
    "bench": "pipeline.commands.bench.run",
    "build": "pipeline.commands.build",
    "capture": "pipeline.commands.capture",
    "clean": "pipeline.commands.clean",
    "compare": "pipeline.commands.compare",
    "decode_image": "pipeline.commands.decode_image",
    "diff": "pipeline.commands.diff",
    "doctor": "pipeline.commands.doctor",
    "evidence": "pipeline.commands.evidence",
    "inspect": "pipeline.commands.inspect",
    "load_recipe": "pipeline.recipe.loading",
    "predict": "pipeline.commands.predict",
    "predict_archive": "pipeline.commands.predict_archive",
    "profile": "pipeline.commands.profile",
    "report": "pipeline.commands.report",
    "serve": "pipeline.commands.serve",
    "sign": "pipeline.commands.sign",
    "status": "pipeline.serving.lifecycle",
    "stop": "pipeline.serving.lifecycle",
    "train": "pipeline.commands.train",
    "verify": "pipeline.commands.verify",
}

__all__ = [
    "ArchiveAnswers",
    "ArchiveComparison",
    "ArchiveInspection",
    "ArchiveVerification",
    "BenchResult",
    "BuildResult",
    "CaptureResult",
    "Check",
    "CleanResult",
    "Column",
    "DataError",
    "DataSet",
    "Diagnosis",
    "ElsewhereError",
    "FileAnswer",
    "FileError",
    "GraphComparison",
    "ImageDecoding",
    "InputSpec",
    "JobError",
    "ModelSpec",
    "OnnxInspection",
    "PipelineError",
    "Prediction",
    "ProfileResult",
    "ProofError",
    "Recipe",
    "Reporter",
    "RunVerification",
    "ServerError",
    "ServerState",
    "ServerStatus",
    "Split",
    "StageError",
    "TorchScriptInspection",
    "TrainResult",
    "UsageError",
    "bench",
    "build",
    "capture",
    "clean",
    "compare",
    "decode_image",
    "diff",
    "doctor",
    "evidence",
    "inspect",
    "load_recipe",
    "predict",
    "predict_archive",
    "profile",
    "report",
    "serve",
    "sign",
    "status",
    "stop",
    "train",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
