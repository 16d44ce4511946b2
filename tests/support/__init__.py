"""What tests of several rooms share: rasters, scenes, jobs, servers and the command."""
