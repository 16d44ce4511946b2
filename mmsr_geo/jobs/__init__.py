"""Jobs: rasters in, files out; knows the pair, the net and the writers, no command line."""
