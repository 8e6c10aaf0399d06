"""The forms in which requests and their answers are written: a closed table, and the one place that tells them apart.

A form owns both directions: it knows what a body holds, how many answers fit into one response, and how a response is
written. What is the same for every form is here: how large a body may be, that it must not be compressed, and which
form it has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from .answer_size import AnswerRoom, Extras, longest_answer
from .bad_request import BadRequest
from .decode import InputSpec
from .effort import Effort
from .json_instances import V1_MEDIA, JsonInstances
from .limits import Deadline, Limits
from .picture_body import PictureBody
from .picture_kinds import describe_bytes, picture_kind
from .pixel_budget import PixelBudget
from .raw_body import RAW_MEDIA, RawBody, raw_length
from .request import MAX_BODY_BYTES, Answered, FormName, FormNotTakenError, Request
from .tensor_answer import output_shapes
from .tensor_body import TENSORS_MEDIA, TensorBody

if TYPE_CHECKING:
    from .description import Serving
    from .predictor import Predictor

# Answers of at most so many outputs are written together; of larger ones each takes enough time and memory alone.
_FEW_OUTPUTS = 1024
_GZIP = b"\x1f\x8b"
# The first key of a JSON object tells its form. It must begin within so many bytes.
_HEAD_BYTES = 1024
_FIRST_KEY = re.compile(r'[ \t\n\r]*\{[ \t\n\r]*"([^"\\]*)"')


class BodyForm(Protocol):
    """One form of a request's body, and of its answer."""

    def accepted(self, inputs: Sequence[InputSpec]) -> str:
        """Describe a body of this form for a model, for messages; empty where the model takes none."""

    def decode(self, body: bytes, media: str, inputs: Sequence[InputSpec], effort: Effort) -> Request:
        """Decode a body to the arrays that the model takes.

        Args:
            body: the body as received, neither empty nor too large.
            media: the declared media type, as `media_type` gives it; empty if there was none.
            inputs: the model's inputs.
            effort: the resources that the request may still use.

        Raises:
            BadRequest: the body is wrong; the text says what was expected and found.
            FormNotTakenError: the model takes no body of this form.
        """

    def most_instances(self, serving: Serving, longest: Mapping[str, Any], extras: Extras) -> int:
        """Count the instances that fit into one answer, whatever they are; 0 where not even one fits.

        Args:
            serving: the model's labels and inputs.
            longest: the longest answer to one instance, without extras.
            extras: what each answer holds besides it.
        """


class TaskForm(BodyForm, Protocol):
    """A form whose responses hold the task's answers."""

    def join(self, answers: Sequence[str]) -> bytes:
        """Write the body of a response from the JSON of the answer to each instance."""


class OwnForm(BodyForm, Protocol):
    """A form that writes its responses itself."""

    def encode(self, predictor: Predictor, request: Request, logits: NDArray[np.float32], extras: Extras) -> bytes:
        """Write the body of the answer to a request, from logits (N, K)."""


class JsonForm(BodyForm, Protocol):
    """A form whose body is a JSON object."""

    @property
    def keys(self) -> frozenset[str]:
        """Keys of the object; no other JSON form has one of them."""

    def decode_document(self, document: object, inputs: Sequence[InputSpec], effort: Effort) -> Request:
        """Decode a document that a server parsed already: an object, a list, a number.

        Raises:
            BadRequest: the document is wrong; the text says what was expected and found.
        """


TASK_FORMS: dict[FormName, TaskForm] = {"picture": PictureBody(), "raw": RawBody(), "instances": JsonInstances()}
JSON_FORMS: dict[FormName, JsonForm] = {"instances": JsonInstances(), "tensors": TensorBody()}
# Messages name the forms in this order.
FORMS: dict[FormName, BodyForm] = {**TASK_FORMS, **JSON_FORMS}
# This form refuses JSON that begins with no form's key, and says what it expected.
_USUAL_JSON: FormName = "instances"


