"""Turns a specification into a row of the table: compress, export, verify, judge. Timing comes later, side by side."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import assert_never

import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pipeline._handlers.compare import in_outputs
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.model_file import run_chunks
from pipeline._handlers.sizes import pack_size_groups
from pipeline._handlers.tolerance import Tolerance
from pipeline.candidates.context import Context
from pipeline.candidates.figures import make_report
from pipeline.candidates.judged import judge_on
from pipeline.candidates.report import CandidateReport, How
from pipeline.candidates.spec import CandidateSpec
from pipeline.candidates.tune import training_inputs, tuned_weights
from pipeline.candidates.unproven import Unproven, differing, from_error
from pipeline.checks.determinism import require_determinism
from pipeline.checks.free_axes import Sized, sized_examples
from pipeline.checks.locate.first_difference import locate
from pipeline.checks.locate.layers import LayerFinding
from pipeline.checks.outputs import predict_logits, predicting
from pipeline.checks.parity import check_parity
from pipeline.checks.parity_report import ParityReport
from pipeline.checks.reference import Reference, module_reference, unoptimized_reference
from pipeline.checks.whole_split import require_lossless
from pipeline.compress.onnx_passes import Examples, apply_file_pass
from pipeline.compress.pass_effect import PassReport
from pipeline.compress.passes import apply_passes
from pipeline.data.dataset import read_split
from pipeline.data.free_axis_sizes import resized
from pipeline.engine.artifacts import digest_file
from pipeline.engine.deadline import TimeIsUpError
from pipeline.engine.kept import drop_damaged, read_kept, write_kept
from pipeline.export.onnx import export_onnx
from pipeline.export.torchscript import export_torchscript
from pipeline.formats import FORMATS
from pipeline.inspection.graph import graph_cost
from pipeline.models.spec import ModelSpec
from pipeline.models.weights import load_network
from pipeline.precision import PRECISIONS
from pipeline.recipe.passes import FilePass

_FLOAT_BATCH = 128
# Name of the weights' file in the folder of a candidate that was fine-tuned.
TUNED_FILE = "tuned.safetensors"
# Name of the report's file in a candidate's folder in the scratch folder, once the candidate is finished.
_REPORT = "report.kept"
# Name of the row's file where the build goes on without the candidate: after an interruption its row stays the same.
_UNPROVEN = "unproven.kept"
_NAME_DIGITS = 16


def float_logits(model: ModelSpec, weights: Path, data: Path) -> NDArray[np.float32]:
    """Return the float network's answers on a split, (N, K). Every lossy candidate is judged against them.

    Raises:
        ProofError: the network answers differently from call to call, or from batch to batch.
    """
    module, examples = model.deployable(load_network(model, weights)), read_split(data).inputs
    require_determinism(module, model.inputs, examples, outputs=model.compared)
    return run_chunks(module_reference(module, model.inputs).answer, examples, _FLOAT_BATCH)


def other_sizes(model: ModelSpec, weights: Path, data: Path) -> Sized:
    """Return examples of a split in other sizes, where axes are free. Candidates are compared with float on them too.

    Raises:
        ProofError: the network answers differently from call to call, or from batch to batch.
        UsageError: an axis is declared free, but the network has no answer at its other sizes.
    """
    if not any(feature.dynamic_axes for feature in model.inputs):
        return Sized()
    return sized_examples(
        model.deployable(load_network(model, weights)), model.inputs, read_split(data).inputs, outputs=model.compared
    )


def write_samples(
    path: Path, *, validation: Path, logits: NDArray[np.float32], count: int, sized: Sized | None = None
) -> None:
    """Write the first `count` validation examples, any labels, the float network's logits, and those of other sizes.

    Args:
        path: file to write.
        validation: file of the validation split.
        logits: logits of the float network, (N, K).
        count: number of the examples.
        sized: examples of other sizes; None where no axis is free.
    """
    split = read_split(validation)
    arrays = {f"input.{name}": values[:count] for name, values in split.inputs.items()}
    sized_arrays = pack_size_groups(() if sized is None else sized.groups)
    labels = {} if split.labels is None else {"labels": split.labels[:count]}
    save_file({**arrays, **labels, "logits": logits[:count], **sized_arrays}, path)


def runtime_of(spec: CandidateSpec, context: Context) -> RuntimeSpec:
    """Return how a candidate's file is run, and what comes out of it."""
    return RuntimeSpec(
        kind=FORMATS[spec.format].runtime,
        file=FORMATS[spec.format].file_name,
        optimization=spec.optimization,
        threads=spec.threads,
        outputs=context.model.outputs,
    )


def folder_of(candidate: CandidateSpec | CandidateReport, context: Context) -> Path:
    """Return the folder in the scratch folder in which a candidate is made."""
    return context.scratch / f"{candidate.name}-{candidate.identity[:_NAME_DIGITS]}"


