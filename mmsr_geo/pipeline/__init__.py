"""The pipeline: a whole raster, planned and computed lazily or in this process; writes no files."""
