"""A profile as lines of text, for a terminal and for profile.txt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.profiling.document import Mode, Profile, Recording, TableOrder, Trial
from pipeline.profiling.table import operator_table

_SPANS = {
    "read": "reading examples",
    "augment": "changing pictures",
    "forward": "forward",
    "loss": "loss",
    "backward": "backward",
    "optimizer": "optimizer",
}


def profile_lines(
    profile: Profile, *, order: TableOrder, rows: int, by_shape: bool, operators: Sequence[str] = ()
) -> Iterator[str]:
    """Draw a profile.

    Args:
        profile: the profile.
        order: what the operators are sorted by.
        rows: number of operators.
        by_shape: whether calls with other shapes of inputs are rows of their own.
        operators: names of the operators that are shown; empty for all.

    Raises:
        UsageError: there is no operator of that name.
    """
    around = profile.surroundings
    yield f"profile of {profile.mode}: {profile.recipe}; torch {around.torch} on {around.processor or around.device}"
    facts = [f"{around.threads} of {around.cores} cores", around.precision, around.layout, f"data {around.data}"]
    yield ", ".join(filter(None, [around.device, *facts, around.optimizer]))
    for recording in profile.recordings:
        yield ""
        yield from _step_lines(recording, profile.mode)
        yield ""
        yield from operator_table(recording, order=order, rows=rows, by_shape=by_shape, operators=operators)
    if profile.trials:
        yield ""
        yield "tried otherwise, in turns with the training as it is:"
        yield from (f"  {_trial(trial)}" for trial in profile.trials)
    yield ""
    yield from (f"hint: {hint}" for hint in profile.hints)
    if not profile.hints:
        yield "no hint: nothing that was measured would make it much faster"


def _step_lines(recording: Recording, mode: Mode) -> Iterator[str]:
    what = "step" if mode == "training" else "pass"
    rate = 1000 * recording.examples_per_step / recording.median_ms
    yield (
        f"batch {recording.batch_size}: a {what} takes {recording.median_ms:.2f} ms, {rate:,.0f} examples/s; "
        f"{recording.recorded_ms:.2f} ms while it is recorded"
    )
    if mode == "training":
        yield (
            f"the loader takes {recording.loading_share:.1%} of it: {recording.loading_ms:.3f} ms, "
            "in which the network waits for its data"
        )
    parts = (
        f"{words} {recording.spans_ms[span]:.3f} ms ({recording.share(recording.spans_ms[span]):.0%})"
        for span, words in _SPANS.items()
        if span in recording.spans_ms
    )
    yield f"  {', '.join(parts)}"


def _trial(trial: Trial) -> str:
    if trial.left_out:
        return f"{trial.setting}: left out: {trial.left_out}"
    return (
        f"{trial.setting}: {trial.rate:,.0f} examples/s against {trial.base_rate:,.0f}, {trial.gain:.2f} times as fast"
    )