def is_evaluated(spec: CandidateSpec, context: Context) -> bool:
    """Return whether an interrupted run left the row of a candidate, or made the candidate and its files are intact."""
    return _read_result(spec, context) is not None


def evaluate_once(
    spec: CandidateSpec, context: Context, *, float_logits: NDArray[np.float32]
) -> CandidateReport | Unproven:
    """Evaluate a candidate in its folder, unless an earlier, interrupted run did; see `evaluate`.

    Returns:
        Its report; or, where it cannot be made or proven, the row that says so.

    Raises:
        PipelineError: something is wrong that says nothing about the candidate.
    """
    result = _read_result(spec, context)
    if result is not None:
        return result
    folder = folder_of(spec, context)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        result = evaluate(spec, context, folder, float_logits=float_logits)
    except TimeIsUpError:
        raise
    except Exception as error:  # noqa: BLE001 - exporters and quantizers raise all kinds
        return from_error(spec, error, folder, has_file=(folder / FORMATS[spec.format].file_name).exists())
    if isinstance(result, CandidateReport):
        write_kept(folder / _REPORT, result.model_dump_json().encode())
    return result


def keep_row(spec: CandidateSpec, context: Context, row: Unproven) -> None:
    """Keep the row of a candidate that cannot be selected, for a run that goes on after an interruption.

    Args:
        spec: the candidate that was to be made.
        context: what it was to be made from.
        row: the candidate's row.
    """
    folder = folder_of(spec, context)
    folder.mkdir(exist_ok=True)
    write_kept(folder / _UNPROVEN, row.model_dump_json().encode())


def _read_result(spec: CandidateSpec, context: Context) -> CandidateReport | Unproven | None:
    """Return the row or report that an interrupted run left; None without one, or if files have changed since."""
    folder = folder_of(spec, context)
    row = read_kept(folder / _UNPROVEN, context.reporter.log)
    if row is not None:
        return Unproven.model_validate_json(row)
    content = read_kept(folder / _REPORT, context.reporter.log)
    if content is None:
        return None
    report = CandidateReport.model_validate_json(content)
    files = {report.runtime.file: report.sha256}
    if report.tuned_sha256 is not None:
        files[TUNED_FILE] = report.tuned_sha256
    for name, digest in files.items():
        path = folder / name
        if not path.is_file() or digest_file(path) != digest:
            drop_damaged(path, context.reporter.log)
            (folder / _REPORT).unlink()
            return None
    return report


def evaluate(
    spec: CandidateSpec, context: Context, folder: Path, *, float_logits: NDArray[np.float32]
) -> CandidateReport | Unproven:
    """Make a candidate's file in its folder, prove it, and judge it.

    Args:
        spec: the candidate to make.
        context: what it is made from and checked against.
        folder: the candidate's own folder. Its model file is written there, and its tuned weights if it has any.
        float_logits: logits of the float network on the validation split, (N, K).

    Returns:
        The report, not timed yet; or the row of a file that does not reproduce its source, or that cannot be run.

    Raises:
        ProofError: the file cannot be judged, or was not exported as it is.
        UsageError: a pass or an export cannot be done on this network.
    """
    file = folder / FORMATS[spec.format].file_name
    tuned = tuned_weights(spec.passes, context, name=spec.variant)
    if tuned is not None:
        shutil.copyfile(tuned, folder / TUNED_FILE)
    passes, how, reference = make_file(spec, context, file, tuned=tuned)
    likely = _served(spec, context, batch_invariant=not PRECISIONS[spec.precision].scales_per_call)
    # The file answers the split while it is checked, and once more where the check finds that it is served otherwise.
    inputs, data = context.model.inputs, context.validation
    with predicting(file=file, runtime=likely, inputs=inputs, data=data, scratch=context.scratch) as answers:
        parity, finding = hold_against(reference, spec, context, file)
        if not parity.passed:
            return differing(spec, parity, finding)
        runtime = _served(spec, context, batch_invariant=parity.batch_invariant)
        logits = answers() if runtime == likely else None
    if logits is None:
        logits = predict_logits(file=file, runtime=runtime, inputs=inputs, data=data, scratch=context.scratch)
    if not spec.lossy:
        require_lossless(spec.name, float_logits, logits, parity.tolerance, context.task, context.model.outputs_are)
    quality = judge_on(
        read_split(context.validation),
        context.task,
        candidate=spec.name,
        outputs=logits,
        float_outputs=float_logits,
        names=context.model.labels,
        activation=context.model.outputs_are,
    )
    return make_report(
        spec,
        how=how,
        passes=passes,
        tuned_sha256=None if tuned is None else digest_file(tuned),
        file=file,
        runtime=runtime,
        parity=parity,
        quality=quality,
    )


