"""Reading all objects of a kind, page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from roadstead.sources.kubernetes.api import Api, Query, Refused, body
from roadstead.sources.kubernetes.objects import Objects, Page, TooLarge, page_of

# Objects of one page, and its bytes at most (of JSON, uncompressed): fewer objects are asked for where they are large.
_LIMIT, _MOST = 500, 32 * 1024 * 1024
# Seconds that a server may think about a page.
_SILENCE = 60.0


class NotServed(Exception):
    """The cluster has no CustomResourceDefinition of the kind."""


class Listing(msgspec.Struct):
    """One page after the other. version: of the API, the newest that the cluster serves; "" before it is known. limit:
    objects of a page."""

    objects: Objects
    version: str = ""
    limit: int = _LIMIT

    async def pages(self, api: Api) -> AsyncIterator[Page]:
        """All pages, all of one moment. `NotServed` if there are none of the kind."""
        page = await self._first(api)
        yield page
        while page.metadata.continue_:
            page = await self._page(api, page.metadata.continue_)
            yield page

    async def _first(self, api: Api) -> Page:
        for version in self.objects.kind.versions:
            self.version = version
            try:
                return await self._page(api)
            except Refused as refused:
                if refused.code != 404:
                    raise
        self.version = ""
        raise NotServed(f"{self.objects.kind.plural}.{self.objects.kind.group} are not served")

    async def _page(self, api: Api, continue_: str = "") -> Page:
        while True:
            query: Query = {"limit": self.limit}
            if continue_:
                query["_continue"] = continue_
            try:
                async with api.get(self.objects, self.version, _SILENCE, **query) as answer:
                    return page_of(await body(answer, _MOST))
            except TooLarge:
                if self.limit == 1:
                    raise
                self.limit = max(1, self.limit // 8)
