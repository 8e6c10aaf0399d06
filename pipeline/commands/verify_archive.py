"""Checks an archive offline: its bytes, who vouches for them, its golden answers, and its quality on given data.

Neither the training code nor a run directory is needed. Nothing is loaded before every byte was checked, and what is
loaded is the checked copy. The code that runs is this installation's; the archive's own handler is compared with it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.archive.description import require_activation, require_description, require_model, require_task
from pipeline.archive.evidence.document import Evidence, SplitEvidence, read_evidence
from pipeline.archive.mar import Archive
from pipeline.archive.members import same_handler
from pipeline.candidates.spec import FLOAT_NAMES
from pipeline.checks.golden import GoldenReport, replay_golden
from pipeline.checks.outputs import predict_logits
from pipeline.commands.vouched import open_vouched
from pipeline.data.dataset import SPLITS, Split, read_info, read_split
from pipeline.data.input_checks import check_split
from pipeline.engine.artifacts import digest_file
from pipeline.engine.stage import Reporter, Silent
from pipeline.errors import FileError, ProofError, UsageError
from pipeline.formats import FORMATS
from pipeline.model_code.require import require_safe_file, require_safe_model
from pipeline.recipe.task import of_the_build
from pipeline.serving.check import ServedVerification, verify_served
from pipeline.tasks.quality import JudgedBy, judged_by
from pipeline.tasks.table import task_named

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline._handlers.description import RuntimeSpec

# Name of the file beside the splits, as the data stage writes it.
_DATA_INFO = "data.json"
# The same file on the same examples answers with the same labels; on another CPU kind sums are rounded otherwise, and
# an example whose top two logits are within that rounding may change sides. One in a thousand is far above what was
# seen (none of 10,000 in float), and far below what a change of the model that a person could have meant does.
_ALLOWED_CHANGE = 0.001
_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class SplitQuality:
    """Decisions on examples, made again.

    Args:
        name: name of the file.
        split: name of the build's own split with this digest; None for other data.
        examples: number of examples.
        judged_by: what the decisions were held against.
        metric: name of the mean score, such as accuracy.
        accuracy: the mean score: for classification the share of right answers.
        lower: lower end of the 95 % interval of the accuracy (Wilson's score interval).
        upper: upper end of that interval.
        recorded: accuracy that `evidence.json` states for this split; None where it states none.
        recorded_drop: drop against float that it states; None where it states none.
        recorded_drop_upper: one-sided upper bound of that drop, for this candidate alone; None where it states none.
        gaps: classes of which the file holds nothing or too little, in words; the accuracy says nothing of them.
    """

    name: str
    split: str | None
    judged_by: JudgedBy
    metric: str
    examples: int
    accuracy: float
    lower: float
    upper: float
    recorded: float | None
    recorded_drop: float | None
    recorded_drop_upper: float | None
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ArchiveVerification:
    """What was proven of an archive. A failure has been raised as an error before.

    Args:
        archive: path of the archive.
        model: name and version of the model in it.
        candidate: name of the candidate that was packed.
        digest: SHA-256 of its `serving.json`: the archive's identity, also in every answer of a server.
        sha256: SHA-256 of the whole file.
        members: number of members, each listed with its digest.
        evidence: whether it holds `evidence.json`.
        pinned: whether a digest was given, and was its own.
        signature: `valid` where a public key was given and fits; `none` where no signature lies beside it.
        same_handler: whether its handler is this installation's, byte for byte. If not, what was replayed is its model
            under this installation's handler.
        golden: report on the golden batch, replayed in a new process.
        quality: decisions on examples, one entry for each file of data that can be judged.
        unjudged: names of the files without labels, where no float network was given to hold decisions against.
        served: what a running server answered; None if none was named.
    """

    archive: Path
    model: str
    candidate: str
    digest: str
    sha256: str
    members: int
    evidence: bool
    pinned: bool
    signature: Literal["valid", "none"]
    same_handler: bool
    golden: GoldenReport
    quality: tuple[SplitQuality, ...]
    unjudged: tuple[str, ...] = ()
    served: ServedVerification | None = None

    @property
    def vouched(self) -> bool:
        """Whether someone other than the file itself says that it is the right one."""
        return self.pinned or self.signature == "valid"

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            **asdict(self),
            "archive": str(self.archive),
            "golden": self.golden.to_json(),
            "served": None if self.served is None else self.served.to_json(),
            "vouched": self.vouched,
        }


def verify_archive(
    path: Path | str,
    *,
    digest: str | None = None,
    public_key: Path | None = None,
    require_signature: bool = False,
    data: Path | None = None,
    url: str | None = None,
    float_model: Path | None = None,
    allowed_operators: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> ArchiveVerification:
    """Check an archive; see the module.

    Args:
        path: a `.mar` made by `pipeline build`.
        digest: expected digest: SHA-256 of its `serving.json` (the digest that builds and servers name) or of the file.
        public_key: key to check `<archive>.sig` with.
        require_signature: whether a missing signature is a fault.
        data: examples to judge it on: a split as a build writes it (`data/test.safetensors`), or a folder of
            them. In a run directory's data folder these are validation and test, and its `data.json` is held against
            the archive's description.
        url: address of a running server. Its answers to golden inputs and `data` are compared with the archive's own.
        float_model: the build's file of the float network, `float.onnx.fp32` where there is one. It is known by its
            digest in the evidence. The decisions of the served model on `data` are compared with its own too; data
            without labels are judged by those alone.
        allowed_operators: operators that model files may call beside those that only compute; see
            `pipeline.model_code`.
        reporter: reporter that is told what happens; silent by default.

    Raises:
        FileError: a byte was altered, digest or signature is not the expected one, or the model could do more than
            compute; nothing was loaded then.
        ProofError: its description is not that of its evidence or of the data, pictures or golden answers differ, the
            quality is not the recorded one, or the server answers otherwise.
        ServerError: the server does not answer.
        UsageError: what was asked for cannot be.
        DataError: there is no such data, or it does not fit the model.
    """
    path, reporter = Path(path), reporter or Silent()
    files = _data_files(data)
    vouched = open_vouched(path, digest=digest, public_key=public_key, require_signature=require_signature)
    archive = vouched.archive
    _require_use(files, archive, url=url, float_model=float_model)
    evidence = None if archive.evidence is None else read_evidence(str(path), archive.evidence)
    with tempfile.TemporaryDirectory(prefix="verify-") as name:
        scratch = Path(name)
        reporter.log(f"{path.name}: {len(archive.members)} members, canonical bytes, every digest right")
        _require_own_description(archive, evidence, data)
        require_safe_model(path, archive.serving.runtime, archive.members, allowed_operators=allowed_operators)
        float_copy = None
        if float_model is not None:
            float_copy = _copy_float(path, evidence, float_model, scratch, allowed_operators)
        unpacked = scratch / "unpacked"
        archive.unpack(unpacked)
        golden = replay_golden(unpacked, archive.digest)
        _require_golden(archive, golden)
        reporter.log(f"{path.name}: pictures and golden answers agree")
        judged = {file.name: _quality(archive, evidence, file, unpacked, scratch, float_copy) for file in files}
        served = None
        if url is not None:
            served = verify_served(
                archive,
                url,
                data={file.name: read_split(file) for file in files},
                float_model=float_copy,
                reporter=reporter,
            )
    serving = archive.serving
    return ArchiveVerification(
        archive=path,
        model=f"{serving.name} {serving.version}",
        candidate=serving.candidate,
        digest=archive.digest,
        sha256=archive.sha256,
        members=len(archive.members),
        evidence=evidence is not None,
        pinned=vouched.pinned,
        signature=vouched.signature,
        same_handler=same_handler(archive.members),
        golden=golden,
        quality=tuple(quality for quality in judged.values() if quality is not None),
        unjudged=tuple(name for name, quality in judged.items() if quality is None),
        served=served,
    )


def _require_own_description(archive: Archive, evidence: Evidence | None, data: Path | None) -> None:
    """Check that what the description says was packed is what was judged, on data of that kind."""
    if evidence is not None:
        source = "evidence.json"
        require_description(archive, inputs=evidence.inputs, labels=evidence.labels, source=source)
        require_activation(archive, activation=evidence.activation, source=source)
        packed = archive.serving.task_settings
        ours = of_the_build(task_named(archive.serving.task, packed, outputs=archive.serving.outputs).settings)
        settings = {**packed, **{name: value for name, value in evidence.task_settings.items() if name not in ours}}
        require_task(archive, task=evidence.task, settings=settings, source=source)
        require_model(archive, candidate=evidence.candidate, sha256=evidence.packed.sha256, source=source)
    if data is not None and (data / _DATA_INFO).is_file():
        info = read_info(data / _DATA_INFO)
        described = [spec.to_json() for spec in info.inputs]
        # What a network's own outputs are called, no data set says.
        labels = archive.serving.labels if archive.serving.outputs else info.classes
        require_description(archive, inputs=described, labels=labels, source=str(data / _DATA_INFO))


def _require_golden(archive: Archive, golden: GoldenReport) -> None:
    where = f"{archive.path}: candidate {archive.serving.candidate}"
    if golden.error:
        raise ProofError(f"{where}: the golden batch cannot be replayed: {golden.error}")
    if golden.pictures:
        raise ProofError(f"{where}: {golden.pictures}; {golden.environment}")
    for check in golden.checks:
        if not check.passed:
            raise ProofError(
                f"{where}: golden answers differ at batch size {check.batch_size}"
                f"{', ' * bool(check.sizes)}{check.sizes}: {check.reason}; {golden.environment}"
            )
    if not golden.checks:
        raise ProofError(f"{where}: expected golden answers, found none")


def _copy_float(
    path: Path, evidence: Evidence | None, file: Path, scratch: Path, allowed_operators: Sequence[str]
) -> Path:
    """Copy the float network's file; it must be the one that the evidence speaks of, and only compute."""
    rows = {row.name: row for row in evidence.candidates} if evidence else {}
    name = next((candidate for candidate in FLOAT_NAMES if candidate in rows), None)
    if name is None:
        raise FileError(f"{path}: --float-model: expected a digest of {FLOAT_NAMES[0]} in evidence.json, found none")
    form = FORMATS[rows[name].format]
    copy = scratch / form.file_name
    copy.write_bytes(file.read_bytes())
    if (digest := digest_file(copy)) != rows[name].sha256:
        raise FileError(f"{file}: expected {name} of the build, SHA-256 {rows[name].sha256}, found {digest}")
    require_safe_file(str(file), form.runtime, copy.read_bytes(), allowed_operators=allowed_operators)
    return copy


def _data_files(data: Path | None) -> tuple[Path, ...]:
    """Return the splits to judge on; from a run directory's data folder, the split that was trained on is left out."""
    if data is None:
        return ()
    if not data.is_dir():
        if not data.is_file():
            raise FileError(f"{data}: expected a split (.safetensors) or a folder of them, found none")
        return (data,)
    splits = sorted(data.glob("*.safetensors"))
    held_out = [path for path in splits if path.stem != SPLITS[0]]
    if not held_out:
        raise FileError(f"{data}: expected a split such as test.safetensors, found {len(splits)} .safetensors files")
    return tuple(held_out)


def _require_use(files: Sequence[Path], archive: Archive, *, url: str | None, float_model: Path | None) -> None:
    """Check that the float network is given where it is needed, and has a use where it is given."""
    task = task_named(archive.serving.task, archive.serving.task_settings, outputs=archive.serving.outputs)
    unlabelled = [file for file in files if read_split(file).judged(task).labels is None]
    if float_model is not None and not unlabelled and (url is None or not files):
        raise UsageError("--float-model: expected --url and --data as well, to post and compare; give them")
    if float_model is None and unlabelled and url is None:
        raise UsageError(
            f"{unlabelled[0]}: expected labels to judge answers by, found none; without them they are judged by "
            f"agreement with the float network: give the build's {FLOAT_NAMES[0]} as --float-model"
        )


def _quality(
    archive: Archive, evidence: Evidence | None, file: Path, unpacked: Path, scratch: Path, float_copy: Path | None
) -> SplitQuality | None:
    """Judge the model on a split; None where it has neither labels nor a float network to be held against."""
    from pipeline._handlers.description import RuntimeSpec
    from pipeline._handlers.runtimes import RUNTIMES

    serving = archive.serving
    task = task_named(serving.task, serving.task_settings, outputs=serving.outputs)
    split = read_split(file)
    check_split(str(file), split, serving.inputs, outputs=len(serving.labels), task=task)
    model = unpacked / serving.runtime.file
    # The unpacked copy is ours; it is checked again all the same, because it is loaded next.
    if digest_file(model) != serving.files[serving.runtime.file]:
        raise FileError(f"{model}: expected the member as it was checked, found it altered")
    targets = split.judged(task).labels
    if targets is None and float_copy is not None:
        kind = next(kind for kind, facts in RUNTIMES.items() if facts.ending == float_copy.suffix)
        runtime = RuntimeSpec(kind=kind, file=float_copy.name, outputs=serving.outputs)
        float_outputs = _answers(archive, float_copy, runtime, split, file, scratch)
        targets = split.targets(task, float_outputs, activation=serving.activation)
    if targets is None:
        return None
    outputs = _answers(archive, model, serving.runtime, split, file, scratch)
    scores = task.scores(outputs, targets, activation=serving.activation)
    right, examples = float(scores.sum()), len(split)
    lower, upper = task.interval(scores)
    which = _which_split(evidence, split.digest())
    recorded = _recorded(evidence, which)
    if recorded is not None and recorded.metric == split.metric(task):
        before = recorded.accuracy * examples
        allowed = max(1, round(_ALLOWED_CHANGE * examples))
        # The recorded share, times the examples, is rounded as any product is.
        if abs(right - before) > allowed + _ROUNDING:
            raise ProofError(
                f"{archive.path}: candidate {serving.candidate}: {which} split: expected {before:.10g} of {examples} "
                f"{'decided as by float' if split.labels is None else 'right'} within {allowed}, as evidence.json "
                f"records, found {right:.10g}; {file.name} is the very split"
            )
    return SplitQuality(
        name=file.name,
        split=which,
        judged_by=judged_by(split.metric(task)),
        metric=split.metric(task),
        examples=examples,
        accuracy=right / examples,
        lower=lower,
        upper=upper,
        recorded=None if recorded is None else recorded.accuracy,
        recorded_drop=None if recorded is None else recorded.drop,
        recorded_drop_upper=None if recorded is None else recorded.drop_upper,
        gaps=task.coverage(task.counts(targets, outputs=len(serving.labels)), serving.labels).lines(
            file.name, by_float=split.labels is None
        ),
    )


def _answers(
    archive: Archive, model: Path, runtime: RuntimeSpec, split: Split, file: Path, scratch: Path
) -> NDArray[np.float32]:
    import numpy as np

    serving = archive.serving
    logits = predict_logits(file=model, runtime=runtime, inputs=serving.inputs, data=file, scratch=scratch)
    if logits.shape != (len(split), serving.columns) or not np.isfinite(logits).all():
        raise ProofError(
            f"{archive.path}: {file.name}: expected finite logits {(len(split), serving.columns)}, "
            f"found {logits.shape} with NaN or infinity"
        )
    return logits


def _which_split(evidence: Evidence | None, digest: str) -> str | None:
    if evidence is None:
        return None
    return next((name for name, recorded in evidence.data.digests.items() if recorded == digest), None)


def _recorded(evidence: Evidence | None, which: str | None) -> SplitEvidence | None:
    match which:
        case "validation" if evidence is not None:
            return evidence.metrics.validation
        case "test" if evidence is not None:
            return evidence.metrics.test
        case _:
            return None
