"""Jobs: rasters in, files out; knows the pair, the model and the writers, no command line."""
