"""Commands around the server: serve, status, stop, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.answer import say
from pipeline.cli.app import AllowOperator, Digest, Json, ModelStore, PublicKey, RequireSignature, app, print_json
from pipeline.cli.scoring import answer_archive, require_archive, require_files
from pipeline.engine.places import DEFAULT_MODEL_STORE
from pipeline.errors import ServerError
from pipeline.serving.defaults import DEFAULT_PORT, DEFAULT_SERVER, HOST, ServerName


@app.command()
def serve(
    archive: Annotated[
        Path | None, typer.Argument(metavar="ARCHIVE", help="a .mar [default: the model store's]")
    ] = None,
    *,
    server: Annotated[
        ServerName, typer.Option("--server", help="torchserve, or asgi: our own, faster and without Java")
    ] = DEFAULT_SERVER,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="for predictions")] = DEFAULT_PORT,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="to listen on; all but loopback need a token")
    ] = HOST,
    token_file: Annotated[
        Path | None,
        typer.Option("--token-file", metavar="FILE", help="the secret that clients bring [default: $PIPELINE_TOKEN]"),
    ] = None,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="let everybody in who reaches the address")] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option("--allow-host", metavar="NAME", help="a name it is asked under without a token; may be repeated"),
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", metavar="PEM", help="for TLS, with --key")
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", metavar="PEM", help="of the certificate")] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="processes that answer")] = 1,
    detach: Annotated[bool, typer.Option("--detach", help="return when it is ready and leave it running")] = False,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=1, help="longest wait for it to be ready, seconds")
    ] = 120,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="most requests answered together [default: the largest proven]"),
    ] = None,
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
    """Run a server; the address is printed once every worker has given the golden answers.

    What runs is this installation's handler, on the archive's data; --trust runs the archive's own
    (TorchServe).
    """
    from pipeline.cli.render.terminal import Terminal
    from pipeline.commands.serve import serve as start
    from pipeline.serving.door import read_token

    with Terminal() as terminal:
        start(
            archive,
            server=server,
            model_store=model_store,
            digest=digest,
            public_key=public_key,
            require_signature=require_signature,
            port=port,
            host=host,
            token=read_token(token_file),
            no_auth=no_auth,
            allow_hosts=allow_host or (),
            certificate=certificate,
            key=key,
            workers=workers,
            detach=detach,
            timeout_s=timeout_s,
            batch_size=batch_size,
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
    """Show the servers that `pipeline serve` started, and those that a running command has for itself.

    The exit code is 6 where one is not ready, or has ended by itself; `stop` and `serve` at its port forget the latter.
    """
    from pipeline.serving import lifecycle
    from pipeline.serving.address import endpoint_of

    servers, ended = lifecycle.status(port), lifecycle.ended(port)
    unready = [endpoint_of(server.state).url for server in servers if not (server.ready or server.state.private)]
    if as_json:
        print_json([*(server.to_json() for server in servers), *(gone.to_json() for gone in ended)])
    elif not (servers or ended):
        say("no server is running")
    for server in () if as_json else servers:
        state = server.state
        ready = sum(worker.status == "READY" for worker in server.workers)
        word = "ready" if server.ready else "not ready"
        say(
            f"{endpoint_of(state).url}: {word}, {ready} of {state.workers} worker(s), "
            f"version {state.version}, digest {state.digest[:12]}, process {state.pid}"
            + (f"; accepted host: {state.accepted}" if state.accepted else "")
            + ("; of a build or bench that runs now and will end it" if state.private else "")
        )
    for gone in () if as_json else ended:
        say(f"{gone.url}: ended: {gone.reason}; its logs: {gone.logs}")
    if unready or ended:
        which = ", ".join([*unready, *(gone.url for gone in ended)])
        raise ServerError(f"{which}: expected a server that is ready, found one that is not, or has ended")


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
        typer.Argument(
            metavar="FILE...|ARCHIVE",
            help="pictures (PNG, JPEG, WebP, GIF, BMP, TIFF), .json, or raw bytes; with --data a .mar instead",
        ),
    ],
    *,
    url: Annotated[str | None, typer.Option("--url", help="of the server [default: the running one]")] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FOLDER|FILE",
            help="pictures, a table (.csv, .parquet), or arrays: answer them without a server",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="with --data: the answers, .csv or .jsonl")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="with --data: processes that answer [default: 1]")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="with --data: examples in a call [default: the largest proven]"),
    ] = None,
    digest: Digest = None,
    public_key: PublicKey = None,
    require_signature: RequireSignature = False,
    allow_operator: AllowOperator = None,
    as_json: Json = False,
) -> None:
    """Ask the running server about files; or, with --data and --out, answer a folder or table without a server.

    The first prints each answer; a refused file stops no other. The second goes on where it was when it was
    interrupted; it ends with code 7 where an example has no answer.
    """
    archive_options = {
        "--out": out,
        "--workers": workers,
        "--batch-size": batch_size,
        "--digest": digest,
        "--public-key": public_key,
        "--require-signature": require_signature or None,
        "--allow-operator": allow_operator,
    }
    if data is None:
        require_files(files, archive_options)
        _ask(files, url, as_json=as_json)
        return
    answer_archive(
        require_archive(files, out=out, url=url),
        data=data,
        out=out or Path(),
        as_json=as_json,
        workers=workers or 1,
        batch_size=batch_size,
        digest=digest,
        public_key=public_key,
        require_signature=require_signature,
        allowed_operators=allow_operator or (),
    )


def _ask(files: list[Path], url: str | None, *, as_json: bool) -> None:
    """Ask the running server about files."""
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
