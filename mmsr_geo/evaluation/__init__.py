"""Evaluation: methods compared on a pair, with a reference or at reduced resolution."""
