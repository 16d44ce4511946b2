"""Georeferenced rasters: reading, warping and writing them; knows rasterio, rioxarray, odc-geo and dask, no torch."""
