"""Every refusal and warning of the package as a case: the tests reach them, and docs/errors.md is made from them."""

from support.refusals import grids, jobs, models, options, outputs, rasters, warnings
from support.refusals.cases import CASES

__all__ = ["CASES", "grids", "jobs", "models", "options", "outputs", "rasters", "warnings"]
