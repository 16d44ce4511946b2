"""The variational core: the target of least energy among those whose block means are the source; tensors only."""