def form_of(body: bytes, media: str, inputs: Sequence[InputSpec]) -> FormName | None:
    """Tell which form a body has; None if it has none that is known.

    A declared type is believed, with two exceptions: a picture is recognised by its first bytes, and where the type is
    unknown (curl declares a form by default) the content of the body decides.

    Args:
        body: the body as received.
        media: the declared media type, as `media_type` gives it; empty if there was none.
        inputs: the model's inputs.
    """
    if media.startswith(TENSORS_MEDIA):
        return "tensors"
    if media == V1_MEDIA:
        return "instances"
    if media == "application/json" or media.endswith("+json"):
        return _json_form(_first_key(body))
    if media == RAW_MEDIA:
        of_another_length = raw_length(inputs) not in (None, len(body))
        instead = of_another_length and inputs[0].decoding is not None and picture_kind(body) is not None
        return "picture" if instead else "raw"
    if media.startswith("image/") or picture_kind(body) is not None:
        return "picture"
    return _json_form(_first_key(body)) if body.lstrip()[:1] == b"{" else None


def media_type(content_type: str) -> str:
    """Return the media type in lower case; without its parameters, unless a form reads them."""
    content_type = content_type.strip().lower()
    media = content_type.partition(";")[0].rstrip()
    return content_type if media == TENSORS_MEDIA else media


def decode_request(
    body: object,
    content_type: str,
    inputs: Sequence[InputSpec],
    *,
    limits: Limits | None = None,
    rooms: Callable[[FormName], AnswerRoom] | None = None,
    deadline: Deadline | None = None,
) -> Request:
    """Decode a request body of any accepted form.

    Args:
        body: the bytes as received; where the server decoded them already, text or whatever JSON can hold.
        content_type: the declared media type, with or without parameters; empty if there was none.
        inputs: the model's inputs.
        limits: limits on pictures; without them, only memory limits a picture.
        rooms: function from a form to the largest answer; None for no limit.
        deadline: the time for the worker's call.

    Returns:
        At least one instance, each checked against the inputs.

    Raises:
        BadRequest: the body is wrong; the text says what was expected and found.
    """
    if deadline is not None:
        deadline.check()
    if isinstance(body, str):
        body = body.encode("utf-8", "surrogatepass")
    if not isinstance(body, (bytes, bytearray)):  # a stock TorchServe parses JSON itself: an object, a list, a number
        json_form = _json_form(next(iter(body), None) if isinstance(body, Mapping) else None)
        return JSON_FORMS[json_form].decode_document(body, inputs, _effort(json_form, limits, rooms, deadline))
    body = bytes(body)
    media = media_type(content_type)
    _require_readable(body, media, inputs)
    form = form_of(body, media, inputs)
    if form is None:
        shown = f"content type {media or '(none)'} and {describe_bytes(body)}"
        raise BadRequest("request body of an unknown kind", expected=_accepted_bodies(inputs), found=shown, status=415)
    effort = _effort(form, limits, rooms, deadline)
    try:
        return FORMS[form].decode(body, media, inputs, effort)
    except FormNotTakenError as refusal:
        raise BadRequest(refusal.error, expected=_accepted_bodies(inputs), found=refusal.found, status=415) from None


def encode_response(predictor: Predictor, request: Request, logits: NDArray[np.float32], extras: Extras) -> bytes:
    """Write the body of a response, in the form of its request.

    Args:
        predictor: the model that answered.
        request: the decoded request.
        logits: outputs (N, K), one row per instance of the request.
        extras: what each answer holds besides the task's own fields.
    """
    [body] = encode_responses(predictor, [Answered(request, logits, extras)])
    return body


def encode_responses(predictor: Predictor, answered: Sequence[Answered]) -> list[bytes]:
    """Write the bodies of several responses, each in the form of its request.

    The small answers are written together: of 32 of them, each takes a third of the time.
    """
    small = [entry.logits for entry in answered if _is_small(entry)] if len(answered) > 1 else []
    written = iter(predictor.write(np.concatenate(small)) if small else ())
    bodies = []
    for entry in answered:
        form = TASK_FORMS.get(entry.request.form)
        if form is None:
            bodies.append(cast("OwnForm", FORMS[entry.request.form]).encode(predictor, *entry))
        else:
            answers = [next(written)] if small and _is_small(entry) else predictor.write(entry.logits)
            bodies.append(form.join(predictor.complete(answers, entry)))
    return bodies


