"""A recipe's float network from several seeds: `python -m benchmarks.seeds RECIPE`; the data stay as they are split.

Each is a build of its own, so what is there already is not trained again. The test set is opened once per seed, at the
end of its build; settings are tuned on validation alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path

import pipeline
from pipeline.cli.render.terminal import Terminal
from pipeline.errors import PipelineError

# Overrides that build the float network alone.
_FLOAT_ONLY = (
    "search.effort=off",
    "candidates.variants=[]",
    'candidates.formats=["onnx"]',
    "select.candidate=float.onnx.fp32",
)


def main() -> int:
    """Build, and print accuracies.

    Returns:
        0, or the exit code of what went wrong.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", nargs="?", default="fashion-cnn-best", help="built-in name or TOML file")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of initialisation and training")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the run directories go")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    validation, test = [], []
    for seed in arguments.seeds:
        folder = arguments.runs / f"{Path(arguments.recipe).stem}-seed{seed}"
        try:
            with Terminal() as terminal:
                result = pipeline.build(
                    arguments.recipe,
                    run_dir=folder,
                    model_store=folder / "store",
                    overrides=[*_FLOAT_ONLY, f"train.seed={seed}"],
                    reporter=terminal,
                )
        except PipelineError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
        report = next(row.report for row in result.candidates if row.selected)
        trained = next(stage for stage in result.stages if stage.stage == "train")
        took = f"trained in {trained.seconds / 60:.1f} minutes" if trained.action == "ran" else "trained before"
        validation.append(report.quality.accuracy)
        test.append(result.test.accuracy)
        print(f"seed {seed}: validation {validation[-1]:.4f}, test {test[-1]:.4f}, {took}", flush=True)
    for split, accuracies in (("validation", validation), ("test", test)):
        spread = f", standard deviation {statistics.stdev(accuracies):.4f}" if len(accuracies) > 1 else ""
        print(
            f"{split}: mean {statistics.mean(accuracies):.4f}, from {min(accuracies):.4f} to {max(accuracies):.4f}"
            f"{spread}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
