"""Ways in and out over HTTP, and the first page."""

from app.pages.alerts import alerts_page
from app.pages.overview import account, index, overview, script, style
from app.pages.transactions import Transactions

__all__ = ["Transactions", "account", "alerts_page", "index", "overview", "script", "style"]
