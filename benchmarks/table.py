"""The comparison as a person reads it: Markdown, on the terminal and in RESULTS.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.contender import BATCH_SIZES, Contender
from benchmarks.ours import FLOAT, OURS
from benchmarks.run import COPY, Decisions
from benchmarks.standing import Paired, paired_accuracy, speed_text, standing
from pipeline.measure.gain import Ratio, estimate, speed_up

Rounds = Mapping[str, Mapping[int, Sequence[float]]]

_ACCURACY_LEGEND = (
    "Drop: points of accuracy lost against the float network in torch, and its one-sided bound, held against a budget "
    "of {budget} by the rule for our candidates: on validation together with all that our run chose from (95 % over "
    "all of them), on test each by itself. Minutes: of the tool's own work; ours as the run recorded it: every "
    "candidate made, proven and timed, not only the one in the row. Ours may train what is left of a network after "
    "pruning, on the same training data; the others only calibrate on it."
)
_STANDING_LEGEND = (
    "Accuracy: ours minus theirs in points on the same test examples, with a 95 % interval (Tango 1998); ahead: a "
    "certain gain in speed and no certain loss of accuracy."
)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that was found.

    Args:
        contenders: the float file, ours (the winner first), then the others'.
        decisions: by contender and split.
        rounds: seconds per call, a value per round, by name and batch size; `eager` and the copy besides.
        left_out: by peer, why it is not there.
        facts: lines on machine, versions, date and command.
        max_drop: the budget, as a fraction.
    """

    contenders: Sequence[Contender]
    decisions: Mapping[str, Mapping[str, Decisions]]
    rounds: Rounds
    left_out: Mapping[str, str]
    facts: Sequence[str]
    max_drop: float

    @property
    def winner(self) -> Contender:
        """The candidate that the run selected."""
        return next(one for one in self.contenders if one.name.startswith(OURS))

    def noise(self, size: int) -> Ratio:
        """What the float file shows against its own copy: no such gain is claimed of another."""
        return speed_up(self.rounds[FLOAT][size], self.rounds[COPY][size])


def draw(found: Comparison) -> str:
    """The whole document."""
    blocks = [
        "# Beside other tools",
        "Made by `make peers`; do not edit. The same float network, data and budget, one thread, raw pixels in.",
        "\n".join(f"- {fact}" for fact in found.facts),
        "## Latency",
        _table(["one thread", *_latency_heads()], _latency_rows(found)),
        _latency_legend(found),
        "## Accuracy, size, time spent",
        _table(
            ["", "validation", "drop (bound)", "verdict", "test", "drop (bound)", "on test", "kB", "minutes"],
            _accuracy_rows(found),
        ),
        _ACCURACY_LEGEND.format(budget=f"{found.max_drop * 100:g}"),
        "\n".join(f"- {one.name}: {one.note}." for one in found.contenders if one.note),
        f"## Our selected candidate against each: {found.winner.name.removeprefix(OURS)}",
        _table(
            [
                "",
                *(f"x at {size}" for size in BATCH_SIZES),
                "accuracy on test",
                *(f"at {size}" for size in BATCH_SIZES),
            ],
            _standing_rows(found),
        ),
        _STANDING_LEGEND,
        _summary(found),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _latency_legend(found: Comparison) -> str:
    noise = (f"{speed_text(one, one)} at {size}" for size, one in ((size, found.noise(size)) for size in BATCH_SIZES))
    return (
        f"Medians over {len(found.rounds[FLOAT][1])} interleaved rounds with 95 % intervals over rounds, a pinned "
        "process each; the fastest at batch 1 first. x: times faster; + a certain gain of more than 3 %, - a certain "
        f"loss, each beyond what the float file shows against its own copy: {', '.join(noise)}."
    )


def _latency_heads() -> Iterator[str]:
    for size in BATCH_SIZES:
        yield from (f"ms at {size}", "x eager", "x float")


def _latency_rows(found: Comparison) -> Iterator[list[str]]:
    names = ["eager", *(one.name for one in found.contenders)]
    for name in sorted(names, key=lambda name: estimate(found.rounds[name][1]).value):
        cells = [_bold(name, found)]
        for size in BATCH_SIZES:
            seconds = found.rounds[name][size]
            latency = estimate(seconds).scaled(1e3)
            cells.append(f"{latency.value:.3f} ({latency.low:.3f}-{latency.high:.3f})")
            for reference in ("eager", FLOAT):
                ratio = speed_up(found.rounds[reference][size], seconds)
                cells.append("-" if name == reference else speed_text(ratio, found.noise(size)))
        yield cells
    yield from ([peer, f"not run: {why}"] for peer, why in found.left_out.items())


def _accuracy_rows(found: Comparison) -> Iterator[list[str]]:
    for one in found.contenders:
        cells = [_bold(one.name, found)]
        for split in ("validation", "test"):
            decided = found.decisions[one.name][split]
            quality, verdict = decided.quality, decided.verdict
            cells += [
                f"{quality.accuracy:.4f}",
                f"{quality.drop * 100:+.2f} ({verdict.adjusted_drop_upper * 100:+.2f})",
                verdict.text,
            ]
        minutes = "-" if one.seconds is None else f"{one.seconds / 60:.2f}"
        yield [*cells, f"{one.size / 1000:,.0f}", minutes]
    yield from ([peer, f"not run: {why}"] for peer, why in found.left_out.items())


def _standing_rows(found: Comparison) -> Iterator[list[str]]:
    for one in _others(found):
        accuracy = _against(found, one)
        ratios = {
            size: speed_up(found.rounds[one.name][size], found.rounds[found.winner.name][size]) for size in BATCH_SIZES
        }
        yield [
            one.name,
            *(speed_text(ratios[size], found.noise(size)) for size in BATCH_SIZES),
            f"{accuracy.value * 100:+.2f} ({accuracy.low * 100:+.2f} to {accuracy.high * 100:+.2f})",
            *(_standing(found, one, size) for size in BATCH_SIZES),
        ]


def _summary(found: Comparison) -> str:
    """Where we are ahead, and by name where not."""
    lines = []
    for size in BATCH_SIZES:
        standings = {one.name: _standing(found, one, size) for one in _others(found)}
        ahead = sum(text == "ahead" for text in standings.values())
        line = f"At batch {size}, ours is ahead of {ahead} of {len(standings)}"
        rest = "; ".join(f"against {name} it is {text}" for name, text in standings.items() if text != "ahead")
        lines.append(f"- {line}{f'; {rest}' if rest else ''}.")
    return "\n".join(lines)


def _standing(found: Comparison, other: Contender, size: int) -> str:
    ratio = speed_up(found.rounds[other.name][size], found.rounds[found.winner.name][size])
    return standing(ratio.claim(found.noise(size)), _against(found, other).claim)


def _against(found: Comparison, other: Contender) -> Paired:
    return paired_accuracy(found.decisions[found.winner.name]["test"].right, found.decisions[other.name]["test"].right)


def _others(found: Comparison) -> list[Contender]:
    return [one for one in found.contenders if not one.name.startswith(OURS)]


def _bold(name: str, found: Comparison) -> str:
    return f"**{name}**" if name == found.winner.name else name


def _table(heads: Sequence[str], rows: Iterator[list[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    lines += [[*row, *[""] * (len(heads) - len(row))] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
