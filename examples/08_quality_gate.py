"""A tactic that harms a feature is found and taken off, there and nowhere else.

Runs offline without a key, where the small model is wrong about prices on purpose, and against OpenAI with OPENAI_API_KEY set,
where it hardly is. Sixty questions cost a few cents at most there.
"""

import os
import time

from langchain_openai import ChatOpenAI

from thrift_plugins import CacheConfig, Config, LedgerConfig, QualityConfig, Runtime, scope
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.testing import Answer, LoopbackProvider, WireRequest


def wrong_about_prices(request: WireRequest) -> Answer:
    """What the stand-in says: labels, of which the small model gets those of one feature wrong."""
    wrong = request.model == "gpt-4o-mini" and "price" in request.last_user
    return Answer(text="no" if wrong else "yes")


def main(**where: str) -> None:
    quality = QualityConfig(enabled=True, share=1.0)  # an app would compare 5 % or less
    own = Config(store="memory:", cache=CacheConfig(enabled=False), ledger=LedgerConfig(holdout=0), quality=quality)
    runtime = Runtime(own)
    model = ThriftChatModel(tiers=[ChatOpenAI(model=name, **where) for name in ("gpt-4o-mini", "gpt-4o")], runtime=runtime)
    for number in range(30):
        for feature, thing in (("prices", "price"), ("names", "name")):
            with scope(feature=feature):
                model.invoke(f"Answer yes or no: is {number} a {thing}?")
        time.sleep(0.02)  # the answers are compared in the background
    for standing in runtime.gate.standings():
        off = "rolled back" if standing.off_since else "on"
        print(f"{standing.tactic} for {standing.feature}: {standing.verdict}, {off}")
    runtime.close()


if __name__ == "__main__":
    if os.environ.get("OPENAI_API_KEY"):
        main()
    else:
        with LoopbackProvider() as provider:
            provider.script(wrong_about_prices)
            main(base_url=provider.base_url, api_key=provider.api_key)
