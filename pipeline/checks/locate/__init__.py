"""Which layer is the first to answer otherwise: traces of files, their alignment, folded constants."""
