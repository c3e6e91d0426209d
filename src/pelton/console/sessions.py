"""Sessions that a token opened, and proof that a page of ours asked.

Without a token the web view is read-only. With one, a program brings it as `Authorization: Bearer …`, and a person
signs in once: the cookie that the browser then has is no token, but says until when it counts, signed with a key that
follows from the token. So every worker with that token knows it, and nothing is kept. What a browser posts must bring
the session's CSRF token beside the cookie, in the header `X-CSRF-Token` or the field `csrf`: a page from elsewhere
cannot know it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable

from aiohttp import web

__all__ = ["CSRF_FIELD", "CSRF_HEADER", "SESSION", "SESSION_COOKIE", "SESSION_S", "Sessions"]

SESSION_COOKIE = "pelton_session"
CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf"
#: Where a request keeps the cookie that admitted it; it has none when a header did.
SESSION: web.RequestKey[str] = web.RequestKey("pelton_session", str)
#: For so long a session counts, in seconds.
SESSION_S = 12 * 3600


class Sessions:
    """Opens sessions and knows them again.

    token: the secret that opens them; their key follows from it. now_s: seconds since the epoch.
    """

    def __init__(self, token: bytes, now_s: Callable[[], float]) -> None:
        self._token = token
        self._key = hmac.new(token, b"pelton sessions", hashlib.sha256).digest()
        self._now_s = now_s

    def opens(self, token: str) -> bool:
        """Return whether this is the token."""
        return hmac.compare_digest(token.encode(errors="replace"), self._token)

    def open(self) -> str:
        """Return a new session, for a cookie: its end, something random, and the signature of both."""
        content = f"{int(self._now_s()) + SESSION_S}.{secrets.token_urlsafe(16)}"
        return f"{content}.{self._sign('session', content)}"

    def holds(self, session: str) -> bool:
        """Return whether a cookie is a session of ours that has not ended."""
        content, _, signature = session.rpartition(".")
        if not hmac.compare_digest(signature.encode(errors="replace"), self._sign("session", content).encode()):
            return False
        return int(content.partition(".")[0]) > self._now_s()

    def csrf(self, session: str) -> str:
        """Return what pages of a session bring when they change something."""
        return self._sign("csrf", session)

    def proves(self, session: str, csrf: str) -> bool:
        """Return whether this is a session's CSRF token."""
        return hmac.compare_digest(csrf.encode(errors="replace"), self.csrf(session).encode())

    def _sign(self, purpose: str, content: str) -> str:
        text = f"{purpose}:{content}".encode(errors="replace")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()
