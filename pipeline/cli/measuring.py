"""Commands that measure: bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import AllowOperator, Digest, Json, PublicKey, RequireSignature, app, print_json


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
    from pipeline.cli.render import bench_table, console
    from pipeline.cli.render.plain_console import show
    from pipeline.commands.bench import run

    with console.Terminal() as terminal:
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
