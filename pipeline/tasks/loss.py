"""Types of losses, by their arguments."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

# A criterion maps the network's outputs (B, K) and labels (B, ...) to a scalar.
Criterion = Callable[[Tensor, Tensor], Tensor]
# A loss also gets the indices of the examples (B,) and the number of the copy of each (B,), or None without copies.
Loss = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
