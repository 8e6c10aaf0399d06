"""Goes through the questions of `pipeline init`, looks at what it is told, and puts a recipe together."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any, get_args

from pipeline.candidates.choose import adjusted_confidence
from pipeline.commands.start.answers import Answers, InputEndedError
from pipeline.commands.start.data_facts import (
    PictureFacts,
    TableFacts,
    look_at_labels,
    look_at_pictures,
    look_at_table,
    suggest_task,
)
from pipeline.commands.start.look import Seen, look_at_network, look_at_recipe
from pipeline.commands.start.texts import (
    PIXELS,
    classes_of,
    mode_of,
    number_of,
    pixels_of,
    relative_of,
    size_of,
    whole_of,
)
from pipeline.errors import UsageError
from pipeline.recipe.names import FACTORY, NETWORKS, PUBLISHED, meant
from pipeline.recipe.task import TaskName

NONE = "none"
_TABLES = (".csv", ".tsv", ".parquet")
_EPOCHS, _EPOCHS_OF_A_HEAD = 10, 6
# About as many candidates are compared in a build with its search; the bound of each is adjusted for all.
_COMPARED = 40
# Below so many examples not one confident flip is allowed by the usual limit of one in a thousand.
_ENOUGH = 1000
_SMALL_BATCH, _FEW = 32, 2000
_MODEL = "Your network: module:function, or a name (mlp, resnet18, torchvision:NAME, timm:NAME)"
_DATA = "Your data: a folder of pictures, a table (.csv, .tsv, .parquet), or module:function of a DataSet"


@dataclass(kw_only=True)
class _Draft:
    """What is known so far: sections of the recipe, and what the data are."""

    folder: Path
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    facts: PictureFacts | TableFacts | None = None

    @property
    def published_weights(self) -> bool:
        return re.fullmatch(PUBLISHED, str(self.model.get("weights"))) is not None

    @property
    def labelled(self) -> bool:
        return not (isinstance(self.facts, PictureFacts) and self.facts.layout == "none")


def interview(answers: Answers, folder: Path, *, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Ask, look, and return a recipe that a build takes, and remarks on its keys.

    Args:
        answers: where answers come from.
        folder: folder of the recipe.
        name: name of the recipe.

    Raises:
        UsageError: an answer is missing or wrong, and nobody can be asked again.
    """
    while True:
        try:
            draft = _draft(answers, folder)
            document = {
                "name": name,
                "model": draft.model,
                "data": draft.data,
                "task": draft.task,
                "train": draft.train,
            }
            document = {key: value for key, value in document.items() if value}
            answers.tell("  reading the data and trying the network; this takes some seconds ...")
            seen = look_at_recipe(document, folder)
        except UsageError as error:
            if answers.person is None or isinstance(error, InputEndedError):
                raise
            answers.tell(f"  {error}")
            answers.tell("  Once more; Enter keeps an answer.")
            answers.again()
            continue
        _tell(answers, seen)
        budget, remarks = _budget(answers, draft, seen)
        return document | {"budget": budget}, remarks


def _draft(answers: Answers, folder: Path) -> _Draft:
    draft = _Draft(folder=folder)
    _ask_model(answers, draft)
    _ask_data(answers, draft)
    if isinstance(draft.facts, PictureFacts):
        _ask_pictures(answers, draft, draft.facts)
    elif isinstance(draft.facts, TableFacts):
        _ask_targets(answers, draft, draft.facts, question="Columns to predict, joined by commas")
    _try_network(answers, draft)
    _ask_training(answers, draft)
    return draft


def _ask_model(answers: Answers, draft: _Draft) -> None:
    def check(text: str) -> dict[str, Any]:
        if text in NETWORKS:
            return {"name": text, **({"arguments": {"hidden": [64, 64]}} if text == "mlp" else {})}
        if re.fullmatch(PUBLISHED, text):
            from pipeline.presets import default_weights

            default_weights(text)
            return {"name": text}
        if re.fullmatch(FACTORY, text) is None:
            raise UsageError(
                f"expected module:function or a name, such as {', '.join(NETWORKS)}{meant(text, NETWORKS)}"
            )
        model = {"factory": text}
        if answers.person is not None:
            _tell_network(answers, look_at_network(model, draft.folder))
        return model

    draft.model = answers.get("model", _MODEL, _usual_model(answers), check)
    own = draft.model.get("name", "")
    default = NONE
    if re.fullmatch(PUBLISHED, own):
        from pipeline.presets import default_weights

        default = default_weights(own) or NONE

    def check_weights(text: str) -> str | None:
        if text == NONE or re.fullmatch(PUBLISHED, text):
            return None if text == NONE else text
        if not Path(text).exists():
            raise UsageError(f"expected a file of weights, a folder of them, or {NONE}; found nothing there")
        weights = relative_of(text, draft.folder)
        if answers.person is not None and "factory" in draft.model:
            look_at_network({**draft.model, "weights": weights}, draft.folder)
        return weights

    weights = answers.get(
        "weights", f"Its weights: a file, or {NONE} to train it from the start", default, check_weights
    )
    if weights is not None:
        draft.model["weights"] = weights


