"""Load a packed model, prove that it answers as it did when it was packed, and answer with it, without any server.

A packed folder holds `serving.json` (which `Serving` reads), the model file, the golden batch and these sources. If
`handler.json` lies beside them, the sources are those of the installation that serves the model.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import load_arrays
from .bad_request import BadRequest
from .body_forms import AnswerRooms
from .compare import Comparison, compare
from .decode import InputSpec
from .description import HANDLER_LIST, SERVING_FILE, Golden, RuntimeSpec, Serving
from .description_checks import checked_files
from .golden import proves_nothing, require_golden
from .golden_pictures import picture_difference, require_pictures
from .json_text import compact_text
from .limits import Deadline, Limits, usual_pixels
from .model_file import Model, describe_cpu, describe_libraries, load_model, run_chunks
from .request import Answered
from .runtimes import RUNTIMES
from .sizes import in_shape, size_groups, sizes_in_words
from .task_answers import ANSWERS

# Where no memory is left, torch and ONNX Runtime raise their own errors, with such words.
_MEMORY = re.compile("alloc|out of memory", re.IGNORECASE)
_LONGEST_REASON = 300


class Refusal(RuntimeError):  # noqa: N818 - what a worker says when it will not serve
    """A reason why this folder must not be served here; the message is one line."""


class Predictor:
    """A packed model that is loaded.

    Args:
        serving: description of the packed model.
        digest: SHA-256 of `serving.json`, which lists the digest of every other file.
        model: the loaded model file.
        golden: arrays of the golden file, by name.
        pictures: arrays of the pictures file, by name; empty where there is none.
    """

    def __init__(
        self,
        *,
        serving: Serving,
        digest: str,
        model: Model,
        golden: Mapping[str, NDArray[Any]],
        pictures: Mapping[str, NDArray[Any]],
    ) -> None:
        self.serving = serving
        self.digest = digest
        self.limits = serving.limits or Limits(pixels=usual_pixels(serving.inputs))
        self.answer_rooms = AnswerRooms(serving)
        self._model = model
        self._golden = golden
        self._pictures = pictures
        # This is the number of examples in one call. Answers are proven up to the largest golden batch.
        self.batch_size = 1 if serving.runtime.one_by_one else max(serving.golden.batch_sizes)
        self._tail = {"version": serving.version, "digest": digest}
        self._end = compact_text(self._tail)[1:-1]

    @classmethod
    def load(cls, folder: Path) -> Predictor:
        """Check every file against its digest, then load the model.

        Args:
            folder: folder of an unpacked archive.

        Raises:
            Refusal: a file is missing, altered or not readable.
        """
        try:
            content = (folder / SERVING_FILE).read_bytes()
            serving = Serving.from_json(json.loads(content))
        except (OSError, ValueError, RecursionError) as error:
            raise Refusal(f"{folder.name}/{SERVING_FILE}: expected a readable description, found: {error}") from error
        for name, expected in _expected_files(folder, serving).items():
            _check_digest(folder, name, expected)
        for name in serving.needed:
            if name not in serving.files:
                raise Refusal(f"{SERVING_FILE}: expected a digest of {name}, found none")
        try:
            golden = _load(folder, serving.golden.file)
            pictures = {} if serving.pictures is None else _load(folder, serving.pictures)
            require_golden(serving, golden)
            require_pictures(serving.pictures or "", pictures, serving.inputs)
        except (OSError, ValueError) as error:
            raise Refusal(f"candidate {serving.candidate}: {error}") from error
        try:
            model = load_model(folder, serving.runtime, serving.inputs)
        except Exception as error:
            reason = " ".join(str(error).split())
            raise Refusal(
                f"candidate {serving.candidate}: {serving.runtime.file} cannot be loaded: {reason}"
            ) from error
        digest = hashlib.sha256(content).hexdigest()
        return cls(serving=serving, digest=digest, model=model, golden=golden, pictures=pictures)

    @property
    def proves_nothing(self) -> bool:
        """Tell whether a model that gives all golden examples one and the same answer would pass the self-test."""
        return proves_nothing(self.serving, self._golden)

    def self_test(self) -> dict[tuple[int, str], Comparison]:
        """Replay the golden inputs in every batch size, several calls each, and compare with the golden answers.

        Returns:
            The last comparison, or the first that did not pass, by batch size and sizes of the free axes (empty for the
            sizes of the data).
        """
        inputs = {spec.name: self._golden[f"input.{spec.name}"] for spec in self.serving.inputs}
        batches = self.serving.golden.batch_sizes
        report = {(size, ""): self._replay(inputs, self._golden[f"logits.{size}"], size) for size in batches}
        for group in size_groups(self._golden, self.serving.inputs):
            for size, expected in group.logits.items():
                report[size, group.sizes] = self._replay(group.inputs, expected, size)
        return report

    def _replay(self, inputs: Mapping[str, NDArray[Any]], expected: NDArray[np.float32], size: int) -> Comparison:
        """Compare golden answers in one batch size; return the last comparison, or the first that did not pass."""
        calls = -(-len(expected) // size)
        # A runtime may compile during its first calls of a shape. It is called until it runs what will answer requests.
        left = -(-RUNTIMES[self.serving.runtime.kind].settled_call // calls)
        while True:
            left -= 1
            answers = run_chunks(self._model, inputs, size)
            comparison = compare(expected, answers, self.serving.golden.tolerance, batch_size=size)
            if not (left and comparison.passed):
                return comparison

    def picture_difference(self) -> str:
        """Decode the pictures packed with the model; return a clause on the first that differs, or empty text."""
        return picture_difference(self._pictures, self.serving.inputs)

    def require_self_test(self, *, accept_host: bool = False) -> str | None:
        """Decode the pictures, replay the golden batch, and refuse to go on if anything differs.

        Args:
            accept_host: whether to go on nevertheless, because an operator said so, and to say how far the answers are.

        Returns:
            If the host had to be accepted, one line on the batch size whose answers differ most, or else on the picture
            that decodes differently.

        Raises:
            Refusal: something differs; one line has candidate, difference, limit, processor and library versions.
        """
        pictures = self.picture_difference()
        if pictures and not accept_host:
            raise Refusal(f"candidate {self.serving.candidate}: {pictures}")
        differing = [
            (f"{size}{', ' * bool(sizes)}{sizes}", comparison)
            for (size, sizes), comparison in self.self_test().items()
            if not comparison.passed
        ]
        if not differing:
            return pictures or None
        host = f"CPU {describe_cpu()}; {describe_libraries(self.serving.runtime)}"
        if not accept_host:
            size, comparison = differing[0]
            raise Refusal(
                f"candidate {self.serving.candidate}: golden answers differ at batch size {size}: "
                f"{comparison.reason} (largest difference {comparison.max_absolute:.3g}); {host}"
            )
        size, comparison = max(differing, key=lambda pair: pair[1].max_absolute)
        return (
            f"golden answers differ by {comparison.max_absolute:.3g} at batch size {size}: {comparison.reason}; {host}"
        )

    def predict(
        self, instances: Sequence[Mapping[str, NDArray[Any]]], deadline: Deadline | None = None
    ) -> NDArray[np.float32]:
        """Answer examples, in batches where the model allows it.

        Args:
            instances: one array per input name for each example.
            deadline: time for the answers, which is checked before each batch; None for no limit.

        Returns:
            Logits (N, K).

        Raises:
            FloatingPointError: the model answered NaN or infinity.
            BadRequest: the model has no answer in time, or none to an example at whose sizes it was not proven.
        """
        try:
            return self._predict(instances, deadline)
        except BadRequest:
            raise
        except Exception as error:
            self._refuse_sizes(instances, error, deadline)
            raise

    def _refuse_sizes(
        self, instances: Sequence[Mapping[str, NDArray[Any]]], error: Exception, deadline: Deadline | None
    ) -> None:
        """Refuse the sizes that the client chose, where the model has no answer at all at an example's sizes."""
        inputs = self.serving.inputs
        if not any(spec.dynamic_axes for spec in inputs) or lacks_resources(error):
            return
        first = {spec.name: self._golden[f"input.{spec.name}"] for spec in inputs}
        proven = [first, *(group.inputs for group in size_groups(self._golden, inputs))]
        proven_sizes = [sizes_in_words(arrays, inputs) for arrays in proven]
        for instance in instances:
            sizes = sizes_in_words({name: array[np.newaxis] for name, array in instance.items()}, inputs)
            if sizes in proven_sizes:
                continue
            try:
                self._predict([instance], deadline)
            except BadRequest:
                raise
            except Exception as failure:  # noqa: BLE001 - a runtime raises whatever it likes
                # If the model fails on golden values in these sizes too, the client's values are not at fault.
                resized = {name: in_shape(first[name][:1], array.shape)[0] for name, array in instance.items()}
                if lacks_resources(failure) or self._answers(resized) or not self.answers_golden():
                    return
                raise BadRequest(
                    "the model has no answer for an example of this size",
                    expected=f"sizes that it takes; proven: {'; '.join(proven_sizes)}",
                    found=f"{sizes} ({reason_of(failure)})",
                ) from error

    def _predict(
        self, instances: Sequence[Mapping[str, NDArray[Any]]], deadline: Deadline | None = None
    ) -> NDArray[np.float32]:
        rows_done = 0
        if len(instances) == 1:
            if deadline is not None:
                deadline.check()
            logits = self._model({name: array[np.newaxis] for name, array in instances[0].items()})
        else:
            logits = np.empty((len(instances), self.serving.columns), dtype=np.float32)
            for rows in _same_shapes(instances, self.serving.inputs):
                for start in range(0, len(rows), self.batch_size):
                    if deadline is not None:
                        deadline.check(rows_done)
                    part = rows[start : start + self.batch_size]
                    batch = {
                        spec.name: np.stack([instances[row][spec.name] for row in part]) for spec in self.serving.inputs
                    }
                    logits[part] = self._model(batch)
                    rows_done += len(part)
        if np.count_nonzero(np.isfinite(logits)) != logits.size:
            raise FloatingPointError(f"candidate {self.serving.candidate} answered with NaN or infinity")
        return logits

    def answers_golden(self) -> bool:
        """Tell whether the model still answers one of its golden examples with finite numbers."""
        return self._answers({spec.name: self._golden[f"input.{spec.name}"][0] for spec in self.serving.inputs})

    def _answers(self, instance: Mapping[str, NDArray[Any]]) -> bool:
        """Tell whether the model answers an example with finite numbers."""
        try:
            self._predict([instance])
        except Exception:  # noqa: BLE001 - whatever the runtime raises
            return False
        return True

    def answer(self, logits: NDArray[np.float32], *, with_logits: bool = False) -> dict[str, Any]:
        """Build one example's answer.

        Args:
            logits: the model's outputs, (K,); these are probabilities where the model answers with them.
            with_logits: whether the answer also holds these outputs.
        """
        answer = {**ANSWERS[self.serving.task].tell(self.serving, logits), **self._tail}
        if with_logits:
            answer["logits"] = logits.tolist()
        return answer

    def write(self, logits: NDArray[np.float32]) -> list[str]:
        """Write the JSON of the answers to examples, without version and digest, from logits (N, K)."""
        return ANSWERS[self.serving.task].write(self.serving, logits)

    def complete(self, written: Sequence[str], answered: Answered) -> list[str]:
        """Add what each answer to a request holds besides the task's own fields.

        Args:
            written: what `write` wrote of each instance of the request.
            answered: the request with its logits.

        Returns:
            The JSON of each answer.
        """
        request, logits, extras = answered
        if not extras.logits and not extras.decoded:
            return [f"{answer[:-1]},{self._end}}}" for answer in written]
        ends = [self._end] * len(written)
        if extras.logits:
            ends = [f'{end},"logits":{compact_text(row)}' for end, row in zip(ends, logits.tolist(), strict=True)]
        if extras.decoded:
            digests = map(_digests, request.instances)
            ends = [f'{end},"decoded":{compact_text(names)}' for end, names in zip(ends, digests, strict=True)]
        return [f"{answer[:-1]},{end}}}" for answer, end in zip(written, ends, strict=True)]


