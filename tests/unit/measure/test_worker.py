from __future__ import annotations

import numpy as np

from pipeline._handlers.decode import InputSpec
from pipeline.measure.worker import take_batch


def test_samples_keep_their_own_size() -> None:
    spec = InputSpec(name="x", dtype="float32", shape=(3, 2), low=0, high=100, dynamic_axes=(0,))
    values = np.arange(20, dtype=np.float32).reshape(2, 5, 2)
    batch = take_batch({"input.x": values}, [spec], 3)["x"]
    np.testing.assert_array_equal(batch, values[[0, 1, 0]])
