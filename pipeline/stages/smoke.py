"""Look through a running server: post validation examples, compare with the in-process answers, stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from pipeline.artifacts import Kind
from pipeline.errors import ProofError
from pipeline.recipe import Recipe
from pipeline.stage import Inputs, Outputs, Stage

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.serving.archive import Archive


class SmokeSettings(BaseModel):
    """What the check through the server depends on."""

    model_config = ConfigDict(frozen=True)

    pictures: int
    timeout_s: float = Field(exclude=True)  # a longer wait gives the same answers


def settings(recipe: Recipe) -> SmokeSettings:
    """This stage's view of a recipe."""
    return SmokeSettings(pictures=recipe.smoke.pictures, timeout_s=recipe.smoke.timeout_s)


def run(settings: SmokeSettings, inputs: Inputs, outputs: Outputs) -> None:
    """Write `smoke.json`: what was posted, and how far the server's answers are from the in-process ones.

    Raises:
        ProofError: an answer differs.
        ServerError: the server did not start, answer or stop.
    """
    import json
    import tempfile
    from pathlib import Path

    import numpy as np

    from handlers.compare import compare
    from pipeline.data.dataset import read_split
    from pipeline.serving.archive import read_archive
    from pipeline.serving.client import predict_logits
    from pipeline.serving.golden import answers
    from pipeline.serving.torchserve import running_server

    archive = read_archive(inputs.one(Kind.ARCHIVE))
    serving = archive.serving
    split = read_split(inputs.one(Kind.VALIDATION_DATA)).take(slice(0, settings.pictures))
    bodies, content_type = _requests(archive, split.inputs)
    with tempfile.TemporaryDirectory(prefix="smoke-") as folder:
        archive.unpack(Path(folder))
        expected = answers(Path(folder), serving.runtime, serving.inputs, split.inputs, [1])[1]
    found = np.empty_like(expected)
    labels: list[str] = []
    with running_server(archive.path, timeout_s=settings.timeout_s) as server:
        url = f"{server.url}/predictions/{serving.name}"
        outputs.reporter.log(f"{url} is ready, posting {len(bodies)} examples as {content_type}")
        for row, body in enumerate(bodies):
            answer = predict_logits(url, body, content_type)
            if answer.digest != archive.digest or answer.values.shape != (1, len(serving.labels)):
                raise ProofError(
                    f"smoke: example {row}: expected one answer of archive {archive.digest}, "
                    f"found {len(answer.values)} of {answer.digest}"
                )
            found[row] = answer.values[0]
            labels += answer.labels
            outputs.reporter.progress("smoke", row + 1, len(bodies))
    comparison = compare(expected, found, serving.golden.tolerance)
    if not comparison.passed:
        raise ProofError(
            f"smoke: candidate {serving.candidate}: the server's logits differ from the in-process ones: "
            f"{comparison.reason}; run `pipeline verify` on the archive"
        )
    for row, label in enumerate(labels):
        if label != serving.labels[int(found[row].argmax())]:
            raise ProofError(
                f"smoke: example {row}: expected label {serving.labels[int(found[row].argmax())]}, found {label}"
            )
    report = {
        "model": serving.name,
        "candidate": serving.candidate,
        "digest": archive.digest,
        "posted": len(bodies),
        "content_type": content_type,
        "correct": int((found.argmax(axis=1) == split.labels).sum()),
        "comparison": comparison.to_json(),
    }
    path = outputs.path(Kind.SMOKE_REPORT, "smoke.json")
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _requests(archive: Archive, arrays: dict[str, NDArray[Any]]) -> tuple[list[bytes], str]:
    """One request per example: PNG files where the model takes pictures, JSON otherwise."""
    import numpy as np

    from handlers.decode import decode_image
    from pipeline.serving.client import encode_instances, encode_png

    inputs = archive.serving.inputs
    count = len(next(iter(arrays.values())))
    if len(inputs) > 1 or inputs[0].decoding is None:
        rows = [{name: array[row : row + 1] for name, array in arrays.items()} for row in range(count)]
        return [encode_instances(inputs, row) for row in rows], "application/json"
    spec = inputs[0]
    bodies = [encode_png(picture) for picture in arrays[spec.name]]
    for row, body in enumerate(bodies):
        if not np.array_equal(decode_image(body, spec), arrays[spec.name][row]):
            raise ProofError(f"smoke: example {row}: expected its PNG file to decode to the same pixels, found others")
    return bodies, "image/png"


STAGE = Stage(
    name="smoke",
    reads=(Kind.ARCHIVE, Kind.VALIDATION_DATA),
    writes=(Kind.SMOKE_REPORT,),
    settings=settings,
    run=run,
)
