"""The application object, its topics and entities; every other module of `app` hangs something on them."""

from __future__ import annotations

import os
from pathlib import Path

import pelton
from app.llm import LanguageModel, ModelSettings
from app.llm.metrics import ModelCollector
from app.models import (
    Alert,
    ChatReply,
    DeviceAlert,
    DeviceMinute,
    Feedback,
    HandOver,
    Judgement,
    LogAlert,
    LogLine,
    ModelOrder,
    MoodAlert,
    Outcome,
    PersonAnswer,
    Prediction,
    Question,
    RawLine,
    Reading,
    Review,
    ScoredReading,
    Sentiment,
    Suspect,
    Transaction,
)
from app.models.case import Case
from app.models.customer import CustomerRow
from app.models.ledger import Account, AccountCommand, AccountEvent
from app.models.order import OrderEvent
from app.models.terminal import TerminalEvent
from app.models.training import ConversationEvent, Example
from app.retention import DECISIONS, DELETIONS, DERIVED, EVENTS, FOR_EVER, PIECES, REPLIES

__all__ = [
    "BANK_ID",
    "accounts",
    "alerts",
    "anomaly_alerts",
    "app",
    "cases",
    "chat_replies",
    "conversation_events",
    "customer_rows",
    "dataset",
    "device_alerts",
    "device_minutes",
    "examples",
    "feedback",
    "hand_overs",
    "hub_directory",
    "judgements",
    "late_readings",
    "log_alerts",
    "logs",
    "message_sentiments",
    "model",
    "model_orders",
    "model_outcomes",
    "mood_alerts",
    "order_events",
    "person_answers",
    "predictions",
    "questions",
    "raw_logs",
    "readings",
    "reviews",
    "scored_readings",
    "sentiments",
    "suspects",
    "terminal_events",
    "terminal_lines",
    "training_directory",
    "transactions",
]

#: BANK_ID names its groups, tables and entities, so that two of them can work on one Kafka and not know each other.
BANK_ID = os.environ.get("BANK_ID", "bank")

app = pelton.App(BANK_ID, topic_partitions=4, reply_expires=REPLIES, changelog_delete_retention_ms=DELETIONS)


def _own(topic: str) -> str:
    """Return the name of a topic that no other bank on the same Kafka is to read."""
    return topic if BANK_ID == "bank" else f"{BANK_ID}-{topic}"


#: The language model that agents may ask, if there is a key for one; docs/language-model.md.
model = LanguageModel(ModelSettings.load(os.environ))
app.metrics.register(ModelCollector(model.statistics))

#: Card payments, keyed by account, so that one account's payments are processed in order.
transactions = app.topic(_own("transactions"), key_type=str, value_type=Transaction, partitions=4, retention=EVENTS)

#: Suspicions, keyed by account.
alerts = app.topic(_own("alerts"), key_type=str, value_type=Alert, partitions=4, retention=DECISIONS)

#: What a person looks into, keyed by account: a case when it is opened, and when another rule joins in.
cases = app.topic(_own("cases"), key_type=str, value_type=Case, partitions=4, retention=DECISIONS)

#: Bank accounts, each the sum of its events; what may be asked of them is in `app.agents.accounts`.
accounts: pelton.Entity[str, Account] = app.entity(
    "accounts",
    state=Account,
    commands=AccountCommand,
    events=AccountEvent,
    partitions=4,
    retention=EVENTS,
    help="Bank accounts that are the sum of their events.",
)

#: Where terminals' log files come in, and Parquet files go out.
hub_directory = Path(os.environ.get("HUB_DIRECTORY") or Path(app.conf.datadir) / "hub")

#: What card terminals log, keyed by terminal.
terminal_events = app.topic(_own("terminals"), key_type=str, value_type=TerminalEvent, partitions=4, retention=EVENTS)

#: The same, a line each, as Kafka Connect reads them where our own connectors do not reach.
terminal_lines = app.topic(_own("terminal-lines"), key_type=str, value_type=bytes, partitions=4, retention=DERIVED)

#: Customers' master data, keyed by account: a row as it is after each change, and None when it was deleted. Compacted:
#: the last of each is kept for ever, so the topic holds the whole table.
customer_rows = app.topic(
    _own("customers"), key_type=str, value_type=CustomerRow, partitions=4, compacting=True, allow_empty=True
)

#: Lines as services wrote them, keyed by where they were found (a file, a unit), so that their order is kept.
raw_logs = app.topic(_own("raw-logs"), key_type=str, value_type=RawLine, partitions=4, retention=DERIVED)

#: Lines in one shape, keyed by service. A record's own time is when its line was shipped; `LogLine.ts` is the line's.
logs = app.topic(_own("logs"), key_type=str, value_type=LogLine, partitions=4, retention=EVENTS)

