"""thrift-plugins for LangChain."""

from thrift_plugins.langchain.cache import ResponseCache
from thrift_plugins.langchain.chat_model import ThriftChatModel

__all__ = ["ResponseCache", "ThriftChatModel"]
