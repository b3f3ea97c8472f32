"""Which tools only read.

An answer that calls a tool is a decision to act. Given again, "book it" would act on an old decision, so it is kept
only where every tool that it calls is known to read: the tool says so (`annotations.readOnlyHint` of MCP), the app
says so, or its name does, or, where the name says nothing, its description. Whatever is not known may act.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Literal

from thrift_plugins.shape import function, portable
from thrift_plugins.types import Json, Request, ToolCall


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


_READS = _words("""
get gets fetch fetches list lists search searches find finds lookup lookups read reads retrieve retrieves query queries
show shows view views check checks describe describes count counts calculate calculates compute computes calc convert
converts translate translates compare compares estimate estimates predict predicts forecast analyze analyzes analyse
analyses browse browses explain explains inspect inspects measure measures solve solves detect detects classify
classifies identify identifies determine determines locate locates filter filters summarize summarizes summarise
summarises validate validates recommend recommends suggest suggests is has obtain obtains look looks preview multiply multiplies
divide divides subtract subtracts
""")
_READ_THINGS = _words("""
info information details status calculator conversion converter prediction availability statistics stats weather hours
""")
"""What only reading gives: `weather_info`. Not where anything is done to it: `status_update`."""

_READS_IN_A_SENTENCE = _words(
    "returns return provides provide gives give verifies verify evaluates evaluate displays tells tell"
)
"""Words that read where a description begins with them, and may act in a name: `return_item`."""

_ACTS = _words("""
create creates add adds insert inserts update updates upsert delete deletes remove removes erase destroy drop send sends
submit submits write writes save saves store upload uploads publish publishes cancel cancels execute executes exec eval
deploy deploys buy buys purchase purchases pay pays transfer transfers refund refunds reserve reserves reservation booking
modify modifies edit edits change changes set sets put patch push replace replaces rename move moves copy merge merges
commit assign assigns approve approves reject rejects revoke grant grants subscribe unsubscribe register registers
unregister enroll sign signup login logout checkout invite notify notifies reply forward email tweet enable disable
activate deactivate start starts stop stops restart pause resume trigger triggers launch kill terminate terminates install
uninstall reset clear clears purge truncate lock unlock open close turn switch toggle control adjust generate generates
draw random roll dispatch issue issues confirm confirms accept decline apply sell withdraw deposit invest trade redeem
claim release mark checkin train print configure initialize init append import sync provision schedule schedules handoff delegate escalate
report block ban mute delist archive restore shutdown reboot alter dispense remember memorize forget emit enqueue ingest
""")
_EITHER = _words("""
book books order orders post posts call calls charge charges message messages text note notes log logs record records
share shares play plays run runs review reviews comment comments payment payments request requests mail tag tags pin pins
follow vote like rate bid answer ask ticket tickets invoke file files export exports download downloads command
""")
"""Verbs that act and nouns that do not: `book_flight`, `get_book`. After a word that reads they are nouns."""

_NOUNS_AFTER_READING = _words("""
report reports reservation reservations booking bookings issue issues store stores update updates schedule schedules
transfer transfers change changes set sets email emails block blocks copy stock control purchase purchases
refund refunds trade trades claim claims release releases open close patch commit commits move moves start random
""")
"""Of the words that act, those that are things to read about in `get_reservation_details`."""

_JOINED = frozenset({"and", "or", "then", "also", "n", "if"})
_OUTWARD = frozenset({"in", "out"})
"""`check_in` and `check_out` do not check."""

_HAN_READS = re.compile(r"\s*(?:用于|用来|该工具|此工具|根据|按照|按|通过|从.{1,12}中?|可以|能够)?.{0,12}?"
                        r"(?:查询|获取|搜索|检索|查找|查看|列出|读取|计算|查|翻译|比较|换算|检查|检索|照会|取得|検索|一覧)")  # fmt: skip
_HAN_ACTS = re.compile("创建|新增|添加|新建|删除|移除|修改|更新|编辑|发送|发布|预订|预定|预约|下单|购买|支付|付款|转账|取消|提交|保存|写入|上传|"
                       "注册|登录|执行|运行|启动|停止|重启|打开|关闭|设置|生成|退款|通知|审批|作成|追加|削除|更新|送信|予約|注文|購入|登録|実行")  # fmt: skip
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SEGMENT = re.compile(r"\.|__|/|:")
"""What stands between the parts of a name. The last one names the operation: `github.create_issue`."""

_SQL = re.compile(
    r"\b(?:insert\s+into|update\s+\S+\s+set|delete\s+from|merge\s+into|drop|alter|truncate|grant|revoke|create|replace\s+into|"
    r"call|exec|execute|into\s+outfile)\b|^\s*mutation\b",
    re.IGNORECASE,
)
_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})

Effect = Literal["reads", "acts"]


def acting_call(
    tools: Sequence[Mapping[str, Json]], calls: Sequence[ToolCall], read_only: Collection[str] = ()
) -> str | None:
    """The name of the first called tool that is not known to read only, or None.

    Args:
        tools: as they were offered.
        read_only: names of tools of which the app knows it.
    """
    declared = {portable(str(function(tool).get("name"))): tool for tool in tools}
    for call in calls:
        tool = declared.get(portable(call.name), {})
        if call.name not in read_only and not (_only_reads(call.name, tool) and _harmless(call.arguments)):
            return call.name
    return None


def _only_reads(name: str, tool: Mapping[str, Json]) -> bool:
    hint = _hint(tool)
    if hint is not None:
        return hint
    described = function(tool).get("description")
    return _told(name, described if isinstance(described, str) else "") == "reads"


def _hint(tool: Mapping[str, Json]) -> bool | None:
    """What the tool itself says, in MCP's words."""
    for place in (tool, function(tool)):
        annotations = place.get("annotations")
        if isinstance(annotations, Mapping) and isinstance(annotations.get("readOnlyHint"), bool):
            return annotations["readOnlyHint"] is True
    return None


