"""What the command's exit status says (sysexits.h where it has a word for it)."""

from __future__ import annotations

OK = 0
USAGE = 64  # the command line is wrong
DATA = 65  # input is not readable as YAML or JSON
NO_INPUT = 66  # no such file or folder
UNAVAILABLE = 69  # a service is not reachable: 404, 502, 503, no healthy endpoint
IO = 74  # reading or writing failed
FINDINGS = 79  # findings at or over the threshold
INTERRUPTED = 130
