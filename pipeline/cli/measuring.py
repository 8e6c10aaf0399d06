"""Commands that measure: bench, profile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.answer import say
from pipeline.cli.app import (
    AllowOperator,
    Digest,
    Json,
    Overrides,
    PublicKey,
    RecipeArgument,
    RequireSignature,
    RunDir,
    app,
    print_json,
)

# Torch's profiler writes lines of its own to standard error unless told not to before torch is loaded.
_QUIET = {"KINETO_LOG_LEVEL": "99", "TORCH_CPP_LOG_LEVEL": "ERROR"}


@app.command()
def bench(
    target: Annotated[
        Path, typer.Argument(metavar="RUN_DIR|ARCHIVE", help="the run directory of a build, or the .mar that it made")
    ],
    *,
    threads: Annotated[
        list[int] | None,
        typer.Option("--threads", min=1, help="of a runtime; may be given again [default: 1 and all cores]"),
    ] = None,
    batch_size: Annotated[
        list[int] | None,
        typer.Option("--batch-size", min=1, help="examples per call; may be given again [default: 1, 8, 32, 128]"),
    ] = None,
    # Below 6 the bootstrap interval over rounds misses far more often than it says.
    rounds: Annotated[int, typer.Option("--rounds", min=6, help="interleaved rounds")] = 12,
    block_ms: Annotated[
        float, typer.Option("--block-ms", min=5, help="length of one timed block, milliseconds")
    ] = 60.0,
    served: Annotated[
        bool, typer.Option("--served/--no-served", help="also over HTTP, through a server of its own")
    ] = True,
    digest: Digest = None,
    public_key: PublicKey = None,
    require_signature: RequireSignature = False,
    allow_operator: AllowOperator = None,
    as_json: Json = False,
) -> None:
    """Time again, on the host where it will run: interleaved, pinned, against eager, float and the machine's own rate.

    Of a run directory, the figures are also kept there, as bench.json.
    """
    from pipeline.cli.render import bench_table
    from pipeline.cli.render.plain_console import show
    from pipeline.cli.render.terminal import Terminal
    from pipeline.commands.bench import run

    with Terminal() as terminal:
        result = run.bench(
            target,
            threads=threads or (),
            batch_sizes=batch_size or run.BATCH_SIZES,
            rounds=rounds,
            block_ms=block_ms,
            served=served,
            digest=digest,
            public_key=public_key,
            require_signature=require_signature,
            allowed_operators=allow_operator or (),
            reporter=terminal,
        )
    if as_json:
        print_json(result.to_json())
    else:
        show(lambda drawn: bench_table.draw(drawn, result))


@app.command()
def profile(
    recipe: RecipeArgument = "fashion-cnn",
    *,
    inference: Annotated[bool, typer.Option("--inference", help="forward passes of the float network")] = False,
    batch_size: Annotated[
        list[int] | None,
        typer.Option("--batch-size", help="with --inference; may be given again [default: measure.batch_sizes]"),
    ] = None,
    wait: Annotated[int, typer.Option("--wait", help="steps before the profiler is started")] = 2,
    warm_up: Annotated[int, typer.Option("--warm-up", help="steps in which it runs and records nothing")] = 2,
    steps: Annotated[int, typer.Option("--steps", help="steps that it records; as many are timed without it")] = 10,
    order: Annotated[str, typer.Option("--sort", metavar="BY", help="self, total, calls or memory")] = "self",
    by_shape: Annotated[bool, typer.Option("--by-shape", help="a row for each shape of inputs")] = False,
    rows: Annotated[int, typer.Option("--rows", help="operators in the table")] = 15,
    operators: Annotated[
        list[str] | None, typer.Option("--operator", metavar="NAME", help="show only this; may be given again")
    ] = None,
    trials: Annotated[
        bool, typer.Option("--trials/--no-trials", help="also try other settings of training, for the hints")
    ] = True,
    compare: Annotated[
        Path | None, typer.Option("--compare", metavar="OLD", help="an earlier profile, or its folder")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="for the files [default: profile in the run directory]")
    ] = None,
    run_dir: RunDir = None,
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Say where the time of training goes, by operator, and which settings would make it shorter."""
    for variable, value in _QUIET.items():
        os.environ.setdefault(variable, value)

    from pipeline.cli.render.terminal import Terminal
    from pipeline.commands import profile as profiler

    with Terminal() as terminal:
        result = profiler.profile(
            recipe,
            run_dir=run_dir,
            overrides=overrides or (),
            inference=inference,
            batch_sizes=batch_size or (),
            wait=wait,
            warm_up=warm_up,
            steps=steps,
            trials=trials,
            out=out,
            order=order,
            rows=rows,
            by_shape=by_shape,
            operators=operators or (),
            compare=compare,
            reporter=terminal,
        )
    if as_json:
        print_json(result.to_json())
    else:
        say(*result.text, "", *result.files)
