"""An app built on LlamaIndex's `Settings`: one call of `install`, and everything that reads `Settings.llm` is wrapped.

Runs offline without a key, and against OpenAI with OPENAI_API_KEY set.
"""

from llama_index.core import Document, Settings, SummaryIndex
from llama_index.llms.openai import OpenAI

from thrift_plugins import Config, Runtime
from thrift_plugins.ledger import summarise
from thrift_plugins.llama_index import install
from thrift_plugins.report.wording import money
from thrift_plugins.testing import offline_openai


def main() -> None:
    runtime = Runtime(Config(store="memory:"))
    with offline_openai():
        Settings.llm = OpenAI(model="gpt-4o")  # what your app has
        install(cheaper=[OpenAI(model="gpt-4o-mini")], runtime=runtime)  # what you add

        engine = SummaryIndex.from_documents([Document(text="Shipping is free from 39 euros.")]).as_query_engine()
        for _ in range(3):
            print(engine.query("When is shipping free?"))
        print(Settings.llm.complete("Translate into French: good morning"))

    total = summarise(runtime.ledger.records()).total
    print(f"{total.requests} calls: {money(total.baseline)} without thrift-plugins, {money(total.actual)} with it")
    runtime.close()


if __name__ == "__main__":
    main()
