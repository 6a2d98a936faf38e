"""Designs in the formats of other cost models: one tool, one file.

`nests` reads the layers, `arrays` the accelerator, and `unrolling` lays the one on the other.
"""
