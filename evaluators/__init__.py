"""Evaluators: cost models, training, training-free metrics. One plug-in, one file."""
