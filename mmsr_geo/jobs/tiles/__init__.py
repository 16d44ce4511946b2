"""Tiles: their files, their index and the store that keeps them."""
