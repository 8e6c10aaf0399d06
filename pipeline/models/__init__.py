"""Networks: what a model is (ModelSpec), one file per architecture, weights."""
