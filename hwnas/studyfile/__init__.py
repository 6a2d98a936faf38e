"""Study files: YAML, its typed model, and the plan that comes out."""

from hwnas.studyfile.loading import Plan, load
from hwnas.studyfile.model import GROWABLE, schema

__all__ = ["GROWABLE", "Plan", "load", "schema"]
