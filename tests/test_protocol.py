"""Protocol words: the table of the module."""

from __future__ import annotations

import pytest

from roadstead.protocol import UNSUPPORTED, WORDS, Protocol


@pytest.mark.parametrize(
    ("written", "word", "classes"),
    [
        ("HTTP", "HTTP", "http"), ("http", "HTTP", "http"), ("HTTP_PROXY", "HTTP_PROXY", "http"), ("http2", "HTTP2", "http http2"),
        ("GRPC", "GRPC", "http http2"), ("grpc-web", "GRPC-Web", "http http2"), ("GRPC-WEB", "GRPC-Web", "http http2"),
        ("HTTPS", "HTTPS", "tls tcp"), ("Tls", "TLS", "tls tcp"), ("TCP", "TCP", "tcp"), ("Mongo", "MONGO", "tcp"),
        ("redis", "REDIS", "tcp"), ("MySQL", "MYSQL", "tcp"), ("udp", "UDP", "udp"), ("", "", ""), ("QUIC", "", ""), ("HBONE", "", ""),
    ],
)  # fmt: skip
def test_table(written: str, word: str, classes: str) -> None:
    protocol = Protocol(written)
    assert protocol == word
    assert {name for name in ("http", "http2", "tls", "tcp", "udp") if getattr(protocol, f"is_{name}")} == set(
        classes.split()
    )
    assert protocol.is_sniffed is (word == "")


def test_equal_words_are_one_object() -> None:
    assert Protocol("http") is Protocol("HTTP")
    assert Protocol("nonsense") is Protocol("") is UNSUPPORTED
    assert all(Protocol(word) == word for word in WORDS)
