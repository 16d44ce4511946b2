"""Inspecting: what a raster holds, found from its pixels and metadata."""
