"""The network and its fit: torch in, torch out; knows no raster, file, CRS or dask."""
