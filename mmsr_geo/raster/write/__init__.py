"""Writing: Cloud Optimized GeoTIFFs, Zarr stores, VRTs and where they go."""
