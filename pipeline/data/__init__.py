"""Data sets: what one is (DataSet, Split), one file per built-in set, loading by name or factory."""
