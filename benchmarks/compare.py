"""Side by side with other tools: `python -m benchmarks.compare RUN_DIR`; `make peers` makes its environment first."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from benchmarks.ours import Benchmark, float_file, open_benchmark, our_files
from benchmarks.run import decide, let_work, time_all
from benchmarks.table import Comparison, draw
from pipeline._handlers.model_file import describe_cpu
from pipeline.cli.render.terminal import Terminal
from pipeline.errors import PipelineError
from pipeline.measure.host import usable_cores

_RESULTS = Path(__file__).with_name("RESULTS.md")
_PACKAGES = (
    "numpy",
    "torch",
    "torchao",
    "onnx",
    "onnxruntime",
    "openvino",
    "nncf",
    "neural-compressor",
    "olive-ai",
)
# What else there is, tried in the locked versions, and why it has no figures.
_NOT_RUN = {
    "NNCF prune": "all its modes are unstructured: single weights become zero, no channel goes",
    "Neural Compressor for ONNX": "a package of its own that needs numpy below 2; the rest here needs 2",
}
# These keep other tools from reporting to their makers, and keep compiling in the process that is timed.
_QUIET = {"CI": "true", "OLIVE_DISABLE_TELEMETRY": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}


def main() -> int:
    """Compare, print the table and write it.

    Returns:
        0, or the exit code of what went wrong.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=Path, help="of a finished pipeline build")
    parser.add_argument("--rounds", type=int, default=30, help="interleaved rounds (default 30)")
    parser.add_argument("--block-ms", type=float, default=60.0, help="length of a timed block (default 60)")
    parser.add_argument("--search-s", type=int, default=300, help="time that Olive may search (default 300)")
    parser.add_argument("--output", type=Path, default=_RESULTS, help="where the table goes (default RESULTS.md here)")
    arguments = parser.parse_args()
    try:
        text = compare(
            arguments.run_dir.resolve(),
            rounds=arguments.rounds,
            block_s=arguments.block_ms / 1e3,
            search_s=arguments.search_s,
            made_by=(
                f"`make peers RUN={_portable_path(arguments.run_dir)}`; {arguments.rounds} rounds, blocks of "
                f"{arguments.block_ms:g} ms; Olive searches {arguments.search_s} s; "
                f"load average before: {os.getloadavg()[0]:.1f}"
            ),
        )
    except PipelineError as error:
        print(f"compare: {error}", file=sys.stderr)
        return error.exit_code
    print(text)
    arguments.output.write_text(text, encoding="utf-8")
    return 0


def compare(run_dir: Path, *, rounds: int, block_s: float, search_s: int, made_by: str) -> str:
    """Make the whole comparison, from a run directory to the document.

    Args:
        run_dir: run directory of a finished build.
        rounds: number of interleaved rounds.
        block_s: length of one timed block, in seconds.
        search_s: time that a tool may search, in seconds.
        made_by: what the document says of the command and its settings.
    """
    with Terminal() as say, tempfile.TemporaryDirectory(prefix="peers-") as name:
        scratch = Path(name)
        os.environ |= _QUIET | {"TORCHINDUCTOR_CACHE_DIR": str(scratch / "inductor")}
        benchmark = open_benchmark(run_dir)
        baseline, ours = float_file(benchmark), our_files(benchmark)
        peers, left_out = let_work(benchmark, baseline.file, scratch, search_s=search_s, reporter=say)
        contenders = [baseline, *ours, *peers]
        decisions = {}
        for contender in contenders:
            say.log(f"{contender.name}: answers")
            decisions[contender.name] = decide(contender, benchmark, scratch)
        return draw(
            Comparison(
                contenders=contenders,
                decisions=decisions,
                rounds=time_all(contenders, benchmark, scratch, rounds=rounds, block_s=block_s, reporter=say),
                left_out=left_out | _NOT_RUN,
                facts=_facts(benchmark, made_by),
                max_drop=benchmark.limits.max_accuracy_drop,
            )
        )


def _facts(benchmark: Benchmark, made_by: str) -> list[str]:
    run = benchmark.run
    recipe = run.recipe
    epochs = f"{recipe.train.epochs} epochs" if recipe.train.epochs else "its own weights"
    sizes = ", ".join(f"{len(labels):,} {split}" for split, labels in benchmark.labels.items())
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    return [
        f"{describe_cpu()}, {usable_cores()} cores; {platform.system()} {platform.machine()}; {_compiler()}",
        f"Python {platform.python_version()}; {versions}",
        f"{run.manifest.recipe}, {epochs}, search {recipe.search_effort}; {sizes} examples",
        f"{datetime.now(UTC):%Y-%m-%d}, {made_by}",
    ]


def _compiler() -> str:
    """Name what torch.compile compiles with, unless the environment names another compiler."""
    program = os.environ.get("CXX", "g++")
    try:
        process = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return f"no C++ compiler {program}"
    return process.stdout.splitlines()[0] if process.returncode == 0 else f"no C++ compiler {program}"


def _portable_path(run_dir: Path) -> Path:
    """Return the path as it was given, without the folders of this machine."""
    return Path(run_dir.name) if run_dir.is_absolute() else run_dir


if __name__ == "__main__":
    sys.exit(main())
