"""Members of an ensemble that take seconds: variational solves, and regressions on an aligned guide; tensors only."""
