"""No page of another site, in a browser on this machine, is a way in.

- DNS rebinding: a page's own name can be made to point to 127.0.0.1; its requests still carry that name in
  Host, so on loopback only loopback names are answered. A request with a token is nobody's page: browsers add
  no token by themselves.
- Cross-site requests: a page may send simple requests anywhere; browsers say where from (Origin,
  Sec-Fetch-Site), and what changes something must be JSON, which no page can send unasked (CORS).
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from aiohttp import web

from gateway.errors import Forbidden, UnsupportedMediaType
from gateway.web.answers import Handler

HOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?\Z", re.ASCII | re.IGNORECASE)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
OWN = frozenset({"same-origin", "none"})  # values of Sec-Fetch-Site: our own pages; the address bar
LOOPBACK = web.AppKey("loopback", bool)  # the port can be reached from this machine only


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    hosts = request.headers.getall("host", [])
    named = len(hosts) == 1
    if request.app[LOOPBACK] and "authorization" not in request.headers:
        named = named and HOST.match(hosts[0]) is not None
    if not named:
        raise Forbidden(
            f"without a token the admin API answers to localhost, 127.0.0.1 and [::1], not to {hosts!r:.200}"
        )
    if request.method in SAFE or request.match_info.http_exception is not None:  # 404 and 405 as they are
        return await handler(request)
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != hosts[0].lower():
        raise Forbidden(f"requests of other sites' pages are refused (origin {origin!r:.200})")
    site = request.headers.get("sec-fetch-site")
    if site is not None and site not in OWN:
        raise Forbidden(f"requests of other sites' pages are refused (sec-fetch-site {site!r:.50})")
    if request.content_type != "application/json":
        raise UnsupportedMediaType(
            f"what changes something is application/json, not {request.content_type!r:.100}",
            param="content-type",
        )
    return await handler(request)