def _is_small(answered: Answered) -> bool:
    """Tell whether a response holds the task's answer to one instance, made of few outputs."""
    count, columns = answered.logits.shape
    return count == 1 and columns <= _FEW_OUTPUTS and answered.request.form in TASK_FORMS


class AnswerRooms:
    """The limits on the instances of a request to one model, which are known before any request.

    Args:
        serving: the model's labels and inputs.
    """

    def __init__(self, serving: Serving) -> None:
        longest = longest_answer(serving)
        tensors = tuple(output_shapes(serving))
        choices = [Extras(logits=logits, decoded=decoded) for logits in (False, True) for decoded in (False, True)]
        self._rooms = {
            (extras.logits, extras.decoded): {
                name: AnswerRoom(
                    most=form.most_instances(serving, longest, extras), extras=str(extras), tensors=tensors
                )
                for name, form in FORMS.items()
            }
            for extras in choices
        }
        self._largest = {key: max(rooms.values(), key=lambda room: room.most) for key, rooms in self._rooms.items()}

    def room(self, form: FormName, extras: Extras) -> AnswerRoom:
        """Return the limit for a request of this form that asks for these extras."""
        return self._rooms[extras.logits, extras.decoded][form]

    def rooms(self, extras: Extras) -> Mapping[FormName, AnswerRoom]:
        """Return the limits for a request that asks for these extras, by form.

        Raises:
            BadRequest: no form has room for an answer, so nothing of the body matters; the status is 413.
        """
        key = extras.logits, extras.decoded
        self._largest[key].require(1)
        return self._rooms[key]


def require_small(body: bytes) -> None:
    """Refuse a body that is too large, whatever its form.

    Raises:
        BadRequest: it is too large; the status is 413.
    """
    if len(body) > MAX_BODY_BYTES:
        raise BadRequest(
            "request body too large", expected=f"at most {MAX_BODY_BYTES} bytes", found=f"{len(body)} bytes", status=413
        )


def require_no_encoding(header: str, encodings: str) -> None:
    """Refuse a body that was compressed for the transfer: it is never decompressed here.

    Args:
        header: name of the header.
        encodings: value of the header, a list with commas; empty if there was none.

    Raises:
        BadRequest: the body is compressed; the text names the encodings.
    """
    if not encodings:
        return
    # The server itself joins the parts of a chunked body.
    packed = {encoding.strip().lower() for encoding in encodings.split(",")} - {"", "identity", "chunked"}
    if packed:
        raise _packed_body(f"{header}: {', '.join(sorted(packed))}")


def _require_readable(body: bytes, media: str, inputs: Sequence[InputSpec]) -> None:
    """Refuse a body that no form can read: one with too many bytes, with none, or with compressed ones."""
    require_small(body)
    if not body:
        raise BadRequest("empty request body", expected=_accepted_bodies(inputs), found="0 bytes")
    if body.startswith(_GZIP) and media != RAW_MEDIA and not media.startswith(TENSORS_MEDIA):
        raise _packed_body("a body packed by gzip")


def _packed_body(encoding: str) -> BadRequest:
    return BadRequest(
        "packed request body", expected="the body as it is, without a content encoding", found=encoding, status=415
    )


def _effort(
    form: FormName,
    limits: Limits | None,
    rooms: Callable[[FormName], AnswerRoom] | None,
    deadline: Deadline | None,
) -> Effort:
    """Return the resources of a request of this form, and require that at least one answer fits into its room."""
    room = None if rooms is None else rooms(form)
    if room is not None:
        room.require(1)
    return Effort(pixels=PixelBudget() if limits is None else PixelBudget(limits.pixels), room=room, deadline=deadline)


def _json_form(first_key: Any) -> FormName:
    return next((name for name, form in JSON_FORMS.items() if first_key in form.keys), _USUAL_JSON)


def _first_key(body: bytes) -> str | None:
    """Read the first key of a JSON object; None where the beginning of the body does not show it."""
    match = _FIRST_KEY.match(body[:_HEAD_BYTES].decode(json.detect_encoding(body), "replace"))
    return None if match is None else match[1]


def _accepted_bodies(inputs: Sequence[InputSpec]) -> str:
    """Describe the bodies that the model takes, for messages."""
    return ", or ".join(filter(None, (form.accepted(inputs) for form in FORMS.values())))
