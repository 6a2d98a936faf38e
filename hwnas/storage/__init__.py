"""The history of a study in an Optuna storage, and the journal file it usually is.

Imports Optuna: the core imports this room only where a study has a storage.
"""

from hwnas.storage.journal import DurableJournal
from hwnas.storage.store import RECORD, StudyStore, without_password

__all__ = ["RECORD", "DurableJournal", "StudyStore", "without_password"]
