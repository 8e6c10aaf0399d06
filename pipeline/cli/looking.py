"""Commands that look and change nothing of what was made: inspect, diff, capture, doctor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.answer import say
from pipeline.cli.app import Json, Overrides, RecipeArgument, RunDir, app, print_json
from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.commands.inspect import Inspection
    from pipeline.inspection.onnx_model import OnnxInspection, TensorSpec
    from pipeline.inspection.torchscript_archive import TorchScriptInspection


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="an .onnx, .pt or .mar file")],
    as_json: Json = False,
) -> None:
    """Say what is in a model file: operators, shapes, parameters, MACs; nothing in it is run."""
    from pipeline.commands.inspect import inspect as look

    inspection = look(file)
    if as_json:
        print_json(inspection.to_json())
    else:
        say(*_lines(inspection))


@app.command()
def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="an .onnx, .pt or .mar file")],
    after: Annotated[Path, typer.Argument(metavar="B", help="another one")],
    samples: Annotated[
        Path | None, typer.Option("--samples", metavar="FILE", help="inputs to run both on, as a build's samples")
    ] = None,
    no_run: Annotated[bool, typer.Option("--no-run", help="compare what the files hold, and run neither")] = False,
    every: Annotated[bool, typer.Option("--all", help="show every layer, not only those that differ")] = False,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="also save it as one page")] = None,
    as_json: Json = False,
) -> None:
    """Say how two model files differ, layer by layer: width, number format, time, outputs."""
    from pipeline.cli.render.plain_console import show
    from pipeline.commands.diff import diff as compare_files
    from pipeline.commands.diff import save_page

    comparison = compare_files(before, after, samples=samples, run=not no_run)
    if html is not None:
        save_page(comparison, html, others={"A": before, "B": after})
    if as_json:
        print_json(comparison.to_json())
        return
    from pipeline.cli.render.graph_table import draw_comparison

    show(lambda console: draw_comparison(console, comparison, every=every))


@app.command()
def capture(
    recipe: RecipeArgument = "fashion-cnn",
    *,
    modules: Annotated[list[str], typer.Option("--module", metavar="NAME", help="of the network; may be given again")],
    file: Annotated[Path, typer.Option("--input", metavar="FILE", help="a picture, a folder of them, a table, arrays")],
    examples: Annotated[int, typer.Option("--examples", min=1, help="how many of the input's first examples")] = 1,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help=".npz or .safetensors; pictures lie beside it")] = (
        Path("capture.npz")
    ),
    run_dir: RunDir = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Write what modules inside the trained network give for an input, as arrays and as pictures."""
    from pipeline.commands.capture import capture as record

    result = record(
        recipe, modules=modules, file=file, examples=examples, out=out, run_dir=run_dir, overrides=overrides or ()
    )
    if as_json:
        print_json(result.to_json())
    else:
        say(*(f"{name}: {' x '.join(map(str, shape))}" for name, shape in result.shapes.items()))
        say(result.file, *result.pictures)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check that a build and a serve would work here, and say how to mend what would not."""
    from pipeline.commands.doctor import doctor as diagnose

    diagnosis = diagnose()
    if as_json:
        print_json(diagnosis.to_json())
    else:
        for check in diagnosis.checks:
            word = "ok" if check.ok else "BAD" if check.required else "note"
            remedy = f"; {check.remedy}" if check.remedy else ""
            say(f"{word:<4} {check.name}: {check.found}{remedy}")
    if not diagnosis.healthy:
        raise typer.Exit(PipelineError.exit_code)


def _lines(inspection: Inspection) -> list[str]:
    """Return the lines that a person reads of an inspection."""
    lines = [f"{inspection.file}: {inspection.format}, {inspection.size:,} bytes, SHA-256 {inspection.sha256}"]
    match inspection.format:
        case "onnx":
            return lines + _onnx(inspection)
        case "torchscript":
            return lines + _torchscript(inspection)
        case "mar":
            lines += [f"  {member.size:>10,}  {member.name}" for member in inspection.members]
            if inspection.serving is not None:
                lines.append(_served(inspection.serving))
            if inspection.judged_by not in (None, "targets"):
                lines.append(f"the data had no labels: quality was judged by {inspection.judged_by}")
            if inspection.model is not None:
                lines += _lines(inspection.model)
            return lines


def _served(serving: Mapping[str, Any]) -> str:
    """Say what an archive says that it serves; nothing of it was checked."""
    try:
        model, candidate = serving["model"], serving["candidate"]
        outputs = "values" if serving["task"] == "regression" else "labels"
        return (
            f"model {model['name']} {model['version']}, candidate {candidate['name']}, {len(serving['labels'])} "
            f"{outputs}"
        )
    except (KeyError, TypeError):
        return "serving.json: expected model, candidate and labels, found another description"


def _onnx(inspection: OnnxInspection) -> list[str]:
    macs = "unknown" if inspection.macs is None else f"{inspection.macs:,}"
    opset = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in inspection.opset.items())
    return [
        *(f"input   {_tensor(tensor)}" for tensor in inspection.inputs),
        *(f"output  {_tensor(tensor)}" for tensor in inspection.outputs),
        f"opset {opset}; made by {inspection.producer}",
        f"{inspection.parameters:,} parameters, {macs} multiply-accumulates for one example",
        "operators: " + ", ".join(f"{name} {count}" for name, count in inspection.operators.items()),
        *_refusals(inspection.refused),
        *(f"  {layer.operator:<20} {layer.parameters:>12,} parameters  {layer.name}" for layer in inspection.layers),
    ]


def _torchscript(inspection: TorchScriptInspection) -> list[str]:
    return [
        "frozen" if inspection.frozen else "not frozen",
        *(f"{group.storage}: {group.elements:,} values in {group.tensors} tensors" for group in inspection.tensors),
        "operators: " + ", ".join(f"{name} {count}" for name, count in inspection.operators.items()),
        *_refusals(inspection.refused),
    ]


def _refusals(refused: dict[str, str]) -> list[str]:
    return [f"refused by verify, bench and serve: {name}: {reason}" for name, reason in refused.items()]


def _tensor(tensor: TensorSpec) -> str:
    shape = "unknown shape" if tensor.shape is None else f"({', '.join(str(size) for size in tensor.shape)})"
    return f"{tensor.name}: {tensor.dtype} {shape}"
