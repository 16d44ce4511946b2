"""One output: its tasks, its tiles and the files assembled from them."""
