"""What keeps a registry fresh: `Live` owns the loops, `clusters` is the bridge, `history` remembers what happened."""

from __future__ import annotations

from roadstead.live.history import Event, History
from roadstead.live.live import Live, LiveStatus

__all__ = ["Event", "History", "Live", "LiveStatus"]
