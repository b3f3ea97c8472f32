"""What the tests of students share: a task that can be learnt, a teacher who knows it, and students trained on it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from thrift_plugins import CacheConfig, Config, DistillationConfig, LedgerConfig, RoutingConfig
from thrift_plugins.distillation.dataset import Dataset, Example
from thrift_plugins.distillation.forms import Answer
from thrift_plugins.distillation.life import Life
from thrift_plugins.stores.base import Store
from thrift_plugins.teaching import change_life, make_current, terms_of, trained

TASK, TEACHER = "intent", "gpt-4o"
PROMPT = "Answer with one label.\n\nText: "

TOPICS = {
    "card_lost": ("lost my card", "card is gone", "cannot find my card", "card was stolen", "someone took my card"),
    "top_up": ("top up my account", "add money", "load funds", "put cash on my balance", "recharge the account"),
    "exchange_rate": ("exchange rate", "convert currency", "rate for dollars", "swap euros", "foreign money price"),
    "close_account": (
        "close my account",
        "delete my profile",
        "cancel the account",
        "leave the bank",
        "end my contract",
    ),
}
_OPENINGS = (
    "hello,",
    "please help,",
    "hi there,",
    "quick thing:",
    "so",
    "listen,",
    "sorry,",
    "good day,",
    "right,",
    "ok",
)
_CLOSINGS = (
    "today",
    "right now",
    "since friday",
    "for my wife",
    "in london",
    "again",
    "before noon",
    "at home",
    "tomorrow",
)
_FILLERS = ("maybe", "really", "just", "actually", "honestly", "probably", "somehow", "finally", "still", "only")


def texts(count: int, *, seed: int = 0, topics: Sequence[str] = tuple(TOPICS)) -> Iterator[tuple[str, str]]:
    """So many different texts, each with its topic."""
    chance, seen = random.Random(seed), set[str]()
    while len(seen) < count:
        topic = chance.choice(list(topics))
        words = [
            chance.choice(_OPENINGS), "I", chance.choice(_FILLERS), chance.choice(TOPICS[topic]), chance.choice(_FILLERS),
            chance.choice(_CLOSINGS), str(chance.randrange(1000)),
        ]  # fmt: skip
        text = " ".join(words)
        if text not in seen:
            seen.add(text)
            yield text, topic


def topic_of(text: str) -> str:
    """What the teacher says of a text."""
    return next((topic for topic, phrases in TOPICS.items() if any(phrase in text for phrase in phrases)), "other")


def examples(count: int, prompt: str, *, answer: Any = Answer, seed: int = 0) -> list[Example]:
    """Recorded answers of the teacher."""
    return [
        Example(PROMPT + text, answer(topic), TEACHER, prompt, "random", float(at), (60, 3))
        for at, (text, topic) in enumerate(texts(count, seed=seed))
    ]


def settings(folder: Path, **own: Any) -> Config:
    """An app's settings, with students."""
    told = {"enabled": True, "folder": str(folder), "audit": 0.02, **own}
    return Config(
        store=f"sqlite:///{folder}/store.db",
        cache=CacheConfig(enabled=False),
        routing=RoutingConfig(enabled=False),
        ledger=LedgerConfig(holdout=0.0),
        distillation=DistillationConfig(**told),
    )


_TRAINED: dict[tuple[str, str], Path] = {}


def student(config: Config, prompt: str, *, answer: Any = Answer, count: int = 260) -> str:
    """Train one on what such a teacher said, once in a process; gives its version."""
    folder = Path(config.distillation.folder) / TASK
    Dataset(folder.parent, TASK).append(examples(count, prompt, answer=answer))
    kept = _TRAINED.get((prompt, answer("top_up").tool))
    if kept is None:
        version = trained(config, TASK).version
        _TRAINED[prompt, answer("top_up").tool] = folder / f"{version}.student"
        return version
    shutil.copy(kept, folder / kept.name)
    make_current(folder.parent, TASK, kept.stem)
    return kept.stem


def let_serve(store: Store, config: Config, version: str, *, threshold: float = 0.5, state: Any = "active") -> Life:
    """Put a student where weeks in the shadow would have."""
    terms = terms_of(config.distillation)
    life = Life(version, terms, state, "for a test", threshold=threshold)
    return change_life(store, TASK, version, terms, lambda _: life)
