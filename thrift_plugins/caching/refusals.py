"""Answers that refuse, and texts of errors that came as answers. Given again, they would stand in the way of a real one.

Only how a text begins is read, in the languages below. Taking an answer for a refusal costs one call; the other
mistake costs every caller an answer, so the patterns lean to the former.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson

from thrift_plugins.shape import words
from thrift_plugins.types import Reply, Request

_HEAD = 300
"""Characters within which a refusal shows itself."""

_ERROR_LENGTH = 400
"""Characters. A longer text that begins like an error explains one."""

_GIVE = (
    "help(?! but)|assist|answer|provide|fulfil|comply|discuss|do (?:that|this|so)|create|generate|write|share|give|support|"
    "engage|continue|process|complete|respond|offer|participate|produce|perform|carry out|accommodate|advise|make|tell|"
    "describe|explain|translate|show|grant|disclose|reveal|follow|proceed|access|browse|open|view|see|identify"
)
_CANNOT = (
    "(?:can't|cannot) (?:and|or) (?:will not|won't)|can't|cannot|can not|won't|will not|could not|couldn't|(?:am|'m) (?:not able|unable|not allowed|not permitted|"
    "not going|not comfortable|not in a position)(?: to)?|(?:must|have to|need to) (?:decline|refuse)(?: to)?|decline to|"
    "do not feel comfortable|don't feel comfortable|'d rather not|would rather not|am not programmed to|'m not programmed to"
)
_SORRY = (
    "i'?m (?:very |so |really |truly |terribly )?sorry|i am (?:very |so )?sorry|sorry|my apologies|apologies|i apologi[sz]e|"
    "unfortunately|regrettably|i understand[^.]{0,80}|thank you[^.]{0,60}"
)
_ENGLISH = (
    rf"(?:(?:{_SORRY})(?: for[^,.]{{0,40}})?[\s,.;:!-]*(?:but |however,? |that )?)?(?:as (?:an? )?(?:ai|large|language|responsible)"
    rf"[^,.]{{0,60}}, ?)?(?:i|this assistant) ?(?:{_CANNOT})\b(?: (?:to|in good conscience|directly|currently|legally|ethically))*"
    rf" ?(?:be able to )?(?:{_GIVE}|$|\.)"
)

_OTHERS = (
    # Chinese, simplified and traditional
    "(?:非常|很|十分|实在)?(?:抱歉|对不起|對不起|遗憾|遺憾|不好意思).{0,40}?(?:无法|無法|不能|没办法|沒辦法|不便|不可以|拒绝|拒絕)",
    "(?:我|作为.{0,20}?(?:我|助手|模型)).{0,8}?(?:无法|無法|不能|不便)(?:为您|为你|就此|对此|直接)?(?:帮助|幫助|协助|協助|提供|回答|满足|滿足|完成|讨论|討論|生成|继续|繼續|参与)",
    # Japanese, Korean
    "(?:大変|誠に)?(?:申し訳|すみません|恐れ入り|ごめんなさい|残念ながら|恐縮).{0,60}?(?:できません|できかね|いたしかね|応じられ|お断り|お答えでき|お手伝いでき)",
    "(?:대단히 |정말 )?(?:죄송|미안|유감|안타깝).{0,60}?(?:수 없|수는 없|어렵습니다|못합니다|불가능)",
    # German, Dutch
    "(?:es )?(?:tut mir (?:sehr )?leid|entschuldig|leider|bedaure|ich bedauere).{0,40}?(?:kann|darf|werde|könnte|möchte)\\b.{0,60}?(?:nicht|kein\\w*)\\b",
    "ich (?:kann|darf|werde) (?:ihnen |dir |euch )?(?:dabei|damit|hierbei|das|diese\\w*|darauf|bei \\w+)[^.]{0,40}? nicht",
    "(?:sorry|het spijt me|helaas).{0,30}?kan ik .{0,40}?(?:niet|geen)\\b",
    # French, Spanish, Portuguese, Italian
    "(?:je suis (?:vraiment |sincèrement )?)?(?:désolée?|je regrette|malheureusement|je m'excuse|navrée?).{0,40}?\\b(?:je|nous) ne (?:peux|suis|pourrai|pouvons|sommes)\\b",
    "(?:lo siento|perdón|disculp|lamentablemente|me temo|desafortunadamente|lamento).{0,40}?\\bno (?:puedo|podemos|me es posible|estoy)\\b",
    "(?:desculpe|me desculpe|sinto muito|lamento|infelizmente).{0,40}?\\bnão (?:posso|podemos|consigo|estou)\\b",
    "(?:mi dispiace|sono spiacente|spiacente|purtroppo|mi scuso).{0,40}?\\bnon (?:posso|possiamo|sono in grado)\\b",
    # Russian, Polish, Turkish, Arabic, Hindi, Vietnamese, Indonesian
    "(?:извините|простите|к сожалению|прошу прощения|сожалею|мне жаль).{0,40}?(?:не могу|не можем|не в состоянии|не имею)",
    "(?:przepraszam|przykro mi|niestety).{0,40}?nie (?:mogę|możemy|jestem w stanie)",
    "(?:üzgünüm|maalesef|özür dilerim|kusura bakma).{0,80}?(?:olamam|edemem|veremem|sağlayamam|yapamam|cevaplayamam|mümkün değil)",
    "(?:أنا )?(?:آسف|عذر|أعتذر|للأسف|نعتذر).{0,40}?(?:لا أستطيع|لا يمكنني|لن أتمكن|غير قادر)",
    "(?:मुझे )?(?:क्षमा|माफ|खेद).{0,80}?(?:नहीं (?:कर|दे) सक|सहायता नहीं|मदद नहीं|असमर्थ)",
    "(?:tôi )?(?:rất )?(?:xin lỗi|rất tiếc).{0,40}?không thể",
    "(?:mohon )?maaf.{0,40}?tidak (?:bisa|dapat)",
)
_REFUSES = re.compile("|".join(f"(?:{pattern})" for pattern in (_ENGLISH, *_OTHERS)), re.DOTALL)
_LEADING = re.compile(r"\W*")

_FAILED = re.compile(
    r"(?:http )?(?:error|exception)\s*(?:code)?\s*(?::|\(|\d{3}\b|-)|[45]\d\d (?:internal|bad|too many|service|gateway|forbidden|"
    r"unauthorized)|internal server error|service (?:is )?(?:temporarily )?unavailable|bad gateway|gateway time-?out|"
    r"too many requests|rate limit (?:exceeded|reached)|(?:the )?request (?:has )?timed out|an? (?:\w+ )?error (?:has )?occurred|"
    r"(?:oops[,!.]* )?something went wrong|traceback \(most recent|(?:!?doctype )?html.{0,200}?<title>\s*(?:[45]\d\d|error|bad gateway)|"
    r"(?:系统|服务器?|网络)(?:繁忙|错误|异常|不可用|超时)|请求(?:失败|超时)|内部错误|サーバーエラー|エラーが発生",
    re.DOTALL,
)


def refusal(request: Request, reply: Reply) -> str | None:
    """Why an answer is none: "refused" or "error text"; None for one that answers."""
    if _refused_in_a_field(reply):
        return "refused"
    if reply.tool_calls:
        return None
    text = words(reply)
    head = text[:_HEAD].lower().replace("\u2019", "'")
    head = _LEADING.sub("", head, count=1)
    if _REFUSES.match(head):
        return "refused"
    failed = len(text) <= _ERROR_LENGTH and (_FAILED.match(head) or (request.schema is None and _only_an_error(text)))
    return "error text" if failed else None


def _refused_in_a_field(reply: Reply) -> bool:
    """Whether the provider itself says that this is a refusal."""
    kept = reply.extra.get("additional_kwargs")
    if isinstance(kept, Mapping) and kept.get("refusal"):
        return True
    return not isinstance(reply.content, str) and any(
        isinstance(block, Mapping) and (block.get("type") == "refusal" or block.get("refusal"))
        for block in reply.content
    )


def _only_an_error(text: str) -> bool:
    """Whether a text is a gateway's JSON error."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return isinstance(told, Mapping) and "error" in told and told.keys() <= _ERROR_KEYS


_ERROR_KEYS = frozenset({"error", "code", "message", "status", "type", "detail", "request_id", "success"})
