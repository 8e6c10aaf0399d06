"""Commands around the server: serve, status, stop, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.answer import say
from pipeline.cli.app import AllowOperator, Digest, Json, ModelStore, PublicKey, RequireSignature, app, print_json
from pipeline.engine.places import DEFAULT_MODEL_STORE
from pipeline.serving.defaults import DEFAULT_PORT


@app.command()
def serve(
    archive: Annotated[
        Path | None, typer.Argument(metavar="ARCHIVE", help="a .mar [default: the model store's]")
    ] = None,
    *,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="for predictions, on loopback")] = DEFAULT_PORT,
    workers: Annotated[int, typer.Option("--workers", min=1, help="processes that answer")] = 1,
    detach: Annotated[bool, typer.Option("--detach", help="return when it is ready and leave it running")] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=1, help="longest wait for it to be ready, seconds")
    ] = 120,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="most requests handed to a worker at once")
    ] = 1,
    batch_delay_ms: Annotated[
        int, typer.Option("--batch-delay", metavar="MS", min=1, help="longest wait for a batch to fill, milliseconds")
    ] = 1,
    accept_host: Annotated[
        bool, typer.Option("--accept-host", help="serve although golden answers differ on this machine")
    ] = False,
    pass_env: Annotated[
        list[str] | None,
        typer.Option("--pass-env", metavar="NAME", help="a variable that workers get too; may be repeated"),
    ] = None,
    digest: Digest = None,
    public_key: PublicKey = None,
    require_signature: RequireSignature = False,
    allow_operator: AllowOperator = None,
    trust: Annotated[
        bool,
        typer.Option("--trust", help="run the archive's own handler, and its model file unasked: code that it brings"),
    ] = False,
    model_store: ModelStore = DEFAULT_MODEL_STORE,
) -> None:
    """Run TorchServe; the address is printed once every worker has given the golden answers.

    What runs is this installation's handler, on the archive's data; --trust runs the archive's own.
    """
    from pipeline.cli.render import console
    from pipeline.commands.serve import serve as start

    with console.Terminal() as terminal:
        start(
            archive,
            model_store=model_store,
            digest=digest,
            public_key=public_key,
            require_signature=require_signature,
            port=port,
            workers=workers,
            detach=detach,
            timeout_s=timeout_s,
            batch_size=batch_size,
            batch_delay_ms=batch_delay_ms,
            accept_host=accept_host,
            pass_env=pass_env or (),
            trust=trust,
            allowed_operators=allow_operator or (),
            reporter=terminal,
        )


@app.command()
def status(
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="of the one to show [default: all]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the servers that `pipeline serve` started, and those that a running command has for itself."""
    from pipeline.serving import lifecycle
    from pipeline.serving.address import endpoint_of

    servers = lifecycle.status(port)
    if as_json:
        print_json([server.to_json() for server in servers])
        return
    if not servers:
        say("no server is running")
    for server in servers:
        state = server.state
        ready = sum(worker.status == "READY" for worker in server.workers)
        word = "ready" if server.ready else "not ready"
        say(
            f"{endpoint_of(state).url}: {word}, {ready} of {state.workers} worker(s), "
            f"version {state.version}, digest {state.digest[:12]}, process {state.pid}"
            + (f"; accepted host: {state.accepted}" if state.accepted else "")
            + ("; of a build or bench that runs now and will end it" if state.private else "")
        )


@app.command()
def stop(
    port: Annotated[
        int | None, typer.Option("--port", min=1, max=65535, help="of the one to stop [default: all]")
    ] = None,
) -> None:
    """Stop servers: Java, workers and temporary files; a running build's own only by its port."""
    from pipeline.serving import lifecycle

    stopped = lifecycle.stop(port)
    for state in stopped:
        say(f"stopped {state.url}")
    if not stopped:
        say("no server is running")


@app.command()
def predict(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="pictures (PNG, JPEG, WebP, GIF, BMP, TIFF), .json, or raw bytes"),
    ],
    url: Annotated[str | None, typer.Option("--url", help="of the server [default: the running one]")] = None,
    as_json: Json = False,
) -> None:
    """Ask the running server about files; prints label and probabilities; a refused file stops no other."""
    from pipeline.commands.predict import FileAnswer, answers

    answered: list[FileAnswer] = []
    for answer in answers(files, url=url):
        answered.append(answer)
        for prediction in () if as_json else answer.predictions:
            say(f"{answer.file}: {prediction}")
    errors = [answer.error for answer in answered if answer.error is not None]
    if as_json and len(errors) < len(answered):
        print_json([answer.to_json() for answer in answered])
    for error in errors[1:]:
        say(f"error: {error}", error=True)
    if errors:
        raise errors[0]
