"""Makes the question that a server must answer right: golden inputs of its archive as one request."""

from __future__ import annotations

from pipeline._handlers.answer_size import Extras, longest_answer, most_instances
from pipeline._handlers.request import MAX_BODY_BYTES
from pipeline.archive.golden_batch import golden_answers
from pipeline.archive.mar import Archive
from pipeline.errors import ServerError
from pipeline.serving.encoding import encode_instances
from pipeline.serving.question import Question

# Bytes of golden inputs posted in one request, as JSON: enough to mean something, small beside the server's limit.
_PART_BYTES = 1 << 20
# More examples might take a slow model longer than the deadline of a request.
_PART_EXAMPLES = 8


def golden_question(archive: Archive, *, accepted: bool = False) -> Question:
    """Return a request of as many golden inputs as fit well.

    Args:
        archive: archive that was read and checked.
        accepted: whether an operator accepts a host whose answers differ.

    Raises:
        ServerError: not even one fits into a request.
    """
    inputs = archive.serving.inputs
    arrays, logits = golden_answers(archive)
    single = encode_instances(inputs, {name: array[:1] for name, array in arrays.items()})
    if len(single) <= MAX_BODY_BYTES:
        # Where the batch shifts an answer, only copies of one example are sure to give what it gives alone.
        serving = archive.serving
        runtime = serving.runtime
        room = most_instances(serving, longest_answer(serving), Extras(logits=True))
        fitting = min(_PART_BYTES // len(single), _PART_EXAMPLES, room)
        count = max(1, fitting) if runtime.batch_invariant or runtime.one_by_one else 1
        body = encode_instances(inputs, {name: array[:count] for name, array in arrays.items()})
        return Question(body=body, content_type="application/json", expected=logits[:count], accepted=accepted)
    raw = arrays[inputs[0].name][0].tobytes()
    if len(inputs) == 1 and len(raw) <= MAX_BODY_BYTES:
        return Question(body=raw, content_type="application/octet-stream", expected=logits[:1], accepted=accepted)
    raise ServerError(
        f"{archive.path}: expected inputs that fit into a request of {MAX_BODY_BYTES} bytes, found {len(single)} bytes"
    )
