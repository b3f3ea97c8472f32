"""Response cache: the call is not made. What may be stored, under which key, and in what form."""

from thrift_plugins.caching.entry import pack, unpack
from thrift_plugins.caching.key import address, canonical
from thrift_plugins.caching.kinds import Kind
from thrift_plugins.caching.policy import Admission, CachePolicy, Rule, ToolCalls

__all__ = ["Admission", "CachePolicy", "Kind", "Rule", "ToolCalls", "address", "canonical", "pack", "unpack"]
