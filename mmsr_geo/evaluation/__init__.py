"""Evaluation: methods compared on a pair, with a truth or at reduced resolution."""
