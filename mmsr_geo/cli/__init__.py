"""The `mmsr-geo` command: the only room that prints."""
