"""A document behind an HTTP or HTTPS URL, asked for again and again (ETag, Last-Modified)."""

from __future__ import annotations

import asyncio
import ssl
from http.client import HTTPException
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from roadstead.config.read import read as decode
from roadstead.sources.layers import Layer

# Bytes of an answer that are read at most, as of a file (config/yaml.py refuses more).
_MOST = 64 * 1024 * 1024


class _Answer(NamedTuple):
    """text None: nothing changed."""

    text: bytes | None
    etag: str
    modified: str


class Url:
    """YAML or JSON text with any number of documents; the whole text is one piece.

    interval: seconds between two looks. timeout: seconds for one of them. headers: sent along (a token). context: TLS
    settings; default the system's. What is not there (404), or does not answer, keeps what was there and is told in the
    source's status. ValueError for another scheme."""

    def __init__(
        self,
        url: str,
        *,
        interval: float = 30.0,
        timeout: float = 10.0,
        headers: dict[str, str] | None = None,
        context: ssl.SSLContext | None = None,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"not an HTTP URL: {url!r}")
        self._url = url
        self._interval = interval
        self._timeout = timeout
        self._headers = dict(headers or {})
        self._context = context
        self._last = _Answer(None, "", "")

    @property
    def name(self) -> str:
        """The URL, without what might be a secret in it."""
        parts = urlsplit(self._url)
        host = parts.hostname or ""
        return f"{parts.scheme}://{host}{'' if parts.port is None else f':{parts.port}'}{parts.path}"

    async def run(self, layer: Layer) -> None:
        """Ask at once, then again after each interval; until cancelled."""
        while True:
            await self._look(layer)
            await asyncio.sleep(self._interval)

    async def _look(self, layer: Layer) -> None:
        try:
            answer = await asyncio.to_thread(self._ask)
        except (OSError, HTTPException, ValueError) as error:
            layer.failed(_why(error))
            return
        if answer.text is not None:
            pieces = await asyncio.to_thread(lambda text: list(decode(text, self.name, layer.dialect)), answer.text)
            await layer.update({self.name: pieces})
        self._last = answer
        layer.well()

    def _ask(self) -> _Answer:
        headers = dict(self._headers)
        if self._last.etag:
            headers["If-None-Match"] = self._last.etag
        if self._last.modified:
            headers["If-Modified-Since"] = self._last.modified
        try:
            with urlopen(Request(self._url, headers=headers), timeout=self._timeout, context=self._context) as answer:
                text = answer.read(_MOST + 1)
                if len(text) > _MOST:
                    raise ValueError(f"more than {_MOST} bytes")
                return _Answer(text, answer.headers.get("ETag", ""), answer.headers.get("Last-Modified", ""))
        except HTTPError as error:
            if error.code == 304:
                return self._last._replace(text=None)
            raise


def _why(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, URLError):
        return str(error.reason)
    return str(error) or type(error).__name__
