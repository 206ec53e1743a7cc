"""Retry policies (Istio: route/retry.ConvertPolicy)."""

from __future__ import annotations

from functools import cache, lru_cache

from roadstead.compile.inputs import Env
from roadstead.config import HTTPRetry
from roadstead.config.duration import seconds
from roadstead.mesh import Retry

DEFAULT = Retry()
# The same for a route that hashes to one destination: a try may well hit the host that the hash gives again.
_DEFAULT_HASHED = Retry(ignore_previous_hosts=False)
_CODES = "retriable-status-codes"


def default_retry(env: Env, hashed: bool = False) -> Retry | None:
    """Where no rule says anything: the mesh's policy as a whole, else Istio's. None: no retries.

    hashed: one destination, chosen by a hash."""
    written = env.mesh.default_http_retry_policy
    if written is not None:
        return retry_of(written, hashed)
    return _DEFAULT_HASHED if hashed else DEFAULT


# Meshes have few policies: equal ones are one object.
@lru_cache(maxsize=256)
def retry_of(written: HTTPRetry, hashed: bool = False) -> Retry | None:
    """A policy as written; None where it switches retries off, as it does without `attempts`."""
    if written.attempts <= 0:
        return None
    ignore = written.retry_ignore_previous_hosts
    retry_on, codes = _conditions(written.retry_on) if written.retry_on else (DEFAULT.retry_on, ())
    return Retry(
        attempts=written.attempts,
        retry_on=retry_on,
        retriable_status_codes=codes,
        per_try_timeout=None if written.per_try_timeout is None else seconds(written.per_try_timeout),
        backoff=None if written.backoff is None else seconds(written.backoff),
        ignore_previous_hosts=not hashed if ignore is None else ignore,
        remote_localities=bool(written.retry_remote_localities),
    )


@lru_cache(maxsize=1024)
def _conditions(text: str) -> tuple[str, tuple[int, ...]]:
    """Words, and the numbers among them that are HTTP statuses."""
    words, codes = [], []
    for item in text.split(","):
        word = item.strip()
        if word.isascii() and word.isdecimal() and int(word) in _known():
            codes.append(int(word))
        else:
            words.append(word)
    retry_on = ",".join(words)
    if codes and _CODES not in words:
        # Codes alone leave an empty first word, as Istio writes it.
        retry_on = f"{retry_on},{_CODES}"
    return retry_on, tuple(codes)


@cache
def _known() -> frozenset[int]:
    """Codes that have a name."""
    from http import HTTPStatus  # its import is felt, and few retry policies list codes

    return frozenset([status.value for status in HTTPStatus])
