// Who would win under a budget: the rule of `choose` (pipeline/candidates/choose.py), over figures that Python computed.
// A test holds its answers against those of `choose` itself.
function whoWins(rivals, budget) {
  const inside = rivals.filter(rival => isInside(rival, budget));
  if (!inside.length) return null;
  // Of equal costs the first counts.
  const best = inside.reduce((least, rival) => (rival.cost < least.cost ? rival : least));
  const simplest = [...inside].sort((one, other) => one.rank - other.rank || one.cost - other.cost);
  const chosen = simplest.find(rival => best.no_gain_over.includes(rival.name)) || simplest.at(-1);
  return { chosen: chosen.name, best: best.name, inside: inside.length };
}

function isInside(rival, budget) {
  return rival.bound === null || (rival.bound <= budget && rival.calm);
}

// What a winner costs and loses beside the one that the build chose, as measured; empty where it is that one.
function gainsInWords(tradeOff, winner) {
  const own = tradeOff.points.find(point => point.state === "chosen"), other = tradeOff.points.find(point => point.name === winner);
  if (!own || !other || own === other) return "";
  const parts = tradeOff.axes.map(({ name, unit, costs }) => `${name} ${figure(costs[other.name][0])} instead of ${figure(costs[own.name][0])} ${unit}`);
  const points = 100 * (other.drop - own.drop), lost = Math.abs(points).toFixed(2);
  parts.push(lost === "0.00" ? "as much lost" : `${lost} points ${points < 0 ? "less" : "more"} lost`);
  return `Beside ${own.name}, which the build chose: ${parts.join(", ")}.`;
}

// The same in words, with the reason that a build gives.
function winnerInWords(tradeOff, axis, budget) {
  const points = `${(budget * 100).toFixed(2)}\u00a0points`;
  const result = whoWins(axis.rivals, budget);
  if (!result) return `With a budget of ${points}, no candidate would be inside its limits.`;
  const gain = `${Math.round(tradeOff.minimum_gain * 100)}%`;
  const why = result.chosen === result.best
    ? `best ${axis.goal} of the ${result.inside} candidates inside their limits`
    : `${result.best} shows no certain gain of ${gain} in ${axis.goal} over this simpler candidate`;
  return `With a budget of ${points}, ${result.chosen} would win: ${why}.`;
}
