"""A LangChain chain with two models in the place of one: easy questions go to the cheap model, repeated ones to nobody.

Runs offline without a key, and against OpenAI with OPENAI_API_KEY set.
"""

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from thrift_plugins import Config, Runtime, scope
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.testing import offline_openai
from thrift_plugins.types import usd

QUESTIONS = (
    "What is a refund?",
    "What is a refund?",
    "Prove that the square root of 2 is irrational, and explain each step of the argument.",
)


def main() -> None:
    runtime = Runtime(Config(store="memory:"))  # leave this out to keep answers and ledger in files
    prompt = ChatPromptTemplate([("system", "Answer in one sentence."), ("human", "{question}")])
    with offline_openai():
        tiers = [ChatOpenAI(model="gpt-4o-mini"), ChatOpenAI(model="gpt-4o")]
        chain = prompt | ThriftChatModel(tiers=tiers, runtime=runtime) | StrOutputParser()
        with scope(tenant="acme", feature="faq"):
            for question in QUESTIONS:
                print(chain.invoke({"question": question}))
            print("".join(chain.stream({"question": QUESTIONS[0]})))

    for record in runtime.ledger.records():
        bill = record["bill"]
        print(
            f"{record['served_model'] or 'cache':12} ${usd(bill['actual']):.6f} instead of ${usd(bill['baseline']):.6f}"
        )
    runtime.close()


if __name__ == "__main__":
    main()
