"""Evidence as an in-toto Statement v1 with an SLSA Provenance v1 predicate.

The formats are https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md and
https://slsa.dev/spec/v1.0/provenance. The statement is unsigned and made by the builder itself. SLSA calls this Build
Level 1: it says where the artifact comes from, and does not keep anybody from saying something else. `pipeline sign`
adds a signature of the archive.
"""

from __future__ import annotations

from typing import Any

from pipeline.archive.evidence.document import Evidence, Subject, package_url

_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "https://slsa.dev/provenance/v1"


def slsa_statement(evidence: Evidence, subject: Subject) -> dict[str, Any]:
    """Return the statement, as JSON values; the same archive gives the same statement.

    Args:
        evidence: evidence of the archive.
        subject: the archive as a file.
    """
    code = evidence.code
    product = f"pkg:generic/{code.name}@{code.version}"
    return {
        "_type": _STATEMENT,
        "subject": [{"name": subject.file, "digest": {"sha256": subject.sha256}}],
        "predicateType": _PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": f"{product}#build",
                "externalParameters": {"recipe": evidence.recipe},
                "internalParameters": {"seeds": evidence.seeds},
                "resolvedDependencies": _dependencies(evidence, product),
            },
            "runDetails": {
                "builder": {"id": product, "version": {code.name: code.version, "python": code.python}},
                "byproducts": [
                    _resource("float network's weights", evidence.weights_sha256),
                    *(_resource(f"candidate {row.name}", row.sha256) for row in evidence.candidates),
                    *(_resource(f"{subject.file}/{name}", digest) for name, digest in evidence.members.items()),
                ],
            },
        },
    }


def _dependencies(evidence: Evidence, product: str) -> list[dict[str, Any]]:
    data, code = evidence.data, evidence.code
    return [
        {"uri": product, "name": f"{code.name}'s source", "digest": {"sha256": code.source_sha256}},
        *(_resource(f"user source {name}", digest) for name, digest in code.user_sources.items()),
        *(_resource(f"file {name}", digest) for name, digest in evidence.files.items()),
        *(_resource(f"data {data.name}, file {name}", digest) for name, digest in data.sources.items()),
        *(_resource(f"data {data.name}, {split} split", digest) for split, digest in data.digests.items()),
        *({"uri": package_url(name, version), "name": name} for name, version in code.libraries.items()),
    ]


def _resource(name: str, sha256: str) -> dict[str, Any]:
    return {"name": name, "digest": {"sha256": sha256}}
