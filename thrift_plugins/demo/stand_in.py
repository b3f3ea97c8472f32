"""What the provider on this machine answers: sentences of the articles that it was sent, as a model would quote them."""

from __future__ import annotations

import re

from thrift_plugins.demo.knowledge import terms
from thrift_plugins.testing import Answer, WireRequest
from thrift_plugins.testing.script import text_of

_PAGE = re.compile(r"^## .*\n", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[\u3002\uff01\uff1f])|\n")
_TERMS_PER_SENTENCE = 4
"""A longer question gets a longer answer."""


def quote(request: WireRequest) -> Answer:
    """The sentences that share most with the question, in the order in which they stand in the articles."""
    asked = set(terms(request.last_user))
    prompt = "\n".join(text_of(message.get("content")) for message in request.messages if message["role"] == "system")
    _instructions, *pages = _PAGE.split(prompt)
    sentences = [line for page in pages for line in _SENTENCE_END.split(page) if line.strip()]
    ranked = sorted(range(len(sentences)), key=lambda at: (-len(asked & set(terms(sentences[at]))), at))
    chosen = sorted(ranked[: 1 + len(asked) // _TERMS_PER_SENTENCE])
    return Answer(" ".join(sentences[at].strip() for at in chosen) or "The articles do not say.")
