"""What was captured is written whole, and never over the input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.commands.capture import _write
from pipeline.errors import UsageError

VALUES = np.arange(12, dtype=np.float32).reshape(1, 3, 4)


def test_a_module_may_have_any_name(tmp_path: Path) -> None:
    arrays = {"file": VALUES, "block.0#2": 2 * VALUES}
    pictures = _write(tmp_path / "a.npz", arrays, tmp_path / "input.npz")
    assert {path.name for path in pictures} == {"a-file.png", "a-block.0-2.png"}
    with np.load(tmp_path / "a.npz") as written:
        assert set(written) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(written[name], array)


def test_no_picture_is_written_over_the_input(tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(b"a cat")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "0.png").write_bytes(b"a dog")
    for out, source in (("cat.npz", "cat.png"), ("photos/0.npz", "photos")):
        with pytest.raises(UsageError, match="input"):
            _write(tmp_path / out, {"stem": VALUES}, tmp_path / source)
        assert not (tmp_path / out).exists()
    assert (tmp_path / "cat.png").read_bytes() == b"a cat"
    assert (tmp_path / "photos" / "0.png").read_bytes() == b"a dog"
