"""The command line."""

from hwnas.cli.app import main

__all__ = ["main"]
