"""Compression in a RAG chain: the model is sent the sentences that the question needs, and the ledger says what that saved.

Runs offline without a key, and against OpenAI with OPENAI_API_KEY set.
"""

from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from thrift_plugins import CompressionConfig, Config, Runtime
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.testing import offline_openai

PASSAGES = """\
[1] Oslo
Oslo is the capital of Norway. It lies at the head of a fjord. Its opera has a roof to walk on.

[2] Bread
Bread is made of flour and water. It is baked in an oven. Some people bake it at home on Sundays.

[3] Rome
Rome is the capital of Italy. It lies on the Tiber. Tourists throw coins into a fountain there.
"""


def main() -> None:
    runtime = Runtime(Config(store="memory:", compression=CompressionConfig(enabled=True, ratio=2.5)))
    prompt = ChatPromptTemplate([("system", "Answer from the passages."), ("human", "Passages:\n{passages}\nQuestion: {question}")])
    with offline_openai():
        model = ThriftChatModel(tiers=[ChatOpenAI(model="gpt-4o-mini", temperature=0)], runtime=runtime)
        answer = (prompt | model).invoke({"passages": PASSAGES, "question": "What is the capital of Norway?"})
        print(answer.text)
    for call in runtime.ledger.records():
        before, after = call["baseline"]["usage"]["input_tokens"], call["usage"]["input_tokens"]
        print(f"sent {after} tokens instead of {before}: {'; '.join(call['reasons'])}")
    runtime.close()


if __name__ == "__main__":
    main()
