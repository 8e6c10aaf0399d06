"""The document `serving.json`, in which a packed folder describes itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, get_args

from .activation import ACTIVATIONS, Activation
from .decode import InputSpec
from .description_checks import (
    MOST_EXAMPLES,
    MOST_THREADS,
    checked_candidate,
    checked_count,
    checked_file,
    checked_files,
    checked_flag,
    checked_name,
    checked_settings,
    checked_sha256,
    checked_text,
    checked_tolerance,
)
from .limits import Limits
from .outputs import OutputSpec, checked_outputs
from .runtimes import RUNTIMES, Optimization, RuntimeKind
from .task_answers import ANSWERS, TASK_NAMES, TaskName
from .tolerance import Tolerance

SERVING_FILE = "serving.json"
SERVING_SCHEMA = 1
# File with the SHA-256, by name, of the sources that an installation puts beside an archive's data in place of the
# archive's own sources.
HANDLER_LIST = "handler.json"
# Ending of the files that hold golden answers and pictures.
ARRAYS_ENDING = ".safetensors"


@dataclass(frozen=True, kw_only=True)
class RuntimeSpec:
    """How a model file is run.

    Args:
        kind: the library that runs it.
        file: name of the model file in the packed folder.
        optimization: level of the library's graph optimizer, which runs after loading.
        threads: number of threads inside one call.
        batch_invariant: whether an example's answer is independent of the other examples in its batch; if it is not,
            examples are run one at a time.
        allow_batch_variant: whether they are run in batches all the same, because the owner of the model said so.
        outputs: outputs of the file, in the order in which it has them; empty for one output (K,).
    """

    kind: RuntimeKind
    file: str
    optimization: Optimization = "all"
    threads: int = 1
    batch_invariant: bool = True
    allow_batch_variant: bool = False
    outputs: tuple[OutputSpec, ...] = ()

    @property
    def one_by_one(self) -> bool:
        """Tell whether examples are run one at a time."""
        return not self.batch_invariant and not self.allow_batch_variant

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values; `outputs` is left out where it is empty."""
        return {
            "kind": self.kind,
            "file": self.file,
            "optimization": self.optimization,
            "threads": self.threads,
            "batch_invariant": self.batch_invariant,
            "allow_batch_variant": self.allow_batch_variant,
            **({"outputs": [spec.to_json() for spec in self.outputs]} if self.outputs else {}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> RuntimeSpec:
        """Read what `to_json` wrote.

        Raises:
            ValueError: a field is missing or unknown.
        """
        try:
            spec = cls(**{**document, "outputs": checked_outputs(document.get("outputs", ()))})
        except TypeError as error:
            raise ValueError(f"runtime: {error}") from error
        if str(spec.kind) not in RUNTIMES or spec.optimization not in get_args(Optimization):
            raise ValueError(f"runtime: unknown kind or optimization in {dict(document)}")
        checked_file(spec.file, "runtime: file", RUNTIMES[spec.kind].ending)
        checked_count(spec.threads, "runtime: threads", most=MOST_THREADS)
        checked_flag(spec.batch_invariant, "runtime: batch_invariant")
        checked_flag(spec.allow_batch_variant, "runtime: allow_batch_variant")
        return spec


@dataclass(frozen=True, kw_only=True)
class Golden:
    """The inputs and answers that travel with a model.

    Args:
        file: safetensors file: `input.<name>` (N, ...) and `logits.<b>` (N, K) for each batch size b.
        batch_sizes: batch sizes in which the answers were computed.
        tolerance: limit on the difference between these answers and a worker's.
    """

    file: str
    batch_sizes: tuple[int, ...]
    tolerance: Tolerance


@dataclass(frozen=True, kw_only=True)
class Serving:
    """The contents of `serving.json`.

    Args:
        name: the model's name, also in the URL.
        version: the model's version.
        candidate: name of the candidate that was packed.
        identity: digest of the candidate's specification.
        precision: number format of its weights.
        task: what the outputs mean, which decides the form of an answer.
        inputs: inputs in the order in which the model takes them.
        labels: label of each output.
        runtime: how the model file is run.
        top: number of labels in an answer.
        golden: inputs and answers that are replayed before serving.
        pictures: safetensors file of pictures that are decoded before serving (`handlers.golden_pictures`); None where
            no input is a picture.
        files: SHA-256 by file name of everything else in the folder.
        activation: last operation inside the model; in archives without the field, the outputs are logits.
        limits: limits on one request; None in archives of earlier releases, for which the usual limits hold.
        task_settings: settings of the task, as JSON values; empty where it has none.
    """

    name: str
    version: str
    candidate: str
    identity: str
    precision: str
    task: TaskName
    inputs: tuple[InputSpec, ...]
    labels: tuple[str, ...]
    runtime: RuntimeSpec
    top: int
    golden: Golden
    pictures: str | None
    files: Mapping[str, str]
    activation: Activation = "none"
    limits: Limits | None = None
    task_settings: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def label_texts(self) -> tuple[str, ...]:
        """Return the labels as JSON has them."""
        return tuple(map(json.dumps, self.labels))

    @property
    def outputs(self) -> tuple[OutputSpec, ...]:
        """Return the named outputs of the model; empty for one output with a value for each label."""
        return self.runtime.outputs

    @property
    def columns(self) -> int:
        """Return the number of values in an answer, K: those of all outputs together, or one for each label."""
        return sum(spec.size for spec in self.outputs) or len(self.labels)

    @property
    def needed(self) -> tuple[str, ...]:
        """List the names of the files that a worker loads."""
        pictures = () if self.pictures is None else (self.pictures,)
        return (self.runtime.file, self.golden.file, *pictures)

    def to_json(self) -> dict[str, Any]:
        """Return the document of `serving.json`."""
        return {
            "schema": SERVING_SCHEMA,
            "model": {"name": self.name, "version": self.version},
            "candidate": {"name": self.candidate, "identity": self.identity, "precision": self.precision},
            "task": self.task,
            **({"task_settings": dict(self.task_settings)} if self.task_settings else {}),
            "activation": self.activation,
            "inputs": [spec.to_json() for spec in self.inputs],
            "labels": list(self.labels),
            "runtime": self.runtime.to_json(),
            "top": self.top,
            "golden": {
                "file": self.golden.file,
                "batch_sizes": list(self.golden.batch_sizes),
                "tolerance": self.golden.tolerance.to_json(),
            },
            "pictures": self.pictures,
            **({} if self.limits is None else {"limits": self.limits.to_json()}),
            "files": dict(sorted(self.files.items())),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Serving:
        """Read what `to_json` wrote.

        Raises:
            ValueError: the schema is another one, or a field is missing or wrong.
        """
        try:
            if document["schema"] != SERVING_SCHEMA:
                raise ValueError(f"schema: expected {SERVING_SCHEMA}, found {document['schema']!r}")
            task = document["task"]
            if task not in TASK_NAMES:
                raise ValueError(f"task: expected {' or '.join(TASK_NAMES)}, found {task!r}")
            activation = document.get("activation", "none")
            if activation not in ACTIVATIONS:
                raise ValueError(f"activation: expected {', '.join(ACTIVATIONS)}, found {activation!r}")
            model, candidate, golden = document["model"], document["candidate"], document["golden"]
            pictures = document["pictures"]
            labels = tuple(checked_text(label, "labels") for label in document["labels"])
            serving = cls(
                name=checked_name(model["name"], "model.name"),
                version=checked_name(model["version"], "model.version"),
                candidate=checked_candidate(candidate["name"], "candidate.name"),
                identity=checked_sha256(candidate["identity"], "candidate.identity"),
                precision=checked_name(candidate["precision"], "candidate.precision"),
                task=task,
                task_settings=checked_settings(document.get("task_settings", {}), "task_settings"),
                inputs=tuple(InputSpec.from_json(spec) for spec in document["inputs"]),
                labels=labels,
                runtime=RuntimeSpec.from_json(document["runtime"]),
                top=checked_count(document["top"], "top", most=max(1, len(labels))),
                golden=Golden(
                    file=checked_file(golden["file"], "golden.file", ARRAYS_ENDING),
                    batch_sizes=tuple(
                        checked_count(size, "golden.batch_sizes", most=MOST_EXAMPLES) for size in golden["batch_sizes"]
                    ),
                    tolerance=checked_tolerance(golden["tolerance"], "golden.tolerance"),
                ),
                pictures=None if pictures is None else checked_file(pictures, "pictures", ARRAYS_ENDING),
                files=checked_files(document["files"], "files"),
                activation=activation,
                limits=Limits.from_json(document["limits"]) if "limits" in document else None,
            )
        except (KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"{SERVING_FILE}: {type(error).__name__}: {error}") from error
        serving._check_counts()
        ANSWERS[serving.task].check(serving.task_settings, serving.labels)
        return serving

    def _check_counts(self) -> None:
        """Require inputs, labels and golden answers, and names that differ.

        Raises:
            ValueError: something is missing, or a name is there twice; the text names it.
        """
        names = [spec.name for spec in self.inputs]
        for what, count in (
            ("inputs", len(names)),
            ("labels", len(self.labels)),
            ("golden.batch_sizes", len(self.golden.batch_sizes)),
        ):
            if count == 0:
                raise ValueError(f"{what}: expected at least one, found none")
        outputs = tuple(spec.name for spec in self.outputs)
        if (self.task == "outputs" or outputs) and (self.task != "outputs" or not outputs or outputs != self.labels):
            raise ValueError(
                f"runtime: outputs: expected one for each of the labels in task outputs, and none in others, found "
                f"{', '.join(outputs) or 'none'} in task {self.task}"
            )
        if len(set(names)) != len(names):
            raise ValueError(f"inputs: expected a name of its own for each, found {', '.join(names)}")
        if len(set(self.needed)) != len(self.needed):
            raise ValueError(f"files: expected a file of its own for each purpose, found {', '.join(self.needed)}")
