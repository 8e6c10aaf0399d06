"""The exceptions that Python raises on a damaged zip: bad headers, cut members, unknown compression, absurd offsets."""

from __future__ import annotations

import zipfile
import zlib

ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError, ValueError)
