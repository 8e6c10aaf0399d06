"""Recipe section `[train.augmentation]`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from pipeline.recipe.section import Section

Share = Annotated[float, Field(gt=0, le=1)]
Ratio = Annotated[float, Field(gt=0)]


class PictureAugmentation(Section):
    """Ways in which training pictures are changed besides `horizontal_flip` and `shift`; each picture in its own way.

    They are applied in the order of the keys, and to the float network's training alone: fine-tuning learns what the
    float network answers to flipped and shifted pictures.
    """

    rotation: float = Field(
        default=0.0, ge=0, le=180, description="turn by up to so many degrees each way, zeros coming in"
    )
    crop: tuple[Share, Share] | None = Field(
        default=None,
        description="random resized crop: smallest and largest share of the picture's area that is taken and resized "
        "to the whole, such as [0.3, 1.0]",
    )
    crop_ratio: tuple[Ratio, Ratio] = Field(
        default=(3 / 4, 4 / 3),
        description="smallest and largest width over height of what a crop takes, as a multiple of the picture's own",
    )
    brightness: float = Field(default=0.0, ge=0, description="factor between 1 - value and 1 + value")
    contrast: float = Field(default=0.0, ge=0, description="factor between 1 - value and 1 + value")
    saturation: float = Field(
        default=0.0, ge=0, description="factor between 1 - value and 1 + value; of colour pictures alone"
    )
    hue: float = Field(
        default=0.0, ge=0, le=0.5, description="turn of up to so many whole circles each way; of colour pictures alone"
    )
    rand_augment: int = Field(
        default=0, ge=0, le=14, description="RandAugment: number of operations that are drawn for each picture"
    )
    magnitude: int = Field(default=9, ge=0, le=30, description="strength of RandAugment's operations")
    erasing: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="probability that a rectangle of 2 to 33 % of the picture is set to zero",
    )
    mixup: float = Field(
        default=0.0,
        ge=0,
        description="alpha: two pictures and their losses are mixed by a share drawn from Beta(alpha, alpha)",
    )
    cutmix: float = Field(
        default=0.0,
        ge=0,
        description="alpha: a rectangle of another picture is put in, of a share drawn from Beta(alpha, alpha), and "
        "the losses are mixed by the area; with mixup, each batch draws one of the two",
    )

    @model_validator(mode="after")
    def _ranges(self) -> PictureAugmentation:
        for key, pair in (("crop", self.crop), ("crop_ratio", self.crop_ratio)):
            if pair is not None and pair[0] > pair[1]:
                raise ValueError(f"{key}: expected the smaller number first, found {pair[0]:g} and {pair[1]:g}")
        for key, needed, there in (
            ("crop_ratio", "crop", self.crop is not None),
            ("magnitude", "rand_augment", self.rand_augment > 0),
        ):
            if key in self.model_fields_set and not there:
                raise ValueError(f"{key} without {needed}: expected both or neither; give {needed} too")
        return self

    @property
    def mixing(self) -> tuple[str, ...]:
        """The keys that mix the examples of a batch and their losses."""
        return tuple(key for key in ("mixup", "cutmix") if getattr(self, key))
