"""One cache for several processes, on Redis or Valkey: what one has paid for, the others get for nothing.

Needs a server at REDIS_URL (default redis://localhost:6379) and, for real use, THRIFT_SECRET: the same random words in
every process, so that nobody else on the server can plant an answer. Runs offline without a key, and against OpenAI
with OPENAI_API_KEY set.
"""

import os
import secrets

from langchain_openai import ChatOpenAI
from redis import Redis, RedisError

from thrift_plugins import Config, LedgerConfig, Runtime
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.testing import offline_openai

URL = os.environ.get("REDIS_URL", "redis://localhost:6379")


def reachable() -> bool:
    try:
        with Redis.from_url(URL, socket_connect_timeout=1, socket_timeout=1) as client:
            return bool(client.ping())
    except RedisError:
        return False


def process(question: str) -> None:
    """What each of your processes does."""
    runtime = Runtime(Config(store=URL, ledger=LedgerConfig(url="memory:")))
    model = ThriftChatModel(tiers=[ChatOpenAI(model="gpt-4o-mini")], runtime=runtime)
    answer = model.invoke(question)
    print("from the cache:" if answer.response_metadata["thrift"]["hit"] else "paid for:", answer.text)
    runtime.close()


def main() -> None:
    if not reachable():
        print(f"No Redis answers at {URL}: start one, or set REDIS_URL.")
        return
    os.environ.setdefault("THRIFT_SECRET", secrets.token_hex(32))
    with offline_openai():
        process("What is a vector?")
        process("What is a vector?")


if __name__ == "__main__":
    main()