def _usual_model(answers: Answers) -> str | None:
    """The network where nobody names one: as usual for a table, or for pictures."""
    data = answers.given.data
    if answers.person is not None or data is None or re.fullmatch(FACTORY, data):
        return None
    return "mlp" if Path(data).suffix.lower() in _TABLES else "resnet18"


def _ask_data(answers: Answers, draft: _Draft) -> None:
    def check(text: str) -> tuple[dict[str, Any], PictureFacts | TableFacts | None]:
        place = Path(text)
        if place.is_dir():
            return {"folder": relative_of(text, draft.folder)}, look_at_pictures(place)
        if place.is_file():
            return {"table": relative_of(text, draft.folder)}, look_at_table(place)
        if re.fullmatch(FACTORY, text):
            return {"factory": text}, None
        raise UsageError("expected a folder, a file or module:function, found nothing there")

    draft.data, draft.facts = answers.get("data", _DATA, None, check)
    if draft.facts is not None:
        answers.tell(f"  {draft.facts.words}")


def _ask_pictures(answers: Answers, draft: _Draft, facts: PictureFacts) -> None:
    place = draft.folder / draft.data["folder"]

    def check_labels(text: str) -> TableFacts:
        if text not in facts.labels:
            raise UsageError(f"expected one of {', '.join(facts.labels)}, found {text!r}")
        return look_at_labels(place / text)

    if facts.layout == "labels":
        table = answers.get("labels", "File of labels beside the pictures", facts.labels[0], check_labels)
        draft.data["labels"] = answers.earlier.get("labels") or answers.given.labels or facts.labels[0]
        _ask_targets(answers, draft, table, question="Columns of labels, joined by commas", default=table.header)
    weights = draft.model.get("weights")
    if draft.published_weights:
        draft.model["preprocessing"] = weights
        if draft.labelled:
            draft.model["head"] = "replace"
    elif weights is not None or answers.given.preprocessing is not None:
        seen = answers.get(
            "preprocessing", f"How it sees pixels: {', '.join(PIXELS)} or torchvision:WEIGHTS", None, pixels_of
        )
        draft.model["preprocessing"] = seen
    if isinstance(draft.model.get("preprocessing"), str) and answers.given.size is None:
        return  # the published network says size and colours, too
    size = f"{facts.size[0]}x{facts.size[1]}"
    draft.data["size"] = answers.get("size", "Height and width of its input, in pixels", size, size_of)
    mode = answers.get("mode", "Colour or grey: RGB or L", "L" if facts.grey else "RGB", mode_of)
    draft.data |= {} if mode == "RGB" else {"mode": mode}


def _ask_targets(
    answers: Answers, draft: _Draft, table: TableFacts, *, question: str, default: tuple[str, ...] = ()
) -> None:
    """Ask which columns are predicted, and what for."""

    def check(text: str) -> tuple[list[str], Any]:
        names = [part.strip() for part in text.split(",") if part.strip()]
        return names, suggest_task(table, names)

    names, suggested = answers.get("targets", question, ",".join(default or table.header[-1:]), check)
    answers.tell(f"  {suggested.words}")
    if draft.data.get("labels") is None:
        draft.data |= {"targets": names, **table.settings(names)}
    elif tuple(names) != table.header:
        draft.data["targets"] = names
    kind = _ask_task(answers, suggested.task)
    if kind == "regression":
        tolerance = answers.get(
            "tolerance",
            "How far off an answer may be and still be right, in the column's unit",
            f"{suggested.tolerance or 1.0:g}",
            lambda text: number_of(text, least=0.0),
        )
        draft.task = {"kind": kind, "tolerance": tolerance}
    elif kind != "classification":
        draft.task = {"kind": kind}


def _ask_task(answers: Answers, suggested: TaskName) -> TaskName:
    def check(text: str) -> TaskName:
        for name in get_args(TaskName):
            if text == name:
                return name  # type: ignore[no-any-return]
        raise UsageError(f"expected one of {', '.join(get_args(TaskName))}{meant(text, get_args(TaskName))}")

    return answers.get("task", "What it is for", suggested, check)


