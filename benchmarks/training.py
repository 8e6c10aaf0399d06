"""How fast training is, beside the loop of textbooks: `python -m benchmarks.training`.

Both train the network of the recipe fashion-cnn on Fashion-MNIST. Each loop has a process of its own, and they take
turns in rounds: whatever slows the machine slows all. On one thread the time is the processor's, so that a shared
machine changes little. On two threads it is the clock's, because a loop that keeps both cores busy is the point; the
machine must be idle for that, and the first line says whether it was. Ours takes its steps as `pipeline train` does.

With `--accuracy`, a choice favours ours: that it plans four epochs was found with one seed, among 4 and 5, on the
validation split that the accuracy is measured on. The textbook's loop has the usual rate of Adam, which was not tuned.

    python -m benchmarks.training --accuracy 0.92     # besides, the time to this accuracy on validation
    python -m benchmarks.training --quick             # few rounds, to see that it works
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from benchmarks import textbook
from benchmarks.training_worker import BATCH_SIZE, Job
from benchmarks.turns import interleave, workers
from pipeline.measure.gain import Ratio, estimate, speed_up
from pipeline.measure.host import computes_bfloat16, cpu_model, usable_cores

TEXTBOOK, OURS, OURS_BF16, PRODUCTS = "textbook", "ours, float32", "ours, bf16", "matrix products of a step, float32"
# Pictures of a turn; a whole number of batches of both sizes, and of the ten batches after which ours reports.
_TURN, _QUICK_TURN = 2560, 1280
_ROUNDS, _QUICK_ROUNDS = 15, 2
_LONGEST_EPOCHS = 20


def one_thread(jobs: Mapping[str, Job], rounds: int) -> str:
    """Time loops on one thread, in processor time, against the textbook's and against its matrix products."""
    turns = interleave(jobs, rounds)
    per_picture = {name: [turn.cpu_s / turn.pictures for turn in turns[name]] for name in jobs}
    rows = []
    for name, seconds in per_picture.items():
        beside = speed_up(per_picture[TEXTBOOK], seconds)
        over = "-" if name == PRODUCTS else _times(speed_up(seconds, per_picture[PRODUCTS]))
        rows.append((name, *_speed(seconds), _times(beside), over))
    return _table(("one thread, processor time", "µs a picture", "pictures/s", "x textbook", "x products"), rows)


def two_threads(jobs: Mapping[str, Job], rounds: int) -> str:
    """Time loops on two cores, by the clock, against the fastest of the textbook's."""
    turns = interleave(jobs, rounds)
    per_picture = {name: [turn.wall_s / turn.pictures for turn in turns[name]] for name in jobs}
    books = {name: estimate(seconds).value for name, seconds in per_picture.items() if name.startswith(TEXTBOOK)}
    best = min(books, key=books.__getitem__)
    rows = []
    for name, seconds in per_picture.items():
        busy = estimate([turn.cpu_s / turn.wall_s for turn in turns[name]])
        beside = _times(speed_up(per_picture[best], seconds))
        rows.append((name, *_speed(seconds), beside, f"{busy.value:.2f}"))
    head = ("two threads, by the clock", "µs a picture", "pictures/s", f"x {best}", "cores busy")
    return _table(head, rows)


def time_to(target: float, jobs: Mapping[str, Job]) -> str:
    """Train until an accuracy on validation is reached, epoch by epoch in turns, and compare processor times."""
    spent = dict.fromkeys(jobs, 0.0)
    best = dict.fromkeys(jobs, 0.0)
    epochs = dict.fromkeys(jobs, 0)
    with workers({name: replace(job, turn=0) for name, job in jobs.items()}) as started:
        for _ in range(_LONGEST_EPOCHS):
            for name, job in jobs.items():
                over = job.kind == "ours" and epochs[name] == job.epochs
                if best[name] >= target or over:
                    continue
                turn = started[name].turn()
                spent[name] += turn.cpu_s
                epochs[name] += 1
                best[name] = max(best[name], turn.accuracy or 0.0)
    reached = {name: seconds for name, seconds in spent.items() if best[name] >= target}
    rows = [
        (
            name,
            str(epochs[name]),
            f"{best[name]:.4f}",
            f"{seconds:,.0f}" + ("" if name in reached else ", not reached"),
            f"{reached[TEXTBOOK] / seconds:.2f}" if name in reached and TEXTBOOK in reached else "-",
        )
        for name, seconds in spent.items()
    ]
    head = (f"to {target:g} on validation, one thread", "epochs", "accuracy", "processor seconds", "x textbook")
    return _table(head, rows)


def _speed(seconds: Sequence[float]) -> tuple[str, str]:
    """Microseconds a picture with their interval, and pictures a second."""
    spread = estimate(seconds).scaled(1e6)
    return f"{spread.value:,.0f} ({spread.low:,.0f}-{spread.high:,.0f})", f"{1e6 / spread.value:,.0f}"


def _times(ratio: Ratio) -> str:
    return f"{ratio.value:.2f} ({ratio.low:.2f}-{ratio.high:.2f})"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _facts(rounds: int) -> str:
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    return (
        f"{cpu_model()}, {usable_cores()} cores; torch {torch.__version__}; {datetime.now(tz=UTC):%Y-%m-%d}; "
        f"load average before: {load}\nmedians over {rounds} rounds in turns, with 95 % intervals over rounds; ours in "
        f"batches of {BATCH_SIZE}, the textbook's of {textbook.BATCH_SIZE}"
    )


def main() -> None:
    """Time all loops, and print a table for each number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, help=f"rounds in turns [default: {_ROUNDS}]")
    parser.add_argument("--accuracy", type=float, help="also the time to this accuracy on validation, such as 0.92")
    parser.add_argument("--epochs", type=int, default=4, help="that ours plans for with --accuracy [default: 4]")
    parser.add_argument("--quick", action="store_true", help="few rounds of short turns: figures mean little")
    arguments = parser.parse_args()
    rounds = arguments.rounds or (_QUICK_ROUNDS if arguments.quick else _ROUNDS)
    cores = tuple(sorted(os.sched_getaffinity(0)))
    print(_facts(rounds), flush=True)
    with tempfile.TemporaryDirectory(prefix="textbook-") as folder:
        textbook.unpack(Path(folder))
        job = Job(kind="textbook", turn=_QUICK_TURN if arguments.quick else _TURN, folder=folder, cores=cores[:1])
        alone = {TEXTBOOK: job, **_ours(job)}
        products = {PRODUCTS: replace(job, kind="matrix products")}
        print(f"\n{one_thread(alone | products, rounds)}", flush=True)
        if len(cores) > 1:
            both = replace(job, cores=cores[:2], threads=2)
            books = {f"{TEXTBOOK}, workers {count}": replace(both, workers=count) for count in (0, 1, 2)}
            print(f"\n{two_threads(books | _ours(both), rounds)}", flush=True)
        if arguments.accuracy is not None:
            planned = {name: replace(each, epochs=arguments.epochs) for name, each in alone.items()}
            print(f"\n{time_to(arguments.accuracy, planned)}")


def _ours(job: Job) -> dict[str, Job]:
    """Ours in the number formats that this processor computes in."""
    ours = replace(job, kind="ours")
    return {OURS: ours} | ({OURS_BF16: replace(ours, mixed_precision="bf16")} if computes_bfloat16() else {})


if __name__ == "__main__":
    main()
