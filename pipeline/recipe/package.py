"""Recipe sections of the archive, its check and its report: `[package]`, `[smoke]`, `[report]`."""

from __future__ import annotations

from pydantic import Field

from pipeline.recipe.names import ReportedExamples
from pipeline.recipe.section import LONGEST_NAME, NAME, Section


class Package(Section):
    """The archive."""

    name: str | None = Field(
        default=None,
        pattern=NAME,
        max_length=LONGEST_NAME,
        description="model name in the archive and in the URL; the recipe's name by default",
    )
    version: str = Field(
        default="1.0", pattern=NAME, max_length=LONGEST_NAME, description="model version in the archive"
    )
    golden: str = Field(
        default="validation",
        description="`validation` examples, `synthetic`, or a .npy file of raw inputs, relative to the recipe",
    )
    golden_size: int = Field(default=32, ge=1, le=256, description="golden inputs in the archive")
    max_pixels: int | None = Field(
        default=None,
        ge=4096,  # every picture counts for at least this many
        le=1 << 28,
        description="most pixels in the pictures of one request; each takes up to 8 bytes and 35 ns, twice that with "
        "transparency or 16 bits; by default 12,582,912, or up to 32,000,000 for a large input",
    )
    deadline_s: float = Field(
        default=10.0, ge=1, le=30, description="seconds after which a request that is not answered yet is refused"
    )


class Smoke(Section):
    """The check through a real server at the end of a build."""

    pictures: int = Field(default=16, ge=1, le=1000, description="validation examples posted to the server")
    timeout_s: float = Field(default=120.0, gt=0, description="longest wait for the server to be ready, in seconds")


class Report(Section):
    """The page `report.html` in the run directory."""

    examples: ReportedExamples | None = Field(
        default=None,
        description="validation examples that the page holds: those on which float and the winner disagree, or none; "
        "by default none where package.golden is not `validation`",
    )