def _try_network(answers: Answers, draft: _Draft) -> None:
    """Call the user's own network on what the data say, and take from its answer what the data do not say."""
    shape = _shape(draft)
    asked = draft.facts is None or not draft.labelled
    if "factory" in draft.model and shape is not None and (answers.person is not None or asked):
        seen = look_at_network(draft.model, draft.folder, shape=shape)
        answers.tell(f"  it answers two examples with {seen.output}{_suggestion(seen)}")
        if not draft.labelled:
            _name_outputs(answers, draft, seen)
    elif draft.facts is None:
        kind = _ask_task(answers, "classification")
        draft.task = {} if kind == "classification" else {"kind": kind}
    elif not draft.labelled and not draft.published_weights:
        draft.data["classes"] = answers.get("classes", _CLASSES, None, lambda text: classes_of(text, draft.folder))


_CLASSES = "Names of its outputs, in their order: joined by commas, or a text file with one on each line"


def _name_outputs(answers: Answers, draft: _Draft, seen: Seen) -> None:
    """Name the outputs of a network whose data have no labels; without one value for each class there is no class."""
    if seen.outputs is None or seen.outputs < 2:
        draft.task = {"kind": "outputs"}
        return
    default = ",".join(f"class {number}" for number in range(seen.outputs))

    def check(text: str) -> str | list[str]:
        names = classes_of(text, draft.folder)
        if isinstance(names, list) and len(names) != seen.outputs:
            raise UsageError(f"expected {seen.outputs} names, found {len(names)}")
        return names

    draft.data["classes"] = answers.get("classes", _CLASSES, default, check)


def _ask_training(answers: Answers, draft: _Draft) -> None:
    weights, head = "weights" in draft.model, draft.model.get("head") == "replace"
    epochs = _EPOCHS_OF_A_HEAD if head else 0 if weights or not draft.labelled else _EPOCHS
    draft.train["epochs"] = answers.get("epochs", "Epochs of training", str(epochs), whole_of)
    examples = draft.facts.examples if isinstance(draft.facts, PictureFacts) else None
    if isinstance(draft.facts, TableFacts):
        examples = len(next(iter(draft.facts.cells.values())))
    if draft.train["epochs"] and examples is not None and examples < _FEW:
        draft.train["batch_size"] = _SMALL_BATCH


def _budget(answers: Answers, draft: _Draft, seen: Seen) -> tuple[dict[str, Any], dict[str, str]]:
    """Ask what may be lost; the default is what so many examples can prove."""
    examples = seen.sizes["validation"]
    square = NormalDist().inv_cdf(adjusted_confidence(_COMPARED)) ** 2
    least = 100 * square / (examples + square)
    default = 1 if least <= 1 else min(50, math.ceil(1.2 * least))
    remarks = {}
    if default > 1:
        proof = f"{examples:,} validation examples prove no loss below {least:.1f} points"
        answers.tell(f"  {proof}")
        remarks["budget.max_accuracy_drop"] = f"what may be lost, 0.01 for one point; {proof}"
    points = answers.get(
        "budget", "What a smaller network may lose, in points", str(default), lambda text: number_of(text, least=0.0)
    )
    if points >= 100:
        raise UsageError(f"--budget {points:g}: expected points below 100")
    budget: dict[str, Any] = {"max_accuracy_drop": round(points / 100, 6)}
    if draft.task.get("kind", "classification") == "classification" and examples < _ENOUGH:
        budget["max_confident_flips"] = math.ceil(1e4 / examples) / 1e4
    return budget, remarks


def _tell_network(answers: Answers, seen: Seen) -> None:
    count = f"{seen.parameters:,} parameters" if seen.parameters else "its sizes follow from the data"
    answers.tell(f"  {seen.network}: {count}")


def _tell(answers: Answers, seen: Seen) -> None:
    for line in seen.lines:
        answers.tell(f"  {line}")
    _tell_network(answers, seen)
    sizes = ", ".join(f"{count:,} {split}" for split, count in seen.sizes.items())
    answers.tell(f"  two examples are answered with {seen.output}; {sizes} examples")


def _suggestion(seen: Seen) -> str:
    match seen.outputs:
        case None:
            return ", which suggests the task outputs: its values are compared with float's own"
        case 1:
            return ", which suggests a regression of one number"
        case count:
            return f", which suggests {count} classes, or as many labels or numbers"


def _shape(draft: _Draft) -> tuple[int, ...] | None:
    """Shape of an example as the network sees it; None where the data say it later."""
    if isinstance(draft.facts, PictureFacts):
        size = draft.data.get("size")
        return None if size is None else (1 if draft.data.get("mode") == "L" else 3, *size)
    return None
