"""Ways in and out over HTTP, and the pages for people."""

from app.pages.accounts import AccountCommands, account_events, account_now, account_statement, accounts_page
from app.pages.alerts import alerts_page
from app.pages.analytics import analytics, analytics_page
from app.pages.anomalies import AnomalyFeedback, anomalies, anomalies_page
from app.pages.chat import Chat, Person, conversation, desk_page, waiting
from app.pages.customers import customer_page, customers_page
from app.pages.devices import device_page, devices_page, devices_state
from app.pages.hub import hub
from app.pages.ledger import ledger_page
from app.pages.logs import logs_page, logs_search, logs_services, logs_templates
from app.pages.models import ModelVersions, model_page
from app.pages.navigation import page_file
from app.pages.orders import CancelOrder, Orders, order_state, shop_page
from app.pages.overview import account, overview, payments_page
from app.pages.reviews import Reviews, product_moods
from app.pages.training import ConsentTaken, RatingTaken, training_page, training_state
from app.pages.transactions import Transactions

__all__ = [
    "AccountCommands",
    "AnomalyFeedback",
    "CancelOrder",
    "Chat",
    "ConsentTaken",
    "ModelVersions",
    "Orders",
    "Person",
    "RatingTaken",
    "Reviews",
    "Transactions",
    "account",
    "account_events",
    "account_now",
    "account_statement",
    "accounts_page",
    "alerts_page",
    "analytics",
    "analytics_page",
    "anomalies",
    "anomalies_page",
    "conversation",
    "customer_page",
    "customers_page",
    "desk_page",
    "device_page",
    "devices_page",
    "devices_state",
    "hub",
    "ledger_page",
    "logs_page",
    "logs_search",
    "logs_services",
    "logs_templates",
    "model_page",
    "order_state",
    "overview",
    "page_file",
    "payments_page",
    "product_moods",
    "shop_page",
    "training_page",
    "training_state",
    "waiting",
]
