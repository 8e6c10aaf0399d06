"""The archive: a `.mar` with everything that is needed to answer, and to prove the answers."""
