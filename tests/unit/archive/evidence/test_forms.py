"""Evidence told in other people's formats, held against their own schemas."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format  # type: ignore[import-untyped]
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from pipeline.archive.evidence.cyclonedx import cyclonedx_bom
from pipeline.archive.evidence.document import Evidence, PassEvidence, Subject
from pipeline.archive.evidence.model_card import model_card
from pipeline.archive.evidence.slsa import slsa_statement
from tests.evidence_sample import sample_evidence

EVIDENCE = Evidence.model_validate({**sample_evidence(), "members": {"model.onnx": "1" * 64}})
SUBJECT = Subject(file="tiny.mar", sha256="a" * 64, digest="b" * 64, inputs=("image: uint8 of shape (1, 8, 6)",))


def test_ml_bom_fits_its_schema_and_is_the_same_every_time() -> None:
    bom = cyclonedx_bom(EVIDENCE, SUBJECT)
    text = json.dumps(bom)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert json.dumps(cyclonedx_bom(EVIDENCE, SUBJECT)) == text
    assert bom["specVersion"] == "1.6"
    model = bom["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert metrics[0] == {
        "type": "accuracy",
        "value": "0.93",
        "slice": "validation",
        "confidenceInterval": {"lowerBound": "0.8625", "upperBound": "0.9657"},
    }
    assert {metric["slice"] for metric in metrics} == {"validation", "test"}
    assert "pkg:pypi/torch@2.13.0%2Bcpu" in [component.get("purl") for component in bom["components"]]
    references = [component["bom-ref"] for component in bom["components"]]
    assert len(references) == len(set(references))
    assert {dataset["ref"] for dataset in model["modelCard"]["modelParameters"]["datasets"]} <= set(references)


def test_ml_bom_names_the_metric_of_the_task() -> None:
    document = {**sample_evidence(), "members": {"model.onnx": "1" * 64}}
    for quality in document["metrics"].values():
        quality["metric"] = "closeness"
    bom = cyclonedx_bom(Evidence.model_validate(document), SUBJECT)
    metrics = bom["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    assert [metric["type"] for metric in metrics] == ["closeness", "closeness drop against float"] * 2


def test_the_schema_would_notice() -> None:
    bom = cyclonedx_bom(EVIDENCE, SUBJECT)
    bom["metadata"]["component"]["modelCard"]["modelParameters"]["approach"]["type"] = "guessed"
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is not None


def test_provenance_is_a_statement_of_in_toto_with_the_predicate_of_slsa() -> None:
    document = slsa_statement(EVIDENCE, SUBJECT)
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert document["predicateType"] == "https://slsa.dev/provenance/v1"
    # Unknown fields are errors for this parser.
    statement = json_format.Parse(json.dumps(document), statement_pb2.Statement())
    Statement.copy_from_pb(statement).validate()
    assert dict(statement.subject[0].digest) == {"sha256": "a" * 64}
    provenance = json_format.ParseDict(document["predicate"], provenance_pb2.Provenance())
    assert provenance.build_definition.build_type == "pkg:generic/pipeline@0.1.0#build"
    assert provenance.run_details.builder.id == "pkg:generic/pipeline@0.1.0"
    names = {
        dependency.name: dict(dependency.digest) for dependency in provenance.build_definition.resolved_dependencies
    }
    assert names["user source nets.py"] == {"sha256": "3" * 64}
    assert names["data pictures, test split"] == {"sha256": "6" * 64}
    for dependency in document["predicate"]["buildDefinition"]["resolvedDependencies"]:
        assert "uri" in dependency or "digest" in dependency
    assert document["predicate"]["buildDefinition"]["externalParameters"]["recipe"] == EVIDENCE.recipe


def test_model_card() -> None:
    card = model_card(EVIDENCE, SUBJECT)
    assert card.startswith("# tiny 1.0\n")
    assert "| validation | 100 | 0.9300 (0.8625 to 0.9657) | 0.9400 | +1.00 points (-0.50 to +2.50) |" in card
    assert (
        "| **float.onnx.fp32** | 1.0e-06 | 1e-04 | its torch module | 0.9300 | +1.00 (+2.20) | within budget |" in card
    )
    assert f"`pipeline verify tiny.mar --digest {'b' * 64}`" in card
    assert "Intended use" in card
    assert "one-sided 95 % bound for that candidate alone, while its verdict rests on the larger bound" in card


def test_labels_are_text_in_a_model_card() -> None:
    evidence = EVIDENCE.model_copy(update={"labels": ("a|b", "<script>", "x\n# y")})
    card = model_card(evidence, SUBJECT)
    assert r"a\|b, \<script\>, x \# y" in card


def test_nothing_in_evidence_becomes_markup_of_a_model_card() -> None:
    evil = "x`y\n# z <script>alert(1)</script> ![p](http://a/) | b \x1b[2J ~~c~~ &lt;"
    packed = EVIDENCE.packed.model_copy(
        update={
            "verdict": evil,
            "passes": (PassEvidence(kind=evil, detail=evil),),
            "format": evil,
            "parity": EVIDENCE.packed.parity.model_copy(update={"reference": evil}),
        }
    )
    evidence = EVIDENCE.model_copy(
        update={
            "why": evil,
            "task": evil,
            "candidates": (packed,),
            "code": EVIDENCE.code.model_copy(update={"libraries": {evil: evil}, "python": evil}),
            "data": EVIDENCE.data.model_copy(update={"name": evil, "gaps": (evil,)}),
            "recipe": {**EVIDENCE.recipe, "model": {"name": evil}},
        }
    )
    card, usual = model_card(evidence, replace(SUBJECT, file=f"{evil}.mar")), model_card(EVIDENCE, SUBJECT)
    text = card.partition("```json")[0] + card.rpartition("```")[2]  # a recipe stands as JSON in a block of code
    text = re.sub(r"`[^`\n]*`", "", text)
    assert "\x1b" not in card
    assert "<script" not in text.replace(r"\<script", "")
    assert not re.search(r"(?<!\\)!\[|(?<!\\)\]\(", text)
    assert [line for line in card.splitlines() if line.startswith("#")][1:] == [
        line for line in usual.splitlines() if line.startswith("#")
    ][1:]
    rows = [re.sub(r"\\\|", "", line) for line in text.splitlines() if line.startswith("|")]
    assert {row.count("|") for row in rows} <= {4, 5, 6, 8}


def _unlabelled() -> Evidence:
    document = {**sample_evidence(), "members": {"model.onnx": "1" * 64}, "judged_by": "agreement with float"}
    for quality in document["metrics"].values():
        quality |= {"metric": "agreement with float", "accuracy": 0.99, "float_accuracy": 1.0}
    return Evidence.model_validate(document)


def test_without_labels_the_card_says_that_agreement_was_proven_and_no_accuracy() -> None:
    card = model_card(_unlabelled(), SUBJECT)
    assert "What was proven is agreement with the float network's decisions" in card
    assert "pictures, without labels; fine-tuned and calibrated on train" in card
    assert "| validation | 100 | 0.9900 (0.8625 to 0.9657) |" in card
    assert "How often the float network is right, and so the packed one: the data have no labels." in card
    assert "ccuracy" not in card.partition("## How it was made")[0]
    assert "1.0000" not in card
    assert "without labels" not in model_card(EVIDENCE, SUBJECT)


def test_without_labels_the_ml_bom_says_so_and_fits_its_schema() -> None:
    bom = cyclonedx_bom(_unlabelled(), SUBJECT)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is None
    card = bom["metadata"]["component"]["modelCard"]
    assert "approach" not in card["modelParameters"]
    assert "agreement with the float network" in card["considerations"]["technicalLimitations"][0]
    metrics = card["quantitativeAnalysis"]["performanceMetrics"]
    assert [metric["type"] for metric in metrics] == ["agreement with float"] * 2


def test_evidence_of_labelled_data_and_of_earlier_releases_does_not_speak_of_it() -> None:
    assert EVIDENCE.labelled
    assert "judged_by" not in EVIDENCE.model_dump(mode="json")
    assert _unlabelled().model_dump(mode="json")["judged_by"] == "agreement with float"
