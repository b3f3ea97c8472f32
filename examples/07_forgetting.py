"""Answers that depend on a document are forgotten when it changes: by a tag, in every process that shares the store.

Runs offline without a key, and against OpenAI with OPENAI_API_KEY set.
"""

from langchain_openai import ChatOpenAI

from thrift_plugins import CacheConfig, Config, Runtime, scope
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.testing import offline_openai

QUESTION = "What does the handbook say about refunds?"


def main() -> None:
    runtime = Runtime(Config(store="memory:", cache=CacheConfig(stale=600)))  # or a path, or redis://...
    with offline_openai():
        model = ThriftChatModel(tiers=[ChatOpenAI(model="gpt-4o-mini")], runtime=runtime)

        def ask() -> None:
            with scope(tenant="acme", feature="handbook", tags="doc:42"):
                hit = model.invoke(QUESTION).response_metadata["thrift"]["hit"]
                print("from the cache" if hit else "paid for")

        ask()
        ask()
        print(runtime.forget(tag="doc:42"), "answer forgotten: the document has changed")
        ask()
    runtime.close()


if __name__ == "__main__":
    main()
