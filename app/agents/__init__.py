"""The stream processors. `fraud` is the one to read first."""

from app.agents.accounts import apply, decide
from app.agents.anomalies import hear_feedback, judge_suspects, select_payments
from app.agents.balances import fill
from app.agents.cases import correlate
from app.agents.chat import chat
from app.agents.customers import follow
from app.agents.deployment import judge, predict, register
from app.agents.desk import take_over
from app.agents.fraud import fraud
from app.agents.hub import from_files, from_lines, to_warehouse, watch
from app.agents.logs import parse_lines, watch_services
from app.agents.mood import message_mood, mood
from app.agents.orders import follow_orders
from app.agents.quality import hear_alerts, hear_labels
from app.agents.remember import latest_alerts, remember, remember_payments
from app.agents.sentiment import overhear, sentiment
from app.agents.teaching import foresee, hear_ratings, teach
from app.agents.telemetry import summarize, watch_devices
from app.agents.traffic import traffic
from app.agents.training import collect, curate, to_files, to_parquet
from app.agents.transfers import transfers

__all__ = [
    "apply",
    "chat",
    "collect",
    "correlate",
    "curate",
    "decide",
    "fill",
    "follow",
    "follow_orders",
    "foresee",
    "fraud",
    "from_files",
    "from_lines",
    "hear_alerts",
    "hear_feedback",
    "hear_labels",
    "hear_ratings",
    "judge",
    "judge_suspects",
    "latest_alerts",
    "message_mood",
    "mood",
    "overhear",
    "parse_lines",
    "predict",
    "register",
    "remember",
    "remember_payments",
    "select_payments",
    "sentiment",
    "summarize",
    "take_over",
    "teach",
    "to_files",
    "to_parquet",
    "to_warehouse",
    "traffic",
    "transfers",
    "watch",
    "watch_devices",
    "watch_services",
]
