"""Faust's own names that programs use as they are; pelton offers them under its own roof."""

from faust import Record
from faust.cli import argument, option
from faust.cli.base import AppCommand

__all__ = ["AppCommand", "Record", "argument", "option"]
