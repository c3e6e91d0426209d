"""Commands beside the worker's: simulators, sources, and what judges the results; `faust -A app --help` lists them."""

from app.commands.check_training import check_training
from app.commands.evaluate import evaluate
from app.commands.evaluate_telemetry import evaluate_telemetry
from app.commands.judge_sentiment import judge_sentiment
from app.commands.models import models
from app.commands.rebuild import rebuild_balances
from app.commands.ship import ship
from app.commands.simulate import simulate
from app.commands.simulate_customers import simulate_customers
from app.commands.simulate_feedback import simulate_feedback
from app.commands.simulate_logs import simulate_logs
from app.commands.simulate_models import simulate_models
from app.commands.simulate_orders import simulate_orders
from app.commands.simulate_questions import simulate_questions
from app.commands.simulate_reviews import simulate_reviews
from app.commands.simulate_telemetry import simulate_telemetry
from app.commands.simulate_terminals import simulate_terminals

__all__ = [
    "check_training",
    "evaluate",
    "evaluate_telemetry",
    "judge_sentiment",
    "models",
    "rebuild_balances",
    "ship",
    "simulate",
    "simulate_customers",
    "simulate_feedback",
    "simulate_logs",
    "simulate_models",
    "simulate_orders",
    "simulate_questions",
    "simulate_reviews",
    "simulate_telemetry",
    "simulate_terminals",
]
