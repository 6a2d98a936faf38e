"""Study files: YAML, its typed model, and the plan that comes out."""

from hwnas.studyfile.loading import Plan, load
from hwnas.studyfile.model import GAIN, GROWABLE, parse_share, schema

__all__ = ["GAIN", "GROWABLE", "Plan", "load", "parse_share", "schema"]
