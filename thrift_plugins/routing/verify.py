"""Why a cheap answer must not stand, told from the answer alone: no model and no training is asked."""

from __future__ import annotations

import re
from typing import Final

from thrift_plugins.routing.arithmetic import wrong
from thrift_plugins.routing.constraints import output_limit
from thrift_plugins.shape import misfit, words
from thrift_plugins.types import Reply, Request

_REFUSAL: Final = re.compile(
    r"\s*(?:i['\u2019]m sorry|i am sorry|sorry|i apologi[sz]e|unfortunately)?,?\s*(?:but\s+)?(?:as an ai[\w ]*,\s*)?"
    r"(?:i (?:can['\u2019]?t|cannot|can not|am unable|['\u2019]m unable|am not able|won['\u2019]t|do not have|don['\u2019]t have)"
    r"|i['\u2019]m (?:unable|not able)|es tut mir leid, (?:aber )?ich kann|tut mir leid, (?:aber )?(?:das|ich) kann"
    r"|je suis désolée?,? (?:mais )?je ne (?:peux|suis)|désolée?,? (?:mais )?je ne|lo siento,? (?:pero )?no puedo"
    r"|desculpe,? (?:mas )?não posso|mi dispiace,? (?:ma )?non posso|к сожалению, я не могу|извините, (?:но )?я не могу)",
    re.IGNORECASE,
)
_REFUSAL_UNSPACED: Final = re.compile(
    r"\s*(?:抱歉|对不起|對不起|很抱歉|申し訳|すみません|죄송)[^。.!\n]{0,30}(?:无法|不能|無法|できません|できかねます|할 수 없|수 없습니다)"
)
_SHORT: Final = 600
"""Letters of an answer that may be a refusal; a longer one has something to say."""

_CUT: Final = frozenset({"length", "max_tokens", "MAX_TOKENS"})
_FILTERED: Final = frozenset({"content_filter", "SAFETY", "refusal"})


def rejects(request: Request, reply: Reply) -> str | None:
    """The reason to ask a stronger tier, or None where nothing speaks against the answer.

    Returns:
        A short phrase such as "content filter", "truncated", "empty answer", "refusal", "wrong sum: 2 + 2 = 5", "missing
        argument 'city' of 'weather'".
    """
    if reply.finish_reason in _FILTERED:
        return "content filter"
    if reply.finish_reason in _CUT and output_limit(request) is None:
        return "truncated"
    said = words(reply)
    if not reply.tool_calls:
        if not said.strip():
            return "empty answer"
        if refuses(said):
            return "refusal"
    problem = misfit(request, reply)
    if problem is None and request.schema is None and not reply.tool_calls:
        false = wrong(said)
        problem = None if false is None else f"wrong sum: {false}"
    return problem


def refuses(said: str) -> bool:
    """Whether an answer is a refusal, in one of ten languages."""
    return len(said) <= _SHORT and (_REFUSAL.match(said) is not None or _REFUSAL_UNSPACED.match(said) is not None)
