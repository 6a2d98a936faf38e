"""Other cost models, asked about single layers: one tool, one file.

In ``children`` are the scripts that run under the tools' own interpreters.
"""
