"""Inputs of a table's rows: values without names, and columns by name."""

from __future__ import annotations

from pipeline._handlers.columns import Column
from pipeline._handlers.decode import InputSpec

FLAT = InputSpec(name="features", dtype="float32", shape=(2,), low=-9.0, high=9.0)
NAMED = InputSpec(
    name="features",
    dtype="float32",
    shape=(2,),
    low=-9.0,
    high=9.0,
    columns=(Column(name="age"), Column(name="sex", categories=("female", "male"))),
)
