"""Reads the logs that an app has already, whoever wrote them, and says what they tell of its bill, and what they cannot."""

from thrift_plugins.replay.logs.formats import FORMATS, Log, open_log
from thrift_plugins.replay.logs.logged import Logged
from thrift_plugins.replay.logs.study import Study, study

__all__ = ["FORMATS", "Log", "Logged", "Study", "open_log", "study"]
