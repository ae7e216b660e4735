"""Keep other sites' pages away from a server that runs for its visitor."""

import urllib.parse

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

# The page needs nothing from elsewhere, so its browser shall load nothing.
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Guard:
    """Refuses what was not sent by the page itself, and marks answers.

    A page of another site can make its visitor's browser call a server on
    that visitor's own computer: under a name that the site has pointed there,
    which shows in the header `Host`, or plainly, which shows in `Origin`.

    Args:
        app: The ASGI application behind it.
        hosts: Names that the server may be called by; None for any.
    """

    def __init__(self, app, hosts):
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self._app(scope, receive, send)

        async def send_marked(message):
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = _POLICY
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Cache-Control"] = "no-store"
            await send(message)

        app = self._app
        if not self._is_own(Headers(scope=scope)):
            message = "This server answers only its own page."
            app = JSONResponse({"error": message}, 403)
        return await app(scope, receive, send_marked)

    def _is_own(self, headers):
        host = headers.get("host", "")
        name = _split("//" + host).hostname
        if self._hosts is not None and name not in self._hosts:
            return False
        origin = headers.get("origin")
        return origin is None or _split(origin).netloc == host


def _split(address):
    try:
        return urllib.parse.urlsplit(address)
    except ValueError:
        return urllib.parse.urlsplit("")
