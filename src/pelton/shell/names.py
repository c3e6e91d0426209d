"""Faust's own names that programs use as they are; pelton offers them under its own roof."""

from faust import Record
from faust.cli import argument, option
from faust.web import Request, Response, View

__all__ = ["Record", "Request", "Response", "View", "argument", "option"]
