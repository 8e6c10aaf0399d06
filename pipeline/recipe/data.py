"""Recipe section `[data]`."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, model_validator

from pipeline.recipe.names import (
    DATA_SETS,
    FACTORY,
    DataSetName,
    require_known,
)
from pipeline.recipe.section import Section

# The keys that say where the data come from; a recipe has exactly one of them.
DataSource = Literal["name", "factory", "folder", "table"]
PictureMode = Literal["L", "RGB"]
PictureFilter = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
PictureFit = Literal["squeeze", "crop", "letterbox"]

_SOURCES: tuple[DataSource, ...] = get_args(DataSource)
# Keys that not every source understands, and those that do.
_UNDERSTOOD_BY: dict[str, tuple[DataSource, ...]] = {
    "arguments": ("factory",),
    "path": ("name", "factory"),
    "validation_size": ("name", "factory"),
    "labels": ("folder",),
    "classes": ("factory", "folder", "table"),
    "size": ("folder",),
    "mode": ("folder",),
    "resize": ("folder",),
    "fit": ("folder",),
    "resize_to": ("folder",),
    "fill": ("folder",),
    "stored_size": ("folder",),
    "targets": ("folder", "table"),
    "split": ("table",),
    "columns": ("table",),
    "missing": ("table",),
    "validation_share": ("factory", "folder", "table"),
    "test_share": ("factory", "folder", "table"),
    "skip_unreadable": ("folder",),
    "workers": ("folder",),
}
# What a column of a table holds, or the texts of its categories.
ColumnKind = Literal["number", "category", "ignore"] | Annotated[tuple[str, ...], Field(min_length=1)]
# Height and width, in pixels.
PictureSize = tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]]


class Data(Section):
    """The data set: built in by `name`, the user's own by `factory`, pictures in a `folder`, or rows of a `table`."""

    name: Annotated[
        DataSetName | None, BeforeValidator(partial(require_known, names=DATA_SETS, own="data.factory"))
    ] = Field(default=None, description="a built-in data set")
    factory: str | None = Field(default=None, pattern=FACTORY, description="the user's own, as module:function")
    folder: str | None = Field(
        default=None,
        min_length=1,
        description="folder of picture files, relative to the recipe: one sub-folder for each class; or train, "
        "validation and test with these in them; or pictures beside a file of labels; or pictures without labels",
    )
    table: str | None = Field(
        default=None,
        min_length=1,
        description="CSV or Parquet file, relative to the recipe, with the names of its columns in the first row",
    )
    path: str | None = Field(
        default=None,
        description="file or folder the data is read from, relative to the recipe; given to the factory as `path`",
    )
    arguments: dict[str, Any] = Field(default={}, description="keyword arguments of the factory")
    validation_size: int = Field(
        default=10_000, ge=1, description="examples held out of a built-in training set for validation"
    )
    seed: int = Field(default=0, ge=0, description="of the train/validation split")
    labels: str | None = Field(
        default=None,
        min_length=1,
        description="CSV file in `folder` with a line for each picture: column `file` (or the first), one or more "
        "columns of targets, and `split` if it says which split a picture belongs to",
    )
    classes: tuple[str, ...] | str | None = Field(
        default=None,
        description="names of the network's outputs in their order, as a list or as a text file with a name on each "
        "line, relative to the recipe; needed for data without labels, else those of the data, sorted",
    )
    size: PictureSize | None = Field(
        default=None,
        description="height and width of the network's input, in pixels; needed for pictures of a folder, unless "
        "model.preprocessing names a published network",
    )
    mode: PictureMode = Field(default="RGB", description="colour (RGB) or grey (L) pictures")
    resize: PictureFilter = Field(default="bilinear", description="Pillow's filter that resizes a picture")
    fit: PictureFit = Field(
        default="squeeze",
        description="squeeze: height and width become those of the input; crop: the ratio stays, and the centre is "
        "taken; letterbox: the ratio stays, and a border is added",
    )
    resize_to: PictureSize | None = Field(
        default=None,
        description="height and width that a picture is resized to before its centre is taken, in pixels; the input's "
        "if not set. [256, 256] with crop is a shorter side of 256",
    )
    fill: tuple[Annotated[int, Field(ge=0, le=255)], ...] = Field(
        default=(0,), description="colour of a border: one value, or one for each channel"
    )
    stored_size: PictureSize | None = Field(
        default=None,
        description="height and width in which pictures are decoded once and kept, in pixels; the input's if not set. "
        "Another `size` then needs no new decoding",
    )
    targets: tuple[str, ...] = Field(
        default=(),
        description="columns of the table, or of the file of labels, that the network learns to give: class names, "
        "labels or numbers, as task.kind says; in a file of labels all that are left if not set",
    )
    split: str | None = Field(
        default=None,
        min_length=1,
        description="column of the table that says train, validation or test for each row; if not set, rows are "
        "split by their content, so that copies are in one split",
    )
    columns: dict[str, ColumnKind] = Field(
        default={},
        description="what columns of the table hold, by name, where finding it out is wrong: number, category, a list "
        "of the categories, or ignore for a column that the network does not see",
    )
    missing: bool = Field(
        default=False,
        description="whether values of the table may be missing; the network then sees the mean of a column of "
        "numbers, and none of the categories",
    )
    validation_share: float = Field(
        default=0.2, gt=0, lt=1, description="share of the examples held out for selection, where nothing splits them"
    )
    test_share: float = Field(
        default=0.2, gt=0, lt=1, description="share of the examples held out for the report, where nothing splits them"
    )
    skip_unreadable: bool = Field(
        default=False, description="leave out files that cannot be decoded, instead of ending the build"
    )
    workers: int | None = Field(
        default=None, ge=1, description="processes that decode pictures; one for each core if not set"
    )

    @property
    def source(self) -> DataSource:
        """The key that says where the data come from."""
        return next(key for key in _SOURCES if getattr(self, key) is not None)

    @model_validator(mode="after")
    def _one_source(self) -> Data:
        set_sources = [key for key in _SOURCES if getattr(self, key) is not None]
        if len(set_sources) != 1:
            found = " and ".join(set_sources) or "none"
            raise ValueError(f"expected exactly one of {', '.join(_SOURCES)}, found {found}")
        if self.name is not None and self.arguments:
            raise ValueError(f"arguments: expected none for {self.name}, found {', '.join(self.arguments)}")
        for key, sources in _UNDERSTOOD_BY.items():
            if self.source not in sources and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key}: expected only with {' or '.join(sources)}, found with {self.source}")
        if self.table is not None:
            self._check_table()
        if self.validation_share + self.test_share >= 1:
            raise ValueError(
                "expected validation_share and test_share with a sum under 1, found "
                f"{self.validation_share:g} and {self.test_share:g}"
            )
        return self

    def _check_table(self) -> None:
        named = [*self.targets, *([] if self.split is None else [self.split]), *self.columns]
        twice = sorted({name for name in named if named.count(name) > 1})
        if twice:
            raise ValueError(f"targets, split and columns: expected each column once, found twice: {', '.join(twice)}")
