"""Choosing an endpoint: membership and health → loads, schedules and hash tables → one index."""

from __future__ import annotations
