"""`create_agent` on a wrapped model: tools are bound to every tier, and each step of the agent is routed and cached.

Runs offline without a key, and against OpenAI with OPENAI_API_KEY set. Needs the extra `agents`.
"""

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI

from thrift_plugins import Config, Runtime
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.testing import offline_openai


@tool
def opening_hours() -> str:
    """Tell the opening hours of the shop."""
    return "9 to 18, closed on Sundays"


def main() -> None:
    runtime = Runtime(Config(store="memory:"))
    with offline_openai():
        tiers = [ChatOpenAI(model="gpt-4o-mini"), ChatOpenAI(model="gpt-4o")]
        agent = create_agent(ThriftChatModel(tiers=tiers, runtime=runtime), tools=[opening_hours])
        for _ in range(2):  # the second time every step is answered from the cache
            result = agent.invoke({"messages": [("user", "What are your opening hours?")]})
            for message in result["messages"]:
                mark = message.response_metadata.get("thrift", {})
                calls = [call["name"] for call in getattr(message, "tool_calls", [])]
                by = f"{mark['tier']}{', from the cache' if mark['hit'] else ''}" if mark else ""
                print(f"{message.type:6} {message.text or calls}  {by}")
    runtime.close()


if __name__ == "__main__":
    main()
