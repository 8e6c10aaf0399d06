"""Networks: the specification of a model (ModelSpec), one file per architecture, weights."""
