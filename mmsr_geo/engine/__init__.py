"""The engine: one window from pixels to target; arrays and tensors, no files, no graph."""