def _served(spec: CandidateSpec, context: Context, *, batch_invariant: bool) -> RuntimeSpec:
    """Return how a candidate's file is served, which depends on whether its answers depend on the batch."""
    return replace(
        runtime_of(spec, context),
        batch_invariant=batch_invariant,
        allow_batch_variant=spec.allow_batch_variant and not batch_invariant,
    )


def hold_against(
    reference: Reference, spec: CandidateSpec, context: Context, file: Path
) -> tuple[ParityReport, LayerFinding]:
    """Check a candidate's file against what it must reproduce.

    Args:
        reference: what it must reproduce.
        spec: what the candidate is.
        context: what it was made from.
        file: its model file.

    Returns:
        The parity report, and the layer at fault where it failed.
    """
    runtime = runtime_of(spec, context)
    parity = check_parity(
        candidate=spec.name,
        file=file,
        runtime=runtime,
        reference=reference,
        inputs=context.model.inputs,
        samples=context.samples,
        tolerance=_tolerance(spec, context),
        batch_sizes=context.batch_sizes,
        skip_evaluator=_too_large(file, context.evaluator_macs),
        macs=context.macs,
        scratch=context.scratch,
    )
    finding = locate(
        parity,
        file=file,
        runtime=runtime,
        reference=reference,
        inputs=context.model.inputs,
        samples=context.samples,
    )
    return parity, finding


def make_file(
    spec: CandidateSpec, context: Context, file: Path, *, tuned: Path | None
) -> tuple[list[PassReport], How, Reference]:
    """Write the candidate's file; say what its passes did, how it was made, and what it must reproduce."""
    precision = PRECISIONS[spec.precision]
    example, traced, inputs = context.example(), context.traced_example(), context.model.inputs
    module_passes = spec.passes if spec.file_pass is None else spec.float_passes
    module, passes = apply_passes(context.deployable(), module_passes, example=example, weights=tuned)
    match spec.format:
        case "torchscript":
            fold = precision.optimization == "all"
            exported = export_torchscript(module, file, example=traced, fold=fold, tolerance=_tolerance(spec, context))
            return passes, exported.method, module_reference(module, inputs, exact=precision.is_float32)
        case "onnx":
            outputs = context.model.outputs
            export = partial(export_onnx, module, inputs=inputs, outputs=outputs, example=traced, opset=context.opset)
            if spec.file_pass is None:
                export(file)
                return passes, "export", module_reference(module, inputs, exact=precision.is_float32)
            exported_here = file.with_name("float.onnx")
            source = _proven_in_float(spec, context, tuned=tuned)
            if source is None:
                export(exported_here)
            passes = [*passes, quantize_file(spec.file_pass, source or exported_here, file, context)]
            exported_here.unlink(missing_ok=True)
            return passes, "quantize", unoptimized_reference(file, inputs, outputs)
        case unreachable:
            assert_never(unreachable)


def _proven_in_float(spec: CandidateSpec, context: Context, *, tuned: Path | None) -> Path | None:
    """Return the proven file of the candidate that is the same in float; None where there is none."""
    twin = replace(spec, passes=spec.float_passes, precision="fp32", optimization=PRECISIONS["fp32"].optimization)
    report = _read_result(twin, context)
    digest = None if tuned is None else digest_file(tuned)
    if not isinstance(report, CandidateReport) or report.tuned_sha256 != digest:
        return None
    return folder_of(twin, context) / report.runtime.file


def quantize_file(
    step: FilePass, source: Path, destination: Path, context: Context, *, keep: tuple[str, ...] = ()
) -> PassReport:
    """Quantize an exported float file.

    Args:
        step: the pass that does it.
        source: the ONNX file, left as it is.
        destination: path of the quantized file.
        context: its training examples are those that activations are measured on.
        keep: names of modules whose layers stay in float, besides those that the pass names.

    Raises:
        UsageError: the file holds no layer that it could act on.
    """

    def calibration(count: int) -> list[Examples]:
        examples = training_inputs(context, count)
        return [examples, *(resized(examples, context.model.inputs, sizes) for sizes in context.other_sizes())]

    return apply_file_pass(step, source, destination, calibration=calibration, keep=keep)


def _tolerance(spec: CandidateSpec, context: Context) -> Tolerance:
    """Return how far a file may be from its source. The limit is fitted to the network's answers later."""
    tolerance = replace(PRECISIONS[spec.precision].tolerance, same_decision=context.task.decides_by_largest)
    return in_outputs(tolerance, context.model.compared)


def _too_large(file: Path, limit: int) -> str:
    """Say why an ONNX file is too large for the reference evaluator; empty if it is not, and for another format."""
    if file.suffix != ".onnx":
        return ""
    macs = graph_cost(onnx.load(file)).macs
    if macs is None:
        return "its multiply-accumulates do not follow from the file"
    return f"{macs:,} multiply-accumulates an example, limit {limit:,}" if macs > limit else ""
