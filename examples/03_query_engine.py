"""A LlamaIndex query engine with a wrapped LLM: whole and streamed answers, and a tier chosen by hand.

Runs offline without a key, and against OpenAI with OPENAI_API_KEY set.
"""

from llama_index.core import Document, SummaryIndex
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import ChatPromptTemplate
from llama_index.llms.openai import OpenAI

from thrift_plugins import Config, Runtime, route
from thrift_plugins.llama_index import ThriftLLM
from thrift_plugins.testing import offline_openai

DOCUMENTS = (
    "A machine can be returned within 30 days for a full refund.",
    "The warranty is three years, and five years for members of the club.",
)

# The question alone is the user's turn, so that routing reads the question and not the documents.
PROMPT = ChatPromptTemplate(
    [
        ChatMessage(role="system", content="Answer from these documents:\n{context_str}"),
        ChatMessage(role="user", content="{query_str}"),
    ]
)


def main() -> None:
    runtime = Runtime(Config(store="memory:"))
    index = SummaryIndex.from_documents([Document(text=text) for text in DOCUMENTS])
    with offline_openai():
        llm = ThriftLLM(tiers=[OpenAI(model="gpt-4o-mini"), OpenAI(model="gpt-4o")], runtime=runtime)
        engine = index.as_query_engine(llm=llm, text_qa_template=PROMPT)
        print(engine.query("How long is the warranty?"))
        print(engine.query("How long is the warranty?"))
        with route("gpt-4o"):  # whatever the router thinks
            print(engine.query("How long is the warranty for members?"))

        streaming = index.as_query_engine(llm=llm, text_qa_template=PROMPT, streaming=True)
        for piece in streaming.query("Can I return it?").response_gen:
            print(piece, end="", flush=True)
        print()

    for record in runtime.ledger.records():
        print(record["served_model"] or "cache", "because:", ", ".join(record["reasons"]))
    runtime.close()


if __name__ == "__main__":
    main()
