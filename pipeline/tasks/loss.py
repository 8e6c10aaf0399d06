"""What a loss looks at."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

# From the network's outputs (B, K) and labels (B, ...) to a scalar.
Criterion = Callable[[Tensor, Tensor], Tensor]
# The same, also from indices of the examples (B,) and which copy of each it was (B,), None without copies.
Loss = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
