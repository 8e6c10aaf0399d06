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
    """All results of the comparison.

    Args:
        contenders: the float file, ours (the winner first), then those of the peers.
        decisions: decisions by contender and split.
        rounds: seconds per call, a value per round, by name and batch size; `eager` and the copy besides.
        left_out: reason why a peer is not there, by peer.
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
        return next(contender for contender in self.contenders if contender.name.startswith(OURS))

    def noise(self, size: int) -> Ratio:
        """Return what the float file shows against its own copy: no such gain is claimed of another."""
        return speed_up(self.rounds[FLOAT][size], self.rounds[COPY][size])


def draw(comparison: Comparison) -> str:
    """Draw the whole document."""
    blocks = [
        "# Beside other tools",
        "Made by `make peers`; do not edit. The same float network, data and budget, one thread, raw pixels in.",
        "\n".join(f"- {fact}" for fact in comparison.facts),
        "## Latency",
        _table(["one thread", *_latency_heads()], _latency_rows(comparison)),
        _latency_legend(comparison),
        "## Accuracy, size, time spent",
        _table(
            ["", "validation", "drop (bound)", "verdict", "test", "drop (bound)", "on test", "kB", "minutes"],
            _accuracy_rows(comparison),
        ),
        _ACCURACY_LEGEND.format(budget=f"{comparison.max_drop * 100:g}"),
        "\n".join(f"- {contender.name}: {contender.note}." for contender in comparison.contenders if contender.note),
        f"## Our selected candidate against each: {comparison.winner.name.removeprefix(OURS)}",
        _table(
            [
                "",
                *(f"x at {size}" for size in BATCH_SIZES),
                "accuracy on test",
                *(f"at {size}" for size in BATCH_SIZES),
            ],
            _standing_rows(comparison),
        ),
        _STANDING_LEGEND,
        _summary(comparison),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _latency_legend(comparison: Comparison) -> str:
    noise = (
        f"{speed_text(ratio, ratio)} at {size}"
        for size, ratio in ((size, comparison.noise(size)) for size in BATCH_SIZES)
    )
    return (
        f"Medians over {len(comparison.rounds[FLOAT][1])} interleaved rounds with 95 % intervals over rounds, a pinned "
        "process each; the fastest at batch 1 first. x: times faster; + a certain gain of more than 3 %, - a certain "
        f"loss, each beyond what the float file shows against its own copy: {', '.join(noise)}."
    )


def _latency_heads() -> Iterator[str]:
    for size in BATCH_SIZES:
        yield from (f"ms at {size}", "x eager", "x float")


def _latency_rows(comparison: Comparison) -> Iterator[list[str]]:
    names = ["eager", *(contender.name for contender in comparison.contenders)]
    for name in sorted(names, key=lambda name: estimate(comparison.rounds[name][1]).value):
        cells = [_bold(name, comparison)]
        for size in BATCH_SIZES:
            seconds = comparison.rounds[name][size]
            latency = estimate(seconds).scaled(1e3)
            cells.append(f"{latency.value:.3f} ({latency.low:.3f}-{latency.high:.3f})")
            for reference in ("eager", FLOAT):
                ratio = speed_up(comparison.rounds[reference][size], seconds)
                cells.append("-" if name == reference else speed_text(ratio, comparison.noise(size)))
        yield cells
    yield from ([peer, f"not run: {why}"] for peer, why in comparison.left_out.items())


def _accuracy_rows(comparison: Comparison) -> Iterator[list[str]]:
    for contender in comparison.contenders:
        cells = [_bold(contender.name, comparison)]
        for split in ("validation", "test"):
            decided = comparison.decisions[contender.name][split]
            quality, verdict = decided.quality, decided.verdict
            cells += [
                f"{quality.accuracy:.4f}",
                f"{quality.drop * 100:+.2f} ({verdict.adjusted_drop_upper * 100:+.2f})",
                verdict.text,
            ]
        minutes = "-" if contender.seconds is None else f"{contender.seconds / 60:.2f}"
        yield [*cells, f"{contender.size / 1000:,.0f}", minutes]
    yield from ([peer, f"not run: {why}"] for peer, why in comparison.left_out.items())


def _standing_rows(comparison: Comparison) -> Iterator[list[str]]:
    for contender in _others(comparison):
        accuracy = _against(comparison, contender)
        ratios = {
            size: speed_up(comparison.rounds[contender.name][size], comparison.rounds[comparison.winner.name][size])
            for size in BATCH_SIZES
        }
        yield [
            contender.name,
            *(speed_text(ratios[size], comparison.noise(size)) for size in BATCH_SIZES),
            f"{accuracy.value * 100:+.2f} ({accuracy.low * 100:+.2f} to {accuracy.high * 100:+.2f})",
            *(_standing(comparison, contender, size) for size in BATCH_SIZES),
        ]


def _summary(comparison: Comparison) -> str:
    """Say where we are ahead, and by name where not."""
    lines = []
    for size in BATCH_SIZES:
        standings = {contender.name: _standing(comparison, contender, size) for contender in _others(comparison)}
        ahead = sum(text == "ahead" for text in standings.values())
        line = f"At batch {size}, ours is ahead of {ahead} of {len(standings)}"
        rest = "; ".join(f"against {name} it is {text}" for name, text in standings.items() if text != "ahead")
        lines.append(f"- {line}{f'; {rest}' if rest else ''}.")
    return "\n".join(lines)


def _standing(comparison: Comparison, contender: Contender, size: int) -> str:
    ratio = speed_up(comparison.rounds[contender.name][size], comparison.rounds[comparison.winner.name][size])
    return standing(ratio.claim(comparison.noise(size)), _against(comparison, contender).claim)


def _against(comparison: Comparison, contender: Contender) -> Paired:
    return paired_accuracy(
        comparison.decisions[comparison.winner.name]["test"].right, comparison.decisions[contender.name]["test"].right
    )


def _others(comparison: Comparison) -> list[Contender]:
    return [contender for contender in comparison.contenders if not contender.name.startswith(OURS)]


def _bold(name: str, comparison: Comparison) -> str:
    return f"**{name}**" if name == comparison.winner.name else name


def _table(heads: Sequence[str], rows: Iterator[list[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    lines += [[*row, *[""] * (len(heads) - len(row))] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
