"""Change brightness, contrast, saturation and hue of pictures, each by values of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
from torch import Tensor

# Shares of red, green and blue in a grey value: ITU-R BT.601, as Pillow and torchvision take them.
_GREY = (0.2989, 0.587, 0.114)
_HIGHEST = 255.0
# Number of values that are changed at once, where a picture has fewer.
_VALUES_AT_ONCE = 1 << 18


@dataclass(frozen=True, kw_only=True)
class ColourJitter:
    """Values of each picture, (B,) float32; None where that one is left as it is.

    Args:
        brightness: factor on all values.
        contrast: factor on the distance of a value from the picture's mean grey.
        saturation: factor on the distance of a value from the pixel's own grey.
        hue: turn of the hue, in circles.
    """

    brightness: Tensor | None = None
    contrast: Tensor | None = None
    saturation: Tensor | None = None
    hue: Tensor | None = None

    @staticmethod
    def draw(count: int, *, brightness: float, contrast: float, saturation: float, hue: float) -> ColourJitter | None:
        """Draw values from torch's random state; None where nothing is changed.

        Args:
            count: number of pictures.
            brightness: largest distance of that factor from 1; so are contrast and saturation.
            contrast: see brightness.
            saturation: see brightness.
            hue: largest turn each way, in circles.
        """
        if not (brightness or contrast or saturation or hue):
            return None
        factors = [
            None if not reach else (1 + reach * (2 * torch.rand(count) - 1)).clamp(min=0)
            for reach in (brightness, contrast, saturation)
        ]
        turn = hue * (2 * torch.rand(count) - 1) if hue else None
        return ColourJitter(brightness=factors[0], contrast=factors[1], saturation=factors[2], hue=turn)

    def apply(self, pictures_BCHW: Tensor) -> Tensor:
        """Change bytes (B, C, H, W), C of 1 or 3. The result is rounded once, at the end."""
        changed_BCHW = torch.empty_like(pictures_BCHW)
        for part in parts(pictures_BCHW):
            changed_BCHW[part] = self.take(part).change(pictures_BCHW[part].float()).round()
        return changed_BCHW

    def take(self, part: slice) -> ColourJitter:
        """The values of some of the pictures."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return ColourJitter(**{name: None if value is None else value[part] for name, value in values.items()})

    def change(self, values_BCHW: Tensor) -> Tensor:
        """Change floats (B, C, H, W) from 0 to 255."""
        if self.brightness is not None:
            values_BCHW = _blend(values_BCHW, torch.zeros_like(values_BCHW), self.brightness)
        if self.contrast is not None:
            mean_B111 = _grey(values_BCHW).mean(dim=(1, 2, 3), keepdim=True)
            values_BCHW = _blend(values_BCHW, mean_B111, self.contrast)
        if self.saturation is not None:
            values_BCHW = _blend(values_BCHW, _grey(values_BCHW), self.saturation)
        if self.hue is not None:
            values_BCHW = _turn_hue(values_BCHW, self.hue)
        return values_BCHW


def parts(pictures_BCHW: Tensor) -> Iterator[slice]:
    """Parts of a batch that stay in the processor's caches: so, large pictures take a quarter to a half of the time."""
    size = max(1, _VALUES_AT_ONCE // pictures_BCHW[0].numel())
    for start in range(0, len(pictures_BCHW), size):
        yield slice(start, start + size)


def _blend(values_BCHW: Tensor, other: Tensor, factor_B: Tensor) -> Tensor:
    factor_B111 = factor_B.to(values_BCHW.device)[:, None, None, None]
    return (other + (values_BCHW - other) * factor_B111).clamp(0, _HIGHEST)


def _grey(values_BCHW: Tensor) -> Tensor:
    """Grey values, (B, 1, H, W)."""
    if values_BCHW.shape[1] == 1:
        return values_BCHW
    shares_3 = torch.tensor(_GREY, device=values_BCHW.device)
    return (values_BCHW * shares_3[:, None, None]).sum(dim=1, keepdim=True)


def _turn_hue(values_B3HW: Tensor, turn_B: Tensor) -> Tensor:
    """Turn the hue in the HSV colour model, where value and saturation stay (Smith 1978, "Color gamut transforms")."""
    highest_BHW, lowest_BHW = values_B3HW.amax(dim=1), values_B3HW.amin(dim=1)
    spread_BHW = highest_BHW - lowest_BHW
    red_BHW, green_BHW, blue_BHW = values_B3HW.unbind(dim=1)
    divisor_BHW = spread_BHW.clamp(min=1e-6)
    sector_BHW = torch.where(
        highest_BHW == red_BHW,
        (green_BHW - blue_BHW) / divisor_BHW,
        torch.where(
            highest_BHW == green_BHW, 2 + (blue_BHW - red_BHW) / divisor_BHW, 4 + (red_BHW - green_BHW) / divisor_BHW
        ),
    )
    turned_BHW = sector_BHW + 6 * turn_B.to(sector_BHW.device)[:, None, None]
    # In each sixth of the circle one channel is highest, one is lowest, and one lies in between.
    channels = []
    for start in (5.0, 3.0, 1.0):
        place_BHW = (turned_BHW + start) % 6
        share_BHW = torch.minimum(place_BHW, 4 - place_BHW).clamp(0, 1)
        channels.append(highest_BHW - spread_BHW * share_BHW)
    return torch.stack(channels, dim=1)
