"""Two profiles side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.profiling.document import Profile, Recording
from pipeline.profiling.table import aligned


@dataclass(frozen=True, kw_only=True)
class OperatorChange:
    """What an operator cost in two profiles.

    Args:
        name: name of the operator.
        old_ms: its self time in a step of the old profile, in milliseconds; 0 where it was not called.
        new_ms: that in the new one.
    """

    name: str
    old_ms: float
    new_ms: float


def operator_changes(old: Recording, new: Recording) -> list[OperatorChange]:
    """The self time of each operator in two recordings, the largest difference first."""
    before, after = _self_ms(old), _self_ms(new)
    changes = [
        OperatorChange(name=name, old_ms=before.get(name, 0.0), new_ms=after.get(name, 0.0)) for name in before | after
    ]
    return sorted(changes, key=lambda change: (-abs(change.new_ms - change.old_ms), change.name))


def comparison_lines(old: Profile, new: Profile, *, rows: int) -> Iterator[str]:
    """Draw both profiles side by side.

    Args:
        old: the earlier profile.
        new: the later one, of the same mode.
        rows: number of operators.
    """
    yield f"against the profile of {old.recipe} ({old.surroundings.device}, {old.surroundings.threads} thread(s))"
    differing = [
        f"{name.replace('_', ' ')} {before} -> {after}"
        for name, before in old.surroundings.model_dump().items()
        if before != (after := getattr(new.surroundings, name))
    ]
    if differing:
        yield f"  other surroundings: {', '.join(differing)}"
    for before, after in _pairs(old, new):
        yield ""
        yield from _pair_lines(before, after, rows=rows)


def _pairs(old: Profile, new: Profile) -> Iterator[tuple[Recording, Recording]]:
    """The recordings that belong together: those of training, and forward passes of the same batch size."""
    if new.mode == "training":
        yield old.recordings[0], new.recordings[0]
        return
    earlier = {recording.batch_size: recording for recording in old.recordings}
    for recording in new.recordings:
        if recording.batch_size in earlier:
            yield earlier[recording.batch_size], recording


def _pair_lines(old: Recording, new: Recording, *, rows: int) -> Iterator[str]:
    rates = [1000 * each.examples_per_step / each.median_ms for each in (old, new)]
    table = [["", "old", "new", "new/old"]]
    table.append(["batch size", str(old.batch_size), str(new.batch_size), ""])
    table.append(["step, ms", f"{old.median_ms:.3f}", f"{new.median_ms:.3f}", _ratio(old.median_ms, new.median_ms)])
    table.append(["examples a second", *(f"{rate:,.0f}" for rate in rates), _ratio(*rates)])
    table.append(["waiting for data", f"{old.loading_share:.1%}", f"{new.loading_share:.1%}", ""])
    changes = operator_changes(old, new)
    table += [
        [change.name, f"{change.old_ms:.3f}", f"{change.new_ms:.3f}", _ratio(change.old_ms, change.new_ms)]
        for change in changes[:rows]
    ]
    lines = aligned(table, left=(0,))
    yield from lines[:5]
    yield "self ms of each step, by operator, the largest difference first"
    yield from lines[5:]
    if rest := changes[rows:]:
        difference = sum(change.new_ms - change.old_ms for change in rest)
        yield f"{len(rest)} more operators, {difference:+.3f} ms together"


def _self_ms(recording: Recording) -> dict[str, float]:
    """Self time of each operator in a step, in milliseconds; that of the device where it did any work."""
    on_device = any(cost.device_self_us for cost in recording.operators)
    return {
        cost.name: (cost.device_self_us if on_device else cost.self_us) / recording.recorded_steps / 1000
        for cost in recording.operators
    }


def _ratio(old: float, new: float) -> str:
    return f"{new / old:.2f}" if old else "new"
