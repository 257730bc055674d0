"""A lock that lets one thread at a time work on models."""

from __future__ import annotations

import threading

#: held while a model is read or changed by scoring; one lock for all models, because they may share modules
ONE_AT_A_TIME = threading.RLock()
