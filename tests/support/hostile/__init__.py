"""Hostile inputs by subject: each row ends in a result or a refusal, through all doors."""

from support.hostile import arrays, files, grids, outputs, values
from support.hostile.cases import CASES

__all__ = ["CASES", "arrays", "files", "grids", "outputs", "values"]
