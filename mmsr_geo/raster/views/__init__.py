"""Views: rasters derived from other rasters; they read nothing themselves."""
