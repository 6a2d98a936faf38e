"""Predictors: surrogate models. One plug-in, one file."""