@lru_cache(maxsize=1_024)
def _told(name: str, description: str) -> Effect | None:
    """What a tool's name tells, and, where that tells nothing, its description."""
    leading = _leading(description)
    operation = _SEGMENT.split(name)[-1]
    effect = _of_words([word.lower() for word in _WORD.findall(operation)]) or _of_han(operation)
    if effect is not None:
        return "acts" if leading == "acts" else effect
    return leading if leading != "reads" or not _acts_later(description) else None


def _of_words(words: Sequence[str]) -> Effect | None:
    """The effect that the words of a name have: the first verb decides, but nothing that acts may come after it."""
    for place, word in enumerate(words):
        later = words[place + 1 :]
        if word in _ACTS or word in _EITHER:
            return "acts"
        if word in _READ_THINGS:
            return "acts" if not (_ACTS | _EITHER).isdisjoint(later) else "reads"
        if word in _READS:
            outward = later[:1] and later[0] in _OUTWARD
            acting = _ACTS - _NOUNS_AFTER_READING if _JOINED.isdisjoint(later) else _ACTS | _EITHER
            return "acts" if outward or not acting.isdisjoint(later) else "reads"
    return None


def _of_han(text: str) -> Effect | None:
    if _HAN_ACTS.search(text):
        return "acts"
    return "reads" if _HAN_READS.match(text) else None


def _leading(description: str) -> Effect | None:
    """What the first verb of a description does."""
    first = _WORD.match(description.lstrip())
    if first is None:
        return _of_han(description[:200])
    word = first.group().lower()
    if word in _READS or word in _READS_IN_A_SENTENCE:
        return "reads"
    return "acts" if word in _ACTS or word in _EITHER else None


def _acts_later(description: str) -> bool:
    words = (word.lower() for word in _WORD.findall(description[:2_000]))
    return any(word in _ACTS and word not in _NOUNS_AFTER_READING for word in words)


def _harmless(arguments: Json) -> bool:
    """Whether no argument is itself an order to act: SQL that writes, an HTTP method that does, a GraphQL mutation."""
    return not any(text.strip().upper() in _METHODS or _SQL.search(text) for text in _texts(arguments))


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, Sequence):
        for inner in value:
            yield from _texts(inner)


_SEARCHES = ("web_search", "google_search", "web_fetch", "url_context", "x_search", "live_search", "google_maps")
_LIBRARIES = ("file_search", "retrieval")
_PLAIN_TYPES = frozenset({"function", "custom", "object"})


def reads_the_web(request: Request) -> bool:
    """Whether the provider may look something up that is another thing tomorrow."""
    if request.params.get("web_search_options") is not None:
        return True
    return any(name.startswith(_SEARCHES) for name in _hosted(request))


def acting_offer(request: Request) -> str | None:
    """The first of the provider's own tools that may do more than read, as a code sandbox or a remote server can."""
    return next((name for name in _hosted(request) if not name.startswith(_SEARCHES + _LIBRARIES)), None)


def _hosted(request: Request) -> Iterator[str]:
    """Names of the provider's own tools that a request offers."""
    given = request.params.get("tools")
    if not (given or request.tools):
        return
    offered = (*request.tools, *(given if isinstance(given, Sequence) and not isinstance(given, str) else ()))
    for tool in offered:
        if not isinstance(tool, Mapping) or not _OWN_TOOL.isdisjoint(tool):
            continue
        kind = tool.get("type")
        if isinstance(kind, str) and kind not in _PLAIN_TYPES:
            yield kind
        elif kind is None and len(tool) == 1 and "name" not in tool:
            yield next(iter(tool))


_OWN_TOOL = frozenset({"function", "parameters", "input_schema", "inputSchema"})
