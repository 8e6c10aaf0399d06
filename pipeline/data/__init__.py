"""Data sets: their classes (DataSet, Split), one file per built-in set, loading by name or factory."""
