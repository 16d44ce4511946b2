"""Reading: files and arrays as rasters."""
