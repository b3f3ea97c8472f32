"""A router learns from answers of known quality, promises something for each feature, and then routes an app.

Runs offline without a key, where the small model fails at proofs on purpose, and against OpenAI with OPENAI_API_KEY set. The
labels are made up here; yours come from gold answers, a judge, or what your users said.
"""

import os
import random
import tempfile
from pathlib import Path

from langchain_openai import ChatOpenAI

from thrift_plugins import Config, LedgerConfig, RoutingConfig, Runtime, scope
from thrift_plugins.langchain import ThriftChatModel
from thrift_plugins.routing.example import Example
from thrift_plugins.routing.training import train
from thrift_plugins.routing.trial import try_out
from thrift_plugins.testing import LoopbackProvider
from thrift_plugins.types import Message, Request, Scope

NAMES = ("gpt-4o-mini", "gpt-4o")


def labelled(count: int, seed: int) -> list[Example]:
    """Questions, and whether each model's answer was good."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        hard = chance.random() < 0.4
        text = f"Prove lemma {number} of the handbook." if hard else f"Where is form {number} kept?"
        request = Request("", 0.0, NAMES[-1], (Message("user", text),), scope=Scope(feature="handbook"))
        made.append(Example(request, {NAMES[0]: float(chance.random() < (0.3 if hard else 0.99)), NAMES[1]: 1.0}))
    return made


def main(**where: str) -> None:
    router = train(labelled(600, seed=1), NAMES, quality=0.97, confidence=0.95)
    promise = router.promises["handbook"]
    print(f"promised for handbook: 97% of the quality, {promise.cheaper:.0%} of the requests by the small model")
    point = try_out(router, labelled(400, seed=2)).point
    print(f"on others: {point.quality:.1%} of the quality at {point.cost:.0%} of the cost")
    router.save(file := Path(tempfile.mkdtemp()) / "router.json")
    routing = RoutingConfig(router=str(file), explore=0.0)
    runtime = Runtime(Config(store="memory:", ledger=LedgerConfig(holdout=0), routing=routing))
    model = ThriftChatModel(tiers=[ChatOpenAI(model=name, **where) for name in NAMES], runtime=runtime)
    with scope(feature="handbook"):
        for question in ("Where is form 12 kept?", "Prove lemma 7 of the handbook."):
            told = model.invoke(question).response_metadata["thrift"]
            print(f"{question} {told['tier']}: {told['reasons'][0]}")
    runtime.close()


if __name__ == "__main__":
    if os.environ.get("OPENAI_API_KEY"):
        main()
    else:
        with LoopbackProvider() as provider:
            main(base_url=provider.base_url, api_key=provider.api_key)
