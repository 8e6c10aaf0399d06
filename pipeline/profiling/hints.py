"""What a person may change, each with the setting and with the figures that were measured for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pipeline.profiling.document import Loading, Recording, Surroundings, Trial, TrialKind
from pipeline.profiling.trials import OPTIMIZER_SHARE

# Below these nothing is said: a step that waits so little is not made much faster by a faster loader, and two timings
# of the same training on a shared machine differ by some percent.
WAITING_SHARE = 0.2
GAIN = 1.15
# Larger calls make each answer wait longer, so that they have to bring more.
CALL_GAIN = 1.5
# A batch that reaches this part of the largest rate is large enough.
_NEARLY = 0.9
# What makes up so much of the time in which a step waits is worth a change.
_MUCH_OF_THE_WAIT = 1 / 3


def training_hints(
    recording: Recording,
    surroundings: Surroundings,
    *,
    loading: Loading,
    trials: Sequence[Trial],
) -> tuple[str, ...]:
    """Say what may make a training faster.

    Args:
        recording: the training's steps.
        surroundings: what they ran on and with.
        loading: what adds to the time in which they wait for their data.
        trials: what was tried otherwise.
    """
    return (
        *_waiting(recording, surroundings, loading, trials),
        *_batch_size(recording, trials),
        *_precision(surroundings, trials),
        *_optimizer(recording, surroundings, trials),
        *_threads(surroundings, trials),
        *_checkpointing(trials),
    )


def inference_hints(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """Say what may make forward passes faster.

    Args:
        recordings: forward passes, a recording for each batch size.
    """
    rates = {each.batch_size: 1000 * each.batch_size / each.median_ms for each in recordings}
    smallest, best = min(rates), max(rates, key=lambda size: rates[size])
    large = min(size for size, rate in rates.items() if rate >= _NEARLY * rates[best])
    if rates[large] < CALL_GAIN * rates[smallest]:
        return ()
    hint = (
        f"a call with {large} examples answers {rates[large]:,.0f} a second, with {smallest} only "
        f"{rates[smallest]:,.0f}: where several wait, answer them together (pipeline serve --batch-size {large}, or "
        "pipeline predict --data)"
    )
    return (hint,)


def _waiting(
    recording: Recording, surroundings: Surroundings, loading: Loading, trials: Sequence[Trial]
) -> Iterator[str]:
    share, waiting = recording.loading_share, recording.loading_ms
    if share < WAITING_SHARE:
        return
    reading, changing = recording.spans_ms.get("read", 0.0), recording.spans_ms.get("augment", 0.0)
    line = (
        f"the step waits {share:.0%} for its data, {waiting:.2f} ms: {reading:.2f} reading, {changing:.2f} changing "
        "pictures"
    )
    costs = loading.augmentation_shares
    costliest = max(costs, key=lambda name: costs[name], default="")
    larger = _large_enough(trials)
    if costliest and costs[costliest] >= _MUCH_OF_THE_WAIT:
        yield f"{line}; without {costliest} {costs[costliest]:.0%} less: leave it out, or make it less"
    elif loading.mapping_share >= _MUCH_OF_THE_WAIT:
        yield (
            f"{line}; from memory {loading.mapping_share:.0%} less, but the examples are {surroundings.data}, more "
            "than a quarter of the memory: give the process more, or make them smaller (data.size)"
        )
    elif larger is not None:
        yield f"{line}: {larger.setting} reads more examples at once, {larger.gain:.2f} times as many a second"


def _large_enough(trials: Sequence[Trial]) -> Trial | None:
    """The smallest larger batch that is nearly as fast as the fastest one; None where none is much faster."""
    tried = [trial for trial in trials if trial.kind == "batch size"]
    best = max((trial.gain for trial in tried), default=0.0)
    fast = [trial for trial in tried if trial.gain >= max(GAIN, _NEARLY * best)]
    return min(fast, key=lambda trial: trial.batch_size, default=None)


def _batch_size(recording: Recording, trials: Sequence[Trial]) -> Iterator[str]:
    trial = _large_enough(trials)
    if trial is not None:
        yield (
            f"batch {recording.batch_size} trains {1 / trial.gain:.0%} of the examples a second that batch "
            f"{trial.batch_size} does: try {trial.setting}, {trial.gain:.2f} times as fast (fewer steps an epoch learn "
            "otherwise: look at the curves, and at train.learning_rate)"
        )


def _precision(surroundings: Surroundings, trials: Sequence[Trial]) -> Iterator[str]:
    for trial in _gaining(trials, "mixed precision"):
        yield f"{surroundings.precision} is slower here: {trial.setting} trains {trial.gain:.2f} times as fast"


def _optimizer(recording: Recording, surroundings: Surroundings, trials: Sequence[Trial]) -> Iterator[str]:
    share = recording.share(recording.spans_ms.get("optimizer", 0.0))
    for trial in _gaining(trials, "accumulate") if share >= OPTIMIZER_SHARE else ():
        yield (
            f"the optimizer ({surroundings.optimizer}) takes {share:.0%} of each step, whatever the size of the batch: "
            f"{trial.setting} trains {trial.gain:.2f} times as fast (fewer steps an epoch learn otherwise)"
        )


def _threads(surroundings: Surroundings, trials: Sequence[Trial]) -> Iterator[str]:
    for trial in _gaining(trials, "threads"):
        yield (
            f"torch computes on {surroundings.threads} of {surroundings.cores} cores: {trial.setting} in the "
            f"environment trains {trial.gain:.2f} times as fast (the last bits of the weights become others)"
        )


def _checkpointing(trials: Sequence[Trial]) -> Iterator[str]:
    for trial in _gaining(trials, "activation checkpointing"):
        yield (
            f"activations are computed again to save memory: {trial.setting} trains {trial.gain:.2f} times as fast "
            "where the memory is there"
        )


def _gaining(trials: Sequence[Trial], kind: TrialKind) -> Iterator[Trial]:
    return (trial for trial in trials if trial.kind == kind and trial.gain >= GAIN)
