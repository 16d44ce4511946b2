"""Methods: where a pair's model comes from; no files, no dask."""
