"""Plans how wide each layer of a smaller network is: a scan of what single layers can lose, and a ladder of plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline._handlers.model_file import run_chunks
from pipeline.candidates.context import Context
from pipeline.candidates.tune import training_inputs
from pipeline.checks.reference import module_reference
from pipeline.compress.channel_groups import prunable
from pipeline.compress.passes import apply_passes
from pipeline.errors import UsageError
from pipeline.recipe.passes import ChannelPruning

# Shares of a layer's channels that are tried.
LEVELS = (0.75, 0.5, 0.375, 0.25, 0.1875, 0.125, 0.0625)
# Number of training examples that a scan looks at. They are enough to tell layers apart.
SCAN_EXAMPLES = 1000
_BATCH = 128


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What one layer, pruned alone, does to the answers.

    Args:
        layer: name of the module; the first one's, where layers share their channels.
        divergence: divergence from float, in the task's unit, by the share of channels that stay. It never falls as the
            share does. Shares that leave no finite answers are left out.
    """

    layer: str
    divergence: Mapping[float, float]


@dataclass(frozen=True, kw_only=True)
class Aim:
    """What networks are narrowed for.

    Args:
        round_to: numbers whose multiples channel counts may become, in order. The first that narrows a layer is used.
        parameter_cost: weight of a parameter in a network's cost.
        mac_cost: weight of a multiply-accumulate of one example in a network's cost.
    """

    round_to: tuple[int, ...]
    parameter_cost: float
    mac_cost: float


@dataclass(frozen=True)
class Plan:
    """How much of each layer stays.

    Args:
        shares: shares of the channels that stay, by layer. Layers that are not named keep all.
        round_to: number whose multiples the channel counts that fall become.
    """

    shares: tuple[tuple[str, float], ...]
    round_to: int

    @property
    def pruning(self) -> ChannelPruning:
        """The pass that carries out the plan."""
        return ChannelPruning(keep=1.0, layers=dict(self.shares), round_to=self.round_to)


@dataclass
class Ladder:
    """Plans from wide to narrow, and what each costs. A cost is computed when it is first needed.

    Args:
        plans: plans, each at least as narrow in every layer as the one before.
        context: context of the network that is pruned.
        aim: weights of a network's cost.
    """

    plans: Sequence[Plan]
    context: Context
    aim: Aim
    _costs: dict[Plan, float] = field(default_factory=dict)

    def cost(self, plan: Plan) -> float:
        """Return the cost of the network that a plan leaves, as a share of the float network's."""
        if plan not in self._costs:
            _, [report] = apply_passes(self.context.deployable(), (plan.pruning,), example=self.context.example())
            remaining = self._count(report.parameters, sum(layer.macs for layer in report.layers))
            removed = self._count(report.removed_parameters, sum(layer.removed_macs for layer in report.layers))
            self._costs[plan] = remaining / (remaining + removed)
        return self._costs[plan]

    def nearest(self, cost: float) -> Plan:
        """Return the plan whose cost is nearest, by ratio."""
        low, high = 0, len(self.plans) - 1
        while low < high:  # costs fall from plan to plan
            middle = (low + high) // 2
            if self.cost(self.plans[middle]) > cost:
                low = middle + 1
            else:
                high = middle
        near = self.plans[max(low - 1, 0) : low + 1]
        return min(near, key=lambda plan: abs(np.log(self.cost(plan) / cost)))

    def _count(self, parameters: int, macs: int) -> float:
        return self.aim.parameter_cost * parameters + self.aim.mac_cost * macs


def scan(context: Context, *, round_to: int) -> list[Sensitivity]:
    """Prune each layer alone, to each level, without training, and see how far the answers move on training examples.

    The method is that of Li et al. 2017, "Pruning Filters for Efficient ConvNets", arXiv:1608.08710, section 3.2, with
    the divergence from float in place of the accuracy.

    Raises:
        UsageError: the network has no channels that may be removed, or it cannot be traced.
        TimeIsUpError: the limit is reached.
    """
    deployable, example = context.deployable(), context.example()
    inputs = training_inputs(context, SCAN_EXAMPLES)
    expected = run_chunks(module_reference(deployable, context.model.inputs).answer, inputs, _BATCH)
    groups = prunable(deployable, example=example)
    sensitivities = []
    refused: UsageError | None = None
    for number, group in enumerate(groups):
        context.reporter.progress("sensitivity", number, len(groups), group.layers[0])
        context.limit.check()
        divergence: dict[float, float] = {}
        largest = 0.0
        stayed = group.channels
        for level in LEVELS:
            plan = Plan(((group.layers[0], level),), round_to)
            if (stay := group.stay(level, round_to=round_to)) == stayed:
                continue
            stayed = stay
            try:
                pruned, _ = apply_passes(deployable, (plan.pruning,), example=example)
            except UsageError as error:
                # The network's code depends on the number of channels, as `x.view(-1, 400)` does. Other layers may
                # still be pruned.
                refused = error
                break
            answers = run_chunks(module_reference(pruned, context.model.inputs).answer, inputs, _BATCH)
            largest = max(largest, context.task.divergence(expected, answers, activation=context.model.outputs_are))
            if not np.isfinite(largest):
                break
            divergence[level] = largest
        sensitivities.append(Sensitivity(layer=group.layers[0], divergence=divergence))
    context.reporter.progress("sensitivity", len(groups), len(groups))
    if refused is not None and not any(sensitivity.divergence for sensitivity in sensitivities):
        raise refused
    return sensitivities


def plans(sensitivities: Sequence[Sensitivity], *, round_to: int) -> list[Plan]:
    """Return plans from wide to narrow. In each, every layer is as narrow as it can be without moving answers too far.

    The limit for "too far" grows from plan to plan, over all divergences that the scan measured.
    """
    limits = sorted({value for sensitivity in sensitivities for value in sensitivity.divergence.values()})
    ladder = []
    for limit in limits:
        shares = [
            (sensitivity.layer, min(fits))
            for sensitivity in sensitivities
            if (fits := [level for level, value in sensitivity.divergence.items() if value <= limit])
        ]
        ladder.append(Plan(tuple(shares), round_to))
    return list(dict.fromkeys(ladder))


def narrower(plan: Plan, sensitivities: Sequence[Sensitivity]) -> dict[str, Plan]:
    """Return by layer the plan in which this layer is as narrow as the next level that was scanned."""
    current = {sensitivity.layer: 1.0 for sensitivity in sensitivities} | dict(plan.shares)
    narrower_plans = {}
    for sensitivity in sensitivities:
        if levels := [level for level in sensitivity.divergence if level < current[sensitivity.layer]]:
            shares = current | {sensitivity.layer: max(levels)}
            narrowed = tuple((name, share) for name, share in shares.items() if share < 1)
            narrower_plans[sensitivity.layer] = Plan(narrowed, plan.round_to)
    return narrower_plans
