"""Retry policies."""

from __future__ import annotations

import msgspec
import pytest
import yaml
from tests.compile.selected import client

from roadstead.compile.retries import DEFAULT, default_retry, retry_of
from roadstead.config import HTTPRetry
from roadstead.mesh import Retry

WORDS = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"


def retry(text: str, hashed: bool = False) -> Retry | None:
    return retry_of(msgspec.convert(yaml.safe_load(text), HTTPRetry), hashed)


@pytest.mark.parametrize("text", ["{}", "{attempts: 0}", "{attempts: 0, perTryTimeout: 1s, retryOn: 5xx}"])
def test_without_attempts_there_are_no_retries(text: str) -> None:
    assert retry(text) is None


@pytest.mark.parametrize(
    ("written", "words", "codes"),
    [
        ("", WORDS, ()),
        ("5xx,reset", "5xx,reset", ()),
        (" 5xx , 503,429", "5xx,retriable-status-codes", (503, 429)),
        ("503,504", ",retriable-status-codes", (503, 504)),
        ("503,retriable-status-codes", "retriable-status-codes", (503,)),
        ("5xx,503,retriable-status-codes,reset", "5xx,retriable-status-codes,reset", (503,)),
        ("999", "999", ()),
    ],
)
def test_numbers_in_retry_on_become_codes(written: str, words: str, codes: tuple[int, ...]) -> None:
    made = retry(f"{{attempts: 2, retryOn: '{written}'}}")
    assert made is not None
    assert (made.retry_on, made.retriable_status_codes) == (words, codes)


def test_every_field() -> None:
    assert retry(
        "{attempts: 4, perTryTimeout: 2s, backoff: 40ms, retryRemoteLocalities: true, retryIgnorePreviousHosts: false}"
    ) == Retry(4, WORDS, (), 2.0, 0.04, False, True, 5)


@pytest.mark.parametrize(
    ("text", "hashed", "ignores"),
    [
        ("{attempts: 1}", False, True),
        ("{attempts: 1}", True, False),
        ("{attempts: 1, retryIgnorePreviousHosts: true}", True, True),
        ("{attempts: 1, retryIgnorePreviousHosts: false}", False, False),
    ],
)
def test_a_hash_may_give_the_same_host_again(text: str, hashed: bool, ignores: bool) -> None:
    made = retry(text, hashed)
    assert made is not None
    assert made.ignore_previous_hosts is ignores


def test_the_default_is_one_object() -> None:
    env = client().env
    assert default_retry(env) is DEFAULT
    assert (DEFAULT.attempts, DEFAULT.retry_on) == (2, WORDS)
    hashed = default_retry(env, hashed=True)
    assert hashed is not None
    assert not hashed.ignore_previous_hosts


def test_the_meshs_policy_replaces_the_default_as_a_whole() -> None:
    made = default_retry(client(mesh="{defaultHttpRetryPolicy: {attempts: 5}}").env)
    assert made == Retry(5)
    assert default_retry(client(mesh="{defaultHttpRetryPolicy: {}}").env) is None
