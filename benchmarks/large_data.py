"""Build from pictures that are larger than the memory that the build may use, and say how much it used.

    python benchmarks/large_data.py /tmp/large                    # 20,000 pictures, 3.0 GB, 2 GiB for each process
    python benchmarks/large_data.py /tmp/large --pictures 2000 --limit-mib 900

It makes a folder of pictures, and runs `pipeline build` and `pipeline verify` with a limit on each process's own memory
(RLIMIT_DATA; pages of mapped files do not count). While they run it looks at the resident memory that is no page of any
file (RssAnon), of each process and of all together. It ends with code 1 where a command failed or one process was above
the limit. All together are most while candidates are timed, in a process each: that does not depend on the data.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

_CLASSES = ("dark", "bright")
_SAMPLE_S = 0.05
_NETS = """
from torch import nn


def build():
    return nn.Sequential(
        nn.Conv2d(3, 8, 8, stride=8), nn.ReLU(), nn.Conv2d(8, 16, 4, stride=4), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2),
    )
"""
_RECIPE = """
name = "large"
[data]
folder = "pictures"
size = [{size}, {size}]
[model]
factory = "nets:build"
[train]
epochs = 1
[[candidates.variants]]
name = "slim"
passes = [{{ kind = "channel-pruning", keep = 0.5, round_to = 4 }}, {{ kind = "fine-tune", epochs = 1 }}]
[[candidates.variants]]
name = "int8"
passes = [{{ kind = "static-int8" }}]
[measure]
rounds = 6
"""


def make_pictures(folder: Path, count: int, size: int) -> None:
    """Write so many pictures of two classes as JPEG files, each another one."""
    generator = np.random.default_rng(0)
    slope = np.linspace(0, 60, size, dtype=np.float32)
    for index in range(count):
        label = index % 2
        path = folder / _CLASSES[label] / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            continue
        colour = generator.uniform(40, 110, 3) + 60 * label
        pixels = colour + slope[:, None, None] * generator.normal() + slope[None, :, None] * generator.normal()
        stream = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=80)
        path.write_bytes(stream.getvalue() + index.to_bytes(4, "big"))  # no two files are alike


def own_bytes(process: psutil.Process) -> int:
    """The resident memory of a process that is no page of a file; 0 where the process has ended."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


@dataclass
class Watched:
    """What became of a command.

    Args:
        code: its exit code.
        seconds: how long it ran.
        peak: the most own memory of all its processes together, in bytes.
        processes: number of processes at that moment.
        largest: the most own memory of one process, in bytes.
    """

    code: int = 0
    seconds: float = 0.0
    peak: int = 0
    processes: int = 0
    largest: int = 0


def watch(command: list[str], folder: Path, limit: int) -> Watched:
    """Run a command under a limit, and add up what its processes take."""
    started, watched = time.monotonic(), Watched()
    environment = {**os.environ, "PIPELINE_DIGESTS": str(folder / "digests")}
    process = subprocess.Popen(["prlimit", f"--data={limit}:{limit}", *command], cwd=folder, env=environment)
    root = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            tree = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            break
        sizes = [own_bytes(member) for member in tree]
        watched.largest = max(watched.largest, *sizes)
        if sum(sizes) > watched.peak:
            watched.peak, watched.processes = sum(sizes), len(sizes)
        time.sleep(_SAMPLE_S)
    watched.code, watched.seconds = process.wait(), time.monotonic() - started
    return watched


def main() -> int:
    """Make the pictures, build, verify, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=224, help="height and width, in pixels")
    parser.add_argument("--limit-mib", type=int, default=2048)
    parser.add_argument("--train-only", action="store_true", help="leave out candidates, archive and smoke test")
    arguments = parser.parse_args()
    folder, limit = arguments.folder.resolve(), arguments.limit_mib << 20
    started = time.monotonic()
    make_pictures(folder / "pictures", arguments.pictures, arguments.size)
    (folder / "nets.py").write_text(_NETS, encoding="utf-8")
    (folder / "recipe.toml").write_text(_RECIPE.format(size=arguments.size), encoding="utf-8")
    print(f"pictures: {arguments.pictures}, made in {time.monotonic() - started:.0f} s")
    pipeline = [sys.executable, "-m", "pipeline"]
    build = [*pipeline, "train" if arguments.train_only else "build", "recipe.toml", "--run-dir", "run"]
    commands = [build] if arguments.train_only else [build, [*pipeline, "verify", "run"]]
    shutil.rmtree(folder / "run", ignore_errors=True)
    code = 0
    for command in commands:
        watched = watch(command, folder, limit)
        print(
            f"{command[3]}: exit code {watched.code} after {watched.seconds:.0f} s; own memory: all processes together "
            f"{watched.peak >> 20:,} MiB at most (then {watched.processes}), one process {watched.largest >> 20:,} MiB "
            f"of {arguments.limit_mib:,}"
        )
        code |= watched.code != 0 or watched.largest > limit
    splits = sum(file.stat().st_size for file in (folder / "run" / "data").glob("*.safetensors"))
    print(f"decoded pictures: {splits / 1e9:.2f} GB; this script's own peak: {_peak_self():,.0f} MiB")
    return int(code)


def _peak_self() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