#: What a person should look at in the services' logs, keyed by service.
log_alerts = app.topic(_own("log-alerts"), key_type=str, value_type=LogAlert, partitions=4, retention=DECISIONS)

#: What devices measure, keyed by device. A record's own time is when it reached us; `Reading.ts` is the device's.
readings = app.topic(_own("readings"), key_type=str, value_type=Reading, partitions=4, retention=EVENTS)

#: Readings that came after their minute was final.
late_readings = app.topic(_own("late-readings"), key_type=str, value_type=Reading, partitions=4, retention=EVENTS)

#: Each minute of each device, once; how unusual each reading was; what a person should look at. All keyed by device.
device_minutes = app.topic(
    _own("device-minutes"), key_type=str, value_type=DeviceMinute, partitions=4, retention=EVENTS
)
scored_readings = app.topic(
    _own("scored-readings"), key_type=str, value_type=ScoredReading, partitions=4, retention=DERIVED
)
device_alerts = app.topic(
    _own("device-alerts"), key_type=str, value_type=DeviceAlert, partitions=4, retention=DECISIONS
)

#: What customers write about products; their understanding; products whose reviews drop. All keyed by product.
reviews = app.topic(_own("reviews"), key_type=str, value_type=Review, partitions=4, retention=EVENTS)
sentiments = app.topic(_own("sentiments"), key_type=str, value_type=Sentiment, partitions=4, retention=DERIVED)
mood_alerts = app.topic(_own("mood-alerts"), key_type=str, value_type=MoodAlert, partitions=4, retention=DECISIONS)

#: How messages in chats are understood, keyed by channel. A topic of its own: these happen now, while reviews may be
#: replayed from long ago, and windows of one partition have one time.
message_sentiments = app.topic(
    _own("message-sentiments"), key_type=str, value_type=Sentiment, partitions=4, retention=DERIVED
)

#: What customers ask; the answers on their way to them, piece by piece, kept for an hour; what a person is to go on
#: with. All keyed by account.
questions = app.topic(_own("questions"), key_type=str, value_type=Question, partitions=4, retention=EVENTS)
chat_replies = app.topic(_own("chat-replies"), key_type=str, value_type=ChatReply, partitions=4, retention=PIECES)
hand_overs = app.topic(_own("hand-overs"), key_type=str, value_type=HandOver, partitions=4, retention=DECISIONS)

#: What people of the bank say in conversations that were handed over, keyed by account.
person_answers = app.topic(
    _own("person-answers"), key_type=str, value_type=PersonAnswer, partitions=4, retention=DECISIONS
)

#: Records that are to be judged; what was made of each; those that are alerts; what people say of it. All keyed by the
#: record's account or service.
suspects = app.topic(_own("suspects"), key_type=str, value_type=Suspect, partitions=4, retention=DERIVED)
judgements = app.topic(_own("judgements"), key_type=str, value_type=Judgement, partitions=4, retention=EVENTS)
anomaly_alerts = app.topic(
    _own("anomaly-alerts"), key_type=str, value_type=Judgement, partitions=4, retention=DECISIONS
)
feedback = app.topic(_own("feedback"), key_type=str, value_type=Feedback, partitions=4, retention=DECISIONS)

#: The registry of models: what is asked of it, and what became of that, keyed by the model's name and kept for ever;
#: what models say of reviews, keyed like these.
model_orders: pelton.Topic[str, ModelOrder] = app.topic(
    _own("models"), key_type=str, value_type=ModelOrder, partitions=4, retention=FOR_EVER
)
model_outcomes = app.topic(_own("model-outcomes"), key_type=str, value_type=Outcome, partitions=4, retention=DECISIONS)
predictions = app.topic(_own("predictions"), key_type=str, value_type=Prediction, partitions=4, retention=DERIVED)

#: All that happens to orders, keyed by order: `app.services` and the gateway in `app.pages.orders` read and write it.
order_events = app.topic(_own("order-events"), key_type=str, value_type=OrderEvent, partitions=4, retention=EVENTS)

#: What became of conversations, keyed by account: exchanges, feedback and consent, in the order in which they came; and
#: what is to be trained on, keyed by data set: as it comes, and without near-duplicates.
conversation_events: pelton.Topic[str, ConversationEvent] = app.topic(
    _own("conversation-events"), key_type=str, value_type=ConversationEvent, partitions=4, retention=EVENTS
)
examples = app.topic(_own("examples"), key_type=str, value_type=Example, partitions=4, retention=DERIVED)
dataset = app.topic(_own("dataset"), key_type=str, value_type=Example, partitions=4, retention=FOR_EVER)

#: Where data for training is written.
training_directory = hub_directory / "training"
