"""Middleware against cross-site requests and DNS rebinding."""

import urllib.parse

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

# The page needs no external resources, so the browser may load none.
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Guard:
    """ASGI middleware that rejects cross-site requests.

    A page of another site can make its visitor's browser send requests to a
    server on localhost: by DNS rebinding, which the `Host` header reveals, or
    directly, which the `Origin` header reveals. Responses get security
    headers: a content security policy, and no caching or referrer.

    Args:
        app: The wrapped ASGI application.
        hosts: Host names that requests may use; None for any.
    """

    def __init__(self, app, hosts):
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = _POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Cache-Control"] = "no-store"
            await send(message)

        app = self._app
        if not self._is_same_origin(Headers(scope=scope)):
            message = "Requests from other sites are not allowed."
            app = JSONResponse({"error": message}, 403)
        return await app(scope, receive, send_with_headers)

    def _is_same_origin(self, headers):
        host = headers.get("host", "")
        name = _split_url("//" + host).hostname
        if self._hosts is not None and name not in self._hosts:
            return False
        origin = headers.get("origin")
        return origin is None or _split_url(origin).netloc == host


def _split_url(url):
    try:
        return urllib.parse.urlsplit(url)
    except ValueError:
        return urllib.parse.urlsplit("")
