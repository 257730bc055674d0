"""One thread at a time works on models."""

from __future__ import annotations

import threading

#: held while a model is read, and while scoring has changed it; for all models, as they may share modules
ONE_AT_A_TIME = threading.RLock()
