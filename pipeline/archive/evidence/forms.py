"""The forms in which an archive's evidence can be told, once for the command line and for the code that does it."""

from __future__ import annotations

from typing import Literal

# JSON documents: the evidence as it is, SLSA provenance, a CycloneDX ML-BOM.
DocumentForm = Literal["json", "slsa", "cyclonedx"]
# The same, and a model card.
Form = Literal[DocumentForm, "markdown"]
