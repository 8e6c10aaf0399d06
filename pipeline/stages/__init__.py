"""The stages of a build. This is the one place that knows their order."""

from __future__ import annotations

from typing import Any

from pipeline.engine.stage import Stage
from pipeline.stages import candidates, data, package, select, smoke, train

BUILD: tuple[Stage[Any], ...] = (
    data.STAGE,
    train.STAGE,
    candidates.STAGE,
    select.STAGE,
    package.STAGE,
    smoke.STAGE,
)

TRAINING: tuple[Stage[Any], ...] = (data.STAGE, train.STAGE)