def _expected_files(folder: Path, serving: Serving) -> dict[str, str]:
    """Return the SHA-256, by name, of the files that must be there.

    These are all packed files, or the packed data and the sources that an installation put beside them.
    """
    source_list = folder / HANDLER_LIST
    if not source_list.exists():
        return dict(serving.files)
    try:
        sources = checked_files(json.loads(source_list.read_bytes()), "sources")
    except (OSError, ValueError, RecursionError) as error:
        raise Refusal(f"{folder.name}/{HANDLER_LIST}: expected a readable list, found: {error}") from error
    return {name: digest for name, digest in serving.files.items() if name in serving.needed} | sources


def _digests(instance: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """Return the SHA-256 of the values of each input, by name."""
    return {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in instance.items()}


def _load(folder: Path, name: str) -> dict[str, NDArray[Any]]:
    return load_arrays((folder / name).read_bytes(), name)


def _check_digest(folder: Path, name: str, expected: str) -> None:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise Refusal(f"{SERVING_FILE}: {name} lies outside the archive")
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise Refusal(f"{name}: expected the file listed in {SERVING_FILE}, found: {error.strerror}") from error
    if digest != expected:
        raise Refusal(f"{name}: expected SHA-256 {expected}, found {digest}")


def _same_shapes(instances: Sequence[Mapping[str, NDArray[Any]]], inputs: Sequence[InputSpec]) -> list[list[int]]:
    """Group the row numbers of the instances whose arrays have the same shapes, in order."""
    free = [spec.name for spec in inputs if spec.dynamic_axes]
    if not free:
        return [list(range(len(instances)))]
    groups: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for row, instance in enumerate(instances):
        groups.setdefault(tuple(instance[name].shape for name in free), []).append(row)
    return list(groups.values())


__all__ = [
    "Golden",
    "Model",
    "Predictor",
    "Refusal",
    "RuntimeSpec",
    "Serving",
    "load_model",
    "run_chunks",
]


def lacks_resources(error: Exception) -> bool:
    """Tell whether memory or a file was missing; then the request is not at fault."""
    return isinstance(error, (MemoryError, OSError)) or _MEMORY.search(str(error)) is not None


def reason_of(error: Exception) -> str:
    """Write an exception's message in one line of bounded length."""
    return " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__
