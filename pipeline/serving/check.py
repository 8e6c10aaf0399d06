"""Checks that a running server answers as an archive does: `pipeline verify ARCHIVE --url`, and `smoke` in every build.

The golden inputs go over the wire in every form that the model takes, alone and several at once, and what comes back is
held against the golden answers. Pictures of other sizes must be decoded to the pixels packed with them. Examples of
other data, where given, are held against the answers of a new process, and judged by their labels or by float.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from pipeline._handlers.compare import Comparison, compare
from pipeline._handlers.decode import InputSpec, decode_image
from pipeline._handlers.description import RuntimeSpec, Serving
from pipeline._handlers.golden_pictures import stored_pictures
from pipeline._handlers.picture_kinds import PICTURE_KINDS
from pipeline._handlers.request import MAX_BODY_BYTES
from pipeline._handlers.runtimes import RUNTIMES
from pipeline._handlers.sizes import size_groups
from pipeline._handlers.task_answers import ANSWERS
from pipeline.archive.golden import answers
from pipeline.archive.golden_batch import golden_answers
from pipeline.archive.mar import Archive
from pipeline.data.dataset import Split
from pipeline.data.input_checks import check_split
from pipeline.engine.artifacts import digest_bytes
from pipeline.engine.stage import Reporter, Silent
from pipeline.errors import ProofError, ServerError
from pipeline.serving.address import prediction_endpoint
from pipeline.serving.client import predict_decoded, predict_many_logits
from pipeline.serving.encoding import encode_instances, picture_file
from pipeline.serving.wire import Endpoint, Logits
from pipeline.tasks.quality import JudgedBy, judged_by
from pipeline.tasks.table import task_named

# Requests under way together: enough to fill a batch of the usual sizes, far below TorchServe's queue of 100.
AT_ONCE = 8
# Number of examples posted from each split. They take a small server a minute or two.
MAX_EXAMPLES = 500
PNG, RAW, JSON = PICTURE_KINDS["PNG"].media_type, "application/octet-stream", "application/json"


@dataclass(frozen=True, kw_only=True)
class ServedForm:
    """Golden inputs posted in one form.

    Args:
        form: the content type.
        at_once: requests under way together.
        sizes: sizes of the free axes, in words; empty for those of the data.
        posted: number of requests.
        max_absolute: largest difference of a logit from the golden one.
        limit: the largest difference allowed where the answer came closest to it.
        argmax_agreement: share of answers with the golden label.
    """

    form: str
    at_once: int
    sizes: str
    posted: int
    max_absolute: float
    limit: float
    argmax_agreement: float


@dataclass(frozen=True, kw_only=True)
class ServedQuality:
    """Decisions of the served model on examples.

    Args:
        name: name of the data.
        form: content type that the examples were posted as.
        examples: number of examples that were posted, spread over the data.
        available: number of examples that there are.
        judged_by: what the decisions were held against; None where the examples have no labels and there is no float
            network.
        correct: sum of the scores; None where there are none. It is the number of right answers, where an answer is
            right or wrong.
        metric: name of the mean score, such as accuracy.
        accuracy: the mean score; None where there is none.
        flips: number of decisions other than the in-process ones. They lie within the tolerance, so they are near ties.
        comparison: comparison of the logits with the in-process ones, as JSON values.
        float_flips: number of decisions other than the float network's; None without a float network.
        float_accuracy: accuracy of the float network on the same examples; None without a float network or labels.
    """

    name: str
    form: str
    examples: int
    available: int
    judged_by: JudgedBy | None
    correct: int | float | None
    metric: str
    accuracy: float | None
    flips: int
    comparison: Mapping[str, Any]
    float_flips: int | None
    float_accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class ServedVerification:
    """What a running server answered. A difference has been raised as an error before.

    Args:
        url: address that was posted to.
        digest: digest of the archive, which is also in every answer.
        workers: number of workers that answered.
        forms: results for the golden inputs, by form and number of requests at once.
        pictures: number of pictures of other sizes. The server decoded each to the pixels packed with it.
        too_large: forms that were left out, because one example does not fit into a request.
        quality: decisions on other examples, one entry for each data set.
    """

    url: str
    digest: str
    workers: int
    forms: tuple[ServedForm, ...]
    pictures: int
    too_large: tuple[str, ...]
    quality: tuple[ServedQuality, ...]

    @property
    def posted(self) -> int:
        """Number of golden requests."""
        return sum(form.posted for form in self.forms)

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {"passed": True, **asdict(self)}


def verify_served(
    archive: Archive,
    url: str,
    *,
    data: Mapping[str, Split] | None = None,
    max_examples: int = MAX_EXAMPLES,
    float_model: Path | None = None,
    reporter: Reporter | None = None,
) -> ServedVerification:
    """Compare a running server's answers with an archive's; see the module.

    Args:
        archive: archive that the server is said to run.
        url: address of the server, with or without the path of predictions.
        data: examples by name, with or without labels.
        max_examples: largest number of examples posted from each data set.
        float_model: file of the float network, which is trusted. With it, the served model's decisions are also held
            against the float network's; examples without labels are judged by those alone.
        reporter: reporter that is told what happens; silent by default.

    Raises:
        ProofError: an answer, a label, a decoded picture or the digest differs.
        ServerError: the server does not answer, or refuses a request.
        DataError: the data does not fit the model.
    """
    reporter = reporter or Silent()
    serving = archive.serving
    endpoint = prediction_endpoint(url, model=serving.name)
    arrays, expected = golden_answers(archive)
    encoded = encode_requests(serving.inputs, arrays)
    bodies = _fitting_bodies(encoded, str(archive.path))
    forms: list[ServedForm] = []
    too_large = [form for form in encoded if form not in bodies]
    workers: set[int] = set()
    for form, rows in bodies.items():
        forms += [_form(archive, endpoint, form, rows, at_once, expected, workers) for at_once in (1, AT_ONCE)]
        reporter.log(f"{endpoint.url}: {len(rows)} golden inputs as {form}, alone and {AT_ONCE} at once: same answers")
    for group in size_groups(load(archive.members[serving.golden.file]), serving.inputs):
        rows = encode_requests(serving.inputs, group.inputs)[JSON]
        if max(map(len, rows)) > MAX_BODY_BYTES:
            too_large.append(f"{JSON} with {group.sizes}")
            continue
        logits = group.logits[max(group.logits) if serving.runtime.batch_invariant else 1]
        for at_once in (1, AT_ONCE):
            forms.append(_form(archive, endpoint, JSON, rows, at_once, logits, workers, sizes=group.sizes))
        reporter.log(f"{endpoint.url}: {len(rows)} golden inputs with {group.sizes}: same answers")
    pictures = _require_same_pixels(archive, endpoint)
    quality = [
        _quality(archive, endpoint, name, split, max_examples, float_model, reporter, workers)
        for name, split in (data or {}).items()
    ]
    return ServedVerification(
        url=endpoint.url,
        digest=archive.digest,
        workers=len(workers),
        forms=tuple(forms),
        pictures=pictures,
        too_large=tuple(too_large),
        quality=tuple(quality),
    )


def _form(
    archive: Archive,
    endpoint: Endpoint,
    form: str,
    rows: Sequence[bytes],
    at_once: int,
    expected: NDArray[np.float32],
    workers: set[int],
    *,
    sizes: str = "",
) -> ServedForm:
    """Post golden inputs in one form; the workers that answered are added to `workers`."""
    responses = list(_post(archive, endpoint, form, rows, at_once))
    workers.update(response.worker for response in responses)
    where = _where(form, at_once) + (f", {sizes}" if sizes else "")
    comparison = _require_same(archive, where, expected, responses)
    return ServedForm(
        form=form,
        at_once=at_once,
        sizes=sizes,
        posted=len(responses),
        max_absolute=comparison.max_absolute,
        limit=comparison.limit,
        argmax_agreement=comparison.argmax_agreement,
    )


def encode_requests(inputs: Sequence[InputSpec], arrays: Mapping[str, NDArray[Any]]) -> dict[str, list[bytes]]:
    """Return a request per example in each form: PNG, raw and JSON where the model takes pictures, else JSON only."""
    count = len(next(iter(arrays.values())))
    spec = inputs[0]
    bodies: dict[str, list[bytes]] = {}
    # A picture file is resized to the size in the specification; pixels of another size go as JSON.
    if len(inputs) == 1 and spec.decoding is not None and arrays[spec.name].shape[1:] == spec.shape:
        pictures = arrays[spec.name]
        files = [file for picture in pictures if (file := picture_file(picture, spec.decoding)) is not None]
        for row, body in enumerate(files):
            if not np.array_equal(decode_image(body, spec), pictures[row]):
                raise ProofError(f"{PNG}, example {row}: expected it to decode to the same pixels, found others")
        if files:
            bodies[PNG] = files
        if not spec.dynamic_axes:
            bodies[RAW] = [np.ascontiguousarray(picture).tobytes() for picture in pictures]
    rows = [{name: array[row : row + 1] for name, array in arrays.items()} for row in range(count)]
    bodies[JSON] = [encode_instances(inputs, row) for row in rows]
    return bodies


def _fitting_bodies(encoded: Mapping[str, list[bytes]], where: str) -> dict[str, list[bytes]]:
    """Return the forms in which each example fits into a request; there is at least one."""
    bodies = {form: rows for form, rows in encoded.items() if max(map(len, rows)) <= MAX_BODY_BYTES}
    if not bodies:
        raise ServerError(f"{where}: expected inputs that fit into a request of {MAX_BODY_BYTES} bytes")
    return bodies


def _require_same_pixels(archive: Archive, endpoint: Endpoint) -> int:
    """Post the pictures packed with the model; return how many of them fit into a request of one input."""
    serving = archive.serving
    if serving.pictures is None or len(serving.inputs) != 1:
        return 0
    posted = 0
    for spec, number, body, pixels in stored_pictures(load(archive.members[serving.pictures]), serving.inputs):
        if len(body) > MAX_BODY_BYTES:
            continue
        name = f"{PNG}, picture {number}"
        expected, decoded = (
            digest_bytes(pixels.tobytes()),
            predict_decoded(endpoint, body, PNG, name=name).get(spec.name),
        )
        if decoded != expected:
            raise ProofError(
                f"{name}: candidate {serving.candidate}: expected the server to decode it to the pixels packed with it "
                f"(SHA-256 {expected}), found others ({decoded}); it decodes with another Pillow, filter or mode"
            )
        posted += 1
    return posted


def _post(archive: Archive, endpoint: Endpoint, form: str, bodies: Sequence[bytes], at_once: int) -> Iterator[Logits]:
    """Return one answer per body."""
    names = [f"{form}, example {row}" for row in range(len(bodies))]
    runtime = archive.serving.runtime
    if at_once == 1 or runtime.batch_invariant or runtime.one_by_one:
        yield from predict_many_logits(endpoint, bodies, form, at_once=at_once, names=names)
        return
    # Where the batch shifts an answer, only copies of one example are sure to give what it gives alone.
    for body, name in zip(bodies, names, strict=True):
        copies = list(predict_many_logits(endpoint, [body] * at_once, form, at_once=at_once, names=[name] * at_once))
        differing = [copy for copy in copies if not np.array_equal(copy.values, copies[0].values)]
        yield differing[-1] if differing else copies[0]


def _require_same(
    archive: Archive, where: str, expected: NDArray[np.float32], responses: Sequence[Logits]
) -> Comparison:
    """Compare logits, labels, probabilities and digest; raise at the first difference."""
    serving = archive.serving
    shape = (1, expected.shape[1])
    position = next((row for row, response in enumerate(responses) if response.values.shape != shape), None)
    if position is not None:
        raise ProofError(
            f"{where}, example {position}: expected logits {list(shape)} of archive {archive.digest}, "
            f"found {list(responses[position].values.shape)} of {responses[position].digest}"
        )
    values = np.concatenate([response.values for response in responses])
    comparison = compare(expected, values, serving.golden.tolerance, batch_size=1)
    stranger = next((response.digest for response in responses if response.digest != archive.digest), None)
    serves_another = (
        "" if stranger is None else f"; it serves another archive: expected digest {archive.digest}, found {stranger}"
    )
    if not comparison.passed:
        row = "" if comparison.position is None else f", example {comparison.position[0]}"
        raise ProofError(
            f"{where}{row}: candidate {serving.candidate}: the server's logits differ from the in-process ones: "
            f"{comparison.reason}{serves_another}"
        )
    if stranger is not None:
        raise ProofError(
            f"{where}: expected answers of archive {archive.digest}, found {stranger}, which answers alike"
        )
    for place, response in enumerate(responses):
        [answer] = response.answers  # as many as rows of logits
        difference = ANSWERS[serving.task].difference(serving, response.values[0], answer)
        if difference:
            raise ProofError(f"{where}, example {place}: {difference}")
    return comparison


def _quality(
    archive: Archive,
    endpoint: Endpoint,
    name: str,
    split: Split,
    max_examples: int,
    float_model: Path | None,
    reporter: Reporter,
    workers: set[int],
) -> ServedQuality:
    serving = archive.serving
    task = task_named(serving.task, serving.task_settings, outputs=serving.outputs)
    check_split(name, split, serving.inputs, outputs=len(serving.labels), task=task)
    # The examples are spread over the data, so that sorted data give more than their first class.
    rows = np.unique(np.linspace(0, len(split) - 1, min(max_examples, len(split))).astype(np.int64))
    chosen = split.take(rows).judged(task)
    # It may be another form than that of the golden inputs: with free axes, these examples may have another size.
    form, bodies = next(iter(_fitting_bodies(encode_requests(serving.inputs, chosen.inputs), name).items()))
    with tempfile.TemporaryDirectory(prefix="served-") as folder:
        archive.unpack(Path(folder))
        expected = answers(Path(folder), serving.runtime, serving.inputs, chosen.inputs, [1])[1]
    # In batches a model may answer otherwise than alone; where it does, it is asked alone.
    runtime = serving.runtime
    at_once = AT_ONCE if runtime.batch_invariant or runtime.one_by_one else 1
    responses = []
    for response in _post(archive, endpoint, form, bodies, at_once):
        responses.append(response)
        workers.add(response.worker)
        reporter.progress(name, len(responses), len(bodies))
    comparison = _require_same(archive, f"{name}, {_where(form, at_once)}", expected, responses)
    outputs = np.concatenate([response.values for response in responses])
    floats = None if float_model is None else _float_outputs(float_model, serving, chosen)
    labels, activation = chosen.labels, serving.activation
    targets = labels if floats is None else chosen.targets(task, floats, activation=activation)
    total = None if targets is None else float(task.scores(outputs, targets, activation=activation).sum())
    return ServedQuality(
        name=name,
        form=form,
        examples=len(responses),
        available=len(split),
        judged_by=None if total is None else judged_by(chosen.metric(task)),
        correct=int(total) if total is not None and total.is_integer() else total,
        metric=chosen.metric(task),
        accuracy=None if total is None else total / len(responses),
        flips=int(task.disagreements(outputs, expected, activation=activation).sum()),
        comparison=comparison.to_json(),
        float_flips=None if floats is None else int(task.disagreements(outputs, floats, activation=activation).sum()),
        float_accuracy=None
        if floats is None or labels is None
        else float(task.scores(floats, labels, activation=activation).mean()),
    )


def _float_outputs(file: Path, serving: Serving, split: Split) -> NDArray[np.float32]:
    kind = next(kind for kind, facts in RUNTIMES.items() if facts.ending == file.suffix)
    runtime = RuntimeSpec(kind=kind, file=file.name, outputs=serving.outputs)
    return answers(file.parent, runtime, serving.inputs, split.inputs, [AT_ONCE])[AT_ONCE]


def _where(form: str, at_once: int) -> str:
    return f"{form}, {'alone' if at_once == 1 else f'{at_once} at once'}"
