"""Opens what is to be scored by what it is: a folder of pictures, a table, or arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline._handlers.decode import InputSpec
from pipeline.errors import FileError, UsageError
from pipeline.scoring.arrays import open_arrays
from pipeline.scoring.folder import open_folder
from pipeline.scoring.sources import Source
from pipeline.scoring.table import open_table


def open_source(path: Path, inputs: Sequence[InputSpec]) -> Source:
    """Open data by what they are.

    Args:
        path: folder of pictures, table (CSV, TSV or Parquet), or `.npy`, `.npz` or `.safetensors` file.
        inputs: inputs of the model, in order.

    Raises:
        FileError: it is not there, or cannot be read.
        UsageError: the model takes no such data.
        DataError: it does not hold what it should.
    """
    if path.is_dir():
        return open_folder(path, inputs)
    if not path.is_file():
        raise FileError(f"{path}: expected a folder or a file, found none")
    match path.suffix.lower():
        case ".csv" | ".tsv" | ".parquet" | ".pq":
            return open_table(path, inputs)
        case ".npy" | ".npz" | ".safetensors":
            return open_arrays(path, inputs)
        case suffix:
            raise UsageError(
                f"{path}: expected a folder of pictures, a table (.csv, .tsv, .parquet) or arrays (.npy, .npz, "
                f".safetensors), found a file ending in {suffix or 'nothing'}"
            )
