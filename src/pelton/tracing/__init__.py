"""OpenTelemetry traces of what a worker does: docs/tracing.md, decisions/0023.

choice.py    whether anybody wants them; nothing of OpenTelemetry is imported before
context.py   W3C trace context in headers of records, and ids that are the same each time
spans.py     where spans go, and what those of a worker have in common
events.py    what a task tells: slices, and events by choice
commits.py   what a commit tells
tracer.py    all of it, and what is sent and asked from outside of events
"""
