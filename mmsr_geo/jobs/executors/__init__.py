"""Executors: where a job's tasks run."""
