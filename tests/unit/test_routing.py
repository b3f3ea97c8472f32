"""Constraints, the rules, fallback reasons, and the checks of cheap answers."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import httpx
import openai
import pytest
from langchain_core.exceptions import OutputParserException
from openai.types.chat import ChatCompletion

from thrift_plugins.config import RoutingConfig
from thrift_plugins.errors import ConfigError, StoreUnavailable, UnsupportedByTier
from thrift_plugins.routed import open_router
from thrift_plugins.routing import RuleRouter, eligible, forced, input_billed, misread, recoverable, rejects
from thrift_plugins.types import NO_USAGE, Message, Reply, Request, Scope, Tier, ToolCall

DATA = Path(os.environ.get("THRIFT_DATA", Path(__file__).parents[2] / "../shared/data"))
CHEAP, STRONG = TIERS = (Tier("cheap", "small-1"), Tier("strong", "large-1"))
WEATHER = {
    "name": "get_weather",
    "description": "Weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "unit": {"type": "string", "enum": ["c", "f"]}},
        "required": ["city"],
    },
}


def ask(text: str, system: str = "", **fields: object) -> Request:
    messages = ((Message("system", system),) if system else ()) + (Message("user", text),)
    return Request("r", 0.0, "large-1", fields.pop("messages", messages), **fields)  # type: ignore[arg-type]


def tier(text: str, **fields: object) -> str:
    return RuleRouter().decide(ask(text, **fields), TIERS, 1).name


# ---- rules ----

SIMPLE = [
    ("Hello!", "你好！"),
    ("Thanks, that helped.", "谢谢，帮到我了。"),
    ("What is the capital of France?", "法国的首都是哪里？"),
    ("What are your opening hours?", "你们的营业时间是什么？"),
    ("Translate 'good morning' into Spanish.", "把“早上好”翻译成西班牙语。"),
    ("Where is my parcel?", "我的包裹在哪里？"),
    ("How do I reset my password?", "怎么重置我的密码？"),
    ("Is this review positive or negative? 'I love this shop.'", "这条评论是正面还是负面？“我很喜欢这家店。”"),
    ("Extract the name: My name is Anna Lee.", "提取姓名：我叫李安娜。"),
    ("Put these words in alphabetical order: pear, apple, fig", "把这些词按字母顺序排列：pear, apple, fig"),
    ("Who wrote Hamlet?", "《哈姆雷特》是谁写的？"),
    ("Can I change my delivery address?", "我可以修改收货地址吗？"),
    ("Correct the spelling: I recieved teh parcel.", "改正错别字：我收道了包裹。"),
    ("What does the word 'frugal' mean?", "“节俭”这个词是什么意思？"),
    ("Do you ship to Canada?", "你们发货到加拿大吗？"),
    ("Please speak to me in English.", "请用中文和我说话。"),
    ("Write a short greeting for my colleague's birthday.", "给同事写一句简短的生日祝福。"),
    ("Is a tomato a fruit?", "番茄是水果吗？"),
    ("What colour is the flag of Japan?", "日本国旗是什么颜色？"),
    ("When does the sale end?", "促销什么时候结束？"),
]
HARD = [
    ("Prove that the square root of 2 is irrational.", "证明根号2是无理数。"),
    ("Design a distributed cache and analyse its failure modes.", "设计一个分布式缓存并分析它的故障模式。"),
    ("Which of the following is a noble gas?\nA. Oxygen\nB. Neon\nC. Iron\nD. Gold", "下列哪一项是惰性气体？\nA. 氧\nB. 氖\nC. 铁\nD. 金"),
    (
        "Anna has 12 apples, gives 5 to Ben and buys 8 more. How many apples does she have?",
        "安娜有12个苹果，给了本5个，又买了8个。她现在有多少个苹果？",
    ),
    ("Debug this: ```def f(x): return x[1]``` It fails for short lists.", "调试：```def f(x): return x[1]``` 列表太短时会失败。"),
    ("The patient has a fever and these symptoms; what is the diagnosis?", "患者发烧并有这些症状，诊断是什么？"),
    ("Is this contract clause enforceable in court?", "这份合同的条款在法院可以执行吗？有什么法律责任？"),
    ("Analyse the root cause of this system failure.", "分析这个系统故障的根因。"),
    ("Solve the equation x^2 + 3x = 10 step by step.", "逐步求解方程 x^2 + 3x = 10。"),
    ("Write a detailed report about our market strategy.", "写一份关于我们市场策略的详细报告。"),
    ("Evaluate the trade-offs of microservices and a monolith.", "评估微服务与单体架构的权衡。"),
    ("Calculate the probability of two heads in 5 coin tosses.", "计算抛5次硬币出现两次正面的概率。"),
    ("Write a Python script that parses a log, with unit tests.", "编写一个Python脚本来解析日志，代码要有测试。"),
    ("What dosage of this drug is safe in pregnancy, and which treatment is better?", "孕妇服用这种药的安全剂量是多少？哪种治疗更好？"),
    ("Compare and justify two strategies to enter the market.", "比较并论证进入市场的两种策略。"),
    ("Derive the formula step by step.", "一步一步推导这个公式。"),
    ("Optimise this query and explain why it is slow: SELECT * FROM a", "优化这个查询并解释为什么慢：SELECT * FROM a"),
    ("The capital city named in the treaty was ____.", "条约中提到的首都是____。"),
    ("Write an essay with a detailed analysis of the novel.", "写一篇详细分析这部小说的论文。"),
    ("A train travels 60 km in 2 hours. How far does it go in 5 hours?", "一列火车2小时行驶60公里，5小时行驶多少公里？"),
]
PARAPHRASES = [
    ("What is the capital of France?", "Which city is the capital of France?"),
    ("Hi there!", "Hello, good morning!"),
    ("How do I reset my password?", "I forgot my password, how can I set a new one?"),
    ("Where is my parcel?", "Could you tell me where my package is?"),
    ("Translate 'thank you' into German.", "How do you say 'thank you' in German?"),
    ("Who wrote Hamlet?", "Who is the author of Hamlet?"),
    ("What are your opening hours?", "When are you open?"),
    ("Do you ship to Canada?", "Is delivery to Canada possible?"),
    ("Is a tomato a fruit?", "Would you call a tomato a fruit?"),
    ("Fix the spelling: recieve", "Please correct the spelling of 'recieve'."),
    ("What does frugal mean?", "Give me the meaning of the word frugal."),
    ("Can I pay by card?", "Are card payments accepted?"),
    ("Cancel my order please.", "I would like to cancel my order."),
    ("Is this positive or negative: I love it", "Label the sentiment as positive or negative: I love it"),
    ("Extract the city: I live in Rome.", "Which city is named here? I live in Rome."),
    ("When does the sale end?", "What is the last day of the sale?"),
    ("Say happy birthday to Tom.", "Write a happy birthday wish to Tom."),
    ("What colour is the sky?", "Tell me the colour of the sky."),
    ("Do you have this in blue?", "Is this available in blue?"),
    ("Make this lower case: HELLO", "Convert HELLO to lower case."),
    ("Prove that there are infinitely many primes.", "Give a proof that the primes never end."),
    ("Analyse why our churn rose and design a strategy.", "Do an analysis of our rising churn and design a plan against it."),
    ("Solve x^2 = 9 + 2x.", "Find all x with x^2 = 9 + 2x, solve it."),
    ("Write a Python script that sorts a CSV by date with regex.", "I need Python code with a regex that sorts a CSV by date."),
    ("What is the diagnosis for these symptoms?", "Given these symptoms, what would you diagnose in the patient?"),
    ("Is this contract valid in court?", "Would a court hold this contract valid?"),
    ("Tom has 3 boxes with 12 pens each. How many pens?", "How many pens has Tom if each of his 3 boxes holds 12?"),
    ("Think step by step: who is lying, and justify it.", "Work out step by step who lies and justify your answer."),
    ("Design the architecture of a payment system.", "Propose a design and an architecture for a payment system."),
    ("Which of the following is true?\nA. x\nB. y\nC. z", "Choose the true statement.\nA. x\nB. y\nC. z"),
    ("Derive the gradient and optimize the loss.", "Give the derivation of the gradient and optimize the loss."),
    ("Write a detailed essay on Rome.", "Compose a comprehensive, thorough essay on Rome."),
    ("Find the root cause of the deadlock in this thread pool.", "Diagnose the root cause of this thread pool's deadlock."),
    ("Evaluate and compare both strategies.", "Assess both strategies and compare them."),
    ("Calculate 15 percent of 80 plus 20 percent of 50.", "Compute the sum of 15 percent of 80 and 20 percent of 50."),
    ("Refactor this: ```x = x + 1```", "Please refactor the code ```x = x + 1```"),
    ("What is the safe dosage for a patient with cancer?", "Which dose is safe if the patient has cancer?"),
    ("Can the plaintiff claim damages under the statute?", "Does the statute let the plaintiff claim damages, legal view please?"),
    ("The element with symbol Fe is ____.", "Fill in: ____ is the element with symbol Fe."),
    ("A car does 90 km in 1.5 hours. How fast is it?", "How fast is a car that does 90 km in 1.5 hours?"),
]  # fmt: skip


def test_simple_requests_go_cheap_and_hard_ones_do_not() -> None:
    assert [pair for pair in SIMPLE if "cheap" not in map(tier, pair)] == []
    wrong = [text for pair in HARD for text in pair if tier(text) != "strong"]
    assert wrong == []
    assert [text for pair in SIMPLE for text in pair if tier(text) != "cheap"] == []


@pytest.mark.parametrize("pairs", [SIMPLE + HARD, PARAPHRASES], ids=["english-chinese", "paraphrase"])
def test_the_same_request_gets_the_same_tier(pairs: list[tuple[str, str]]) -> None:
    assert len(pairs) == 40
    flips = [pair for pair in pairs if tier(pair[0]) != tier(pair[1])]
    assert len(flips) <= 2, flips


@pytest.mark.parametrize(
    "text",
    [
        "Implement a red-black tree", "Write a function that merges intervals", "Write a Linux kernel module for a PCI device",
        "写一个红黑树的实现", "赤黒木を実装して", "레드-블랙 트리를 구현해 줘", "Реализуй красно-чёрное дерево", "Implémente un arbre rouge-noir",
        "Implementiere einen Rot-Schwarz-Baum", "Implementa un árbol rojo-negro", "Is P equal to NP?",
        "What dose of warfarin is safe with amiodarone?", "华法林与胺碘酮合用的安全剂量是多少？", "Какая доза варфарина безопасна с амиодароном?",
        "Quelle dose de warfarine est sûre avec l'amiodarone ?", "ワルファリンとアミオダロンの安全な用量は？",
    ],
)  # fmt: skip
def test_short_requests_for_hard_work_are_hard(text: str) -> None:
    assert tier(text) == "strong"


@pytest.mark.parametrize("unit", ["😀", " ", '"'])
def test_a_long_text_without_words_is_a_long_context(unit: str) -> None:
    assert tier(unit * 40_000) == "strong"


def test_a_short_turn_is_as_hard_as_what_it_leans_on() -> None:
    asked = Message("user", HARD[0][0])
    consent = (Message("assistant", "Shall I go on?"), Message("user", "Yes, please."))
    assert tier("", messages=(asked, *consent)) == "strong"
    assert tier("", messages=(Message("user", "Hello!"), *consent)) == "cheap"
    assert tier("", messages=(asked, *consent * 4)) == "cheap"
    alone = Message("user", "Thanks. Please tell me when the shop near the station is open on Sunday.")
    assert tier("", messages=(asked, alone)) == "cheap"


def test_the_decision_says_why() -> None:
    decision = RuleRouter().decide(ask("Prove it step by step in Python"), TIERS, 1)
    assert (decision.policy, decision.tier, decision.alternatives) == ("rules", 1, ())
    assert decision.reasons[:2] == ("reasoning", "code")
    assert decision.score is not None
    assert 0.5 < decision.score < 1
    assert RuleRouter().decide(ask("Hi"), TIERS, 1).reasons == ("short request",)


def test_simple_tool_calls_go_cheap_and_crowded_ones_do_not() -> None:
    assert tier("Weather in Paris tomorrow?", tools=(WEATHER,)) == "cheap"
    assert tier("Weather in Paris tomorrow?", tools=tuple({**WEATHER, "name": f"t{n}"} for n in range(20))) == "strong"
    nested = {"type": "object", "properties": {f"p{n}": WEATHER["parameters"] for n in range(5)}}
    assert tier("Weather in Paris tomorrow?", tools=({"name": "t", "parameters": nested},)) == "strong"


def test_long_label_lists_go_to_the_baseline() -> None:
    labels = "Reply with one label:" + "".join(f"\n- label_{n}" for n in range(60))
    assert tier("Where is my card?", system=labels) == "strong"
    assert tier("Where is my card?", system="Reply with one label:\n- yes\n- no") == "cheap"


def test_more_tiers_share_the_scale_below_the_baseline() -> None:
    tiers = (Tier("nano", "n"), Tier("mini", "m"), Tier("pro", "p"), Tier("ultra", "u"))
    router = RuleRouter()
    texts = ("Hi", "Why is the sky blue? Describe it.", HARD[0][0])
    assert [router.decide(ask(text), tiers, 2).name for text in texts] == ["nano", "mini", "pro"]
    assert router.decide(ask("Hi"), tiers, 2).alternatives == (1, 2)
    assert router.decide(ask(HARD[0][0]), tiers, 2).alternatives == ()


def test_full_caution_never_leaves_the_baseline() -> None:
    assert RuleRouter(caution=1.0).decide(ask(""), TIERS, 1).name == "strong"


def test_a_feature_has_a_caution_of_its_own() -> None:
    router = open_router(RoutingConfig(features={"legal": {"caution": 1.0}, "chat": {"caution": 0.1}, "mail": "mini"}))
    asked = {name: ask("Why is the sky blue? Describe it.", scope=Scope(feature=name)) for name in ("legal", "chat", "")}
    three = (Tier("nano", "n"), Tier("mini", "m"), Tier("pro", "p"))
    assert [router.decide(request, three, 2).name for request in asked.values()] == ["pro", "nano", "mini"]


@pytest.mark.parametrize("caution", [0.0, -1.0, 1.1])
def test_caution_out_of_range_is_refused(caution: float) -> None:
    with pytest.raises(ConfigError, match="caution"):
        RuleRouter(caution=caution)
    with pytest.raises(ConfigError, match="caution"):
        RuleRouter(cautions={"faq": caution})


# ---- recorded data ----


def recorded(name: str) -> list[dict[str, object]]:
    path = DATA / "routing" / f"{name}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no recorded data at {path}; set THRIFT_DATA")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def test_chinese_exams_stay_with_the_baseline() -> None:
    rows = recorded("chinese_exam")
    assert sum(tier(str(row["prompt"])) == "cheap" for row in rows) <= 0.02 * len(rows)


@pytest.mark.parametrize("name", ["mmlu", "gsm8k"])
def test_exams_and_word_problems_lose_no_quality(name: str) -> None:
    rows = recorded(name)
    lost = sum(bool(row["strong_ok"]) - bool(row["weak_ok"]) for row in rows if tier(str(row["prompt"])) == "cheap")
    assert lost <= 0.005 * len(rows)


# ---- constraints ----

IMAGE = Message("user", ({"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": "data:,"}}))
FILE = Message("user", ({"type": "text", "text": "Sum it up"}, {"type": "input_file", "file_id": "f"}))
AUDIO = Message("user", ({"block_type": "audio", "url": "data:,"},))
NESTED_IMAGE = Message("tool", ({"type": "tool_result", "content": [{"type": "image", "source": {}}]},), tool_call_id="1")


@pytest.mark.parametrize(
    ("weak", "request_", "lacking"),
    [
        (Tier("w", "w", tools=False), ask("hi", tools=(WEATHER,)), "tools"),
        (Tier("w", "w", vision=False), ask("", messages=(IMAGE,)), "vision"),
        (Tier("w", "w", vision=False), ask("", messages=(NESTED_IMAGE,)), "vision"),
        (Tier("w", "w", vision=False), ask("", messages=(FILE,)), "vision"),
        (Tier("w", "w", vision=False), ask("", messages=(AUDIO,)), "vision"),
        (Tier("w", "w", structured=False), ask("hi", schema={"type": "object"}), "structured output"),
        (Tier("w", "w", max_output=50), ask("hi", params={"max_tokens": 100}), "100 output tokens (at most 50)"),
        (Tier("w", "w", window=2_000), ask("word " * 3_000), "context window (2000 tokens)"),
        (Tier("w", "w", window=2_000), ask("hi", params={"max_tokens": 1_999}), "context window (2000 tokens)"),
    ],
)
def test_what_a_tier_lacks_decides_before_the_score(weak: Tier, request_: Request, lacking: str) -> None:
    assert eligible(request_, (weak, STRONG)) == (1,)
    decision = RuleRouter().decide(request_, (weak, STRONG), 1)
    assert (decision.tier, decision.policy, decision.reasons) == (1, "only", ("only tier that can serve it",))
    with pytest.raises(UnsupportedByTier) as caught:
        eligible(request_, (weak, weak))
    assert caught.value.lacking == {"w": lacking}


def test_a_count_decides_where_the_bound_is_too_coarse() -> None:
    weak = Tier("w", "gpt-4o", window=2_000)
    assert eligible(ask("word " * 500), (weak, STRONG)) == (0, 1)


def test_tools_that_may_not_be_called_need_no_tools() -> None:
    request = ask("hi", tools=(WEATHER,), params={"tool_choice": "none"})
    assert eligible(request, (Tier("w", "w", tools=False), STRONG)) == (0, 1)


def test_words_reasoning_and_tools_need_no_vision() -> None:
    parts = ({"type": "thinking", "thinking": "?"}, {"type": "tool_use", "name": "t", "input": {}}, {"type": "text", "text": "hi"})
    request = ask("", messages=(Message("assistant", parts), Message("user", "hi")))
    assert eligible(request, (Tier("w", "w", vision=False), STRONG)) == (0, 1)


def test_a_lone_tier_behaves_as_without_us() -> None:
    request = ask("word " * 9_000, tools=(WEATHER,))
    decision = RuleRouter().decide(request, (Tier("w", "w", tools=False, window=10),), 0)
    assert (decision.tier, decision.policy) == (0, "only")


def test_above_the_baseline_only_where_constraints_force_it() -> None:
    tiers = (Tier("a", "a", vision=False), Tier("b", "b", vision=False), Tier("c", "c"), Tier("d", "d"))
    hard = ask(HARD[0][0])
    assert RuleRouter().decide(hard, tiers, 1).tier == 1
    assert RuleRouter().decide(ask("", messages=(IMAGE,)), tiers, 1).tier == 2


def test_a_forced_tier_is_obeyed() -> None:
    by_name, by_model = ask(HARD[0][0], forced="cheap"), ask("Hi", forced="large-1")
    assert [RuleRouter().decide(request, TIERS, 1).tier for request in (by_name, by_model)] == [0, 1]
    assert forced(ask("Hi"), TIERS) is None
    with pytest.raises(ConfigError, match="tiers: cheap, strong"):
        forced(ask("Hi", forced="huge"), TIERS)


# ---- fallback ----

HTTP = httpx.Request("POST", "http://127.0.0.1/v1/chat/completions")


async def _status_error(status: int, body: object) -> openai.APIStatusError:
    """The exception that the SDK itself makes of an HTTP answer."""
    transport = httpx.MockTransport(lambda _: httpx.Response(status, json={"error": body}))
    async with httpx.AsyncClient(transport=transport) as http:
        client = openai.AsyncOpenAI(api_key="k", base_url="http://127.0.0.1/v1", http_client=http, max_retries=0)
        with pytest.raises(openai.APIStatusError) as caught:
            await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (429, {"message": "slow down", "code": "rate_limit_exceeded"}, "rate limit"),
        (500, {"message": "oops"}, "server error"),
        (503, {"message": "overloaded"}, "server error"),
        (529, {"message": "overloaded", "type": "overloaded_error"}, "server error"),
        (408, {"message": "late"}, "timeout"),
        (504, {"message": "late"}, "timeout"),
        (413, {"message": "too large"}, "context overflow"),
        (400, {"message": "too long", "code": "context_length_exceeded"}, "context overflow"),
        (400, {"message": "prompt is too long: 210000 tokens > 200000 maximum"}, "context overflow"),
        (400, {"message": "filtered", "code": "content_filter"}, "content filter"),
        (400, {"message": "bad parameter", "code": "invalid_value"}, None),
        (401, {"message": "no key"}, None),
        (403, {"message": "no"}, None),
        (404, {"message": "no such model"}, None),
        (422, {"message": "no"}, None),
    ],
)
async def test_sdk_statuses(status: int, body: dict[str, str], reason: str | None) -> None:
    error = await _status_error(status, body)
    assert recoverable(error) == reason
    assert not input_billed(error)


def wrapped(inner: BaseException, cause: BaseException) -> BaseException:
    inner.__cause__ = cause
    return inner


class ResourceExhausted(Exception):
    code = 429


class DeadlineExceeded(Exception):
    """As google's client names it, without a number."""


def transport_errors() -> Iterator[tuple[BaseException, str | None, bool]]:
    yield openai.APITimeoutError(HTTP), "timeout", True
    yield openai.APIConnectionError(request=HTTP), "connection", True
    yield wrapped(openai.APIConnectionError(request=HTTP), httpx.ConnectError("refused")), "connection", False
    yield wrapped(openai.APITimeoutError(HTTP), httpx.ConnectTimeout("late")), "timeout", False
    yield openai.ContentFilterFinishReasonError(), "content filter", False
    yield openai.APIError("died", HTTP, body={"type": "server_error"}), "server error", False
    yield httpx.ReadTimeout("late"), "timeout", True
    yield httpx.ConnectTimeout("late"), "timeout", False
    yield httpx.PoolTimeout("late"), "timeout", False
    yield httpx.ConnectError("refused"), "connection", False
    yield httpx.ReadError("reset"), "connection", True
    yield httpx.RemoteProtocolError("cut"), "connection", True
    yield httpx.HTTPStatusError("bad", request=HTTP, response=httpx.Response(502)), "server error", False
    yield httpx.HTTPStatusError("bad", request=HTTP, response=httpx.Response(401)), None, False
    yield httpx.InvalidURL("no"), None, False
    yield aiohttp.ServerDisconnectedError(), "connection", True
    yield aiohttp.ServerTimeoutError(), "timeout", True
    yield aiohttp.ClientPayloadError(), "connection", True
    yield ConnectionResetError(), "connection", True
    yield ConnectionRefusedError(), "connection", False
    yield TimeoutError(), "timeout", True
    yield wrapped(RuntimeError("adapter"), ResourceExhausted()), "rate limit", False
    yield DeadlineExceeded(), "timeout", True
    yield openai.LengthFinishReasonError(completion=ChatCompletion.model_construct()), "truncated", False
    yield OutputParserException("no JSON"), "wrong form", False
    yield json.JSONDecodeError("no JSON", "<html>", 0), "server error", False
    yield ValueError("bug"), None, False
    yield KeyError("bug"), None, False
    yield StoreUnavailable("down"), None, False
    yield wrapped(StoreUnavailable("down"), TimeoutError()), None, False
    yield asyncio.CancelledError(), None, True
    yield KeyboardInterrupt(), None, True
    yield SystemExit(), None, False


@pytest.mark.parametrize(("error", "reason", "billed"), list(transport_errors()), ids=lambda value: type(value).__name__)
def test_errors_without_a_status(error: BaseException, reason: str | None, billed: bool) -> None:
    assert recoverable(error) == reason
    assert input_billed(error) is billed


def test_a_bug_while_handling_an_outage_is_a_bug() -> None:
    bug = KeyError("missing")
    bug.__context__ = TimeoutError()
    assert recoverable(bug) is None


def test_where_a_structured_answer_is_read() -> None:
    assert misread(ValueError("expected a tool call")) == "wrong form"
    assert misread(KeyError("bug")) is None
    assert misread(wrapped(ValueError("refused"), StoreUnavailable("down"))) is None


def test_a_loop_of_causes_ends() -> None:
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert recoverable(first) is None


# ---- verify ----


def call(arguments: object, name: str = "get_weather") -> Reply:
    return Reply("", NO_USAGE, (ToolCall("1", name, arguments),), "tool_calls")  # type: ignore[arg-type]


def says(text: str, finish: str = "stop") -> Reply:
    return Reply(text, NO_USAGE, finish_reason=finish)


PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": ["integer", "null"]}}, "required": ["name"]}
FLOATS = {"name": "geo.at", "parameters": {"type": "dict", "properties": {"x": {"type": "float"}, "o": {"type": "dict"}}}}


@pytest.mark.parametrize(
    ("request_", "reply", "reason"),
    [
        (ask("q"), says("fine"), None),
        (ask("q"), says("", "content_filter"), "content filter"),
        (ask("q"), says(" \n"), "empty answer"),
        (ask("q"), says("half of", "length"), "truncated"),
        (ask("q", params={"max_tokens": 5}), says("half of", "length"), None),
        (ask("q", tools=(WEATHER,)), says("It is sunny."), None),
        (ask("q", tools=(WEATHER,)), call({"city": "Rome", "days": 2.0, "unit": "c"}), None),
        (ask("q", tools=({"type": "function", "function": WEATHER},)), call({"city": "Rome"}), None),
        (ask("q", tools=(WEATHER,)), call({"city": "Rome"}, "weather"), "unknown tool 'weather'"),
        (ask("q", tools=(WEATHER,)), call('{"city": '), "arguments of 'get_weather' are not an object"),
        (ask("q", tools=(WEATHER,)), call({}), "missing argument 'city' of 'get_weather'"),
        (ask("q", tools=(WEATHER,)), call({"city": 5}), "wrong type for argument 'city' of 'get_weather'"),
        (ask("q", tools=(WEATHER,)), call({"city": "Rome", "days": True}), "wrong type for argument 'days' of 'get_weather'"),
        (ask("q", tools=(WEATHER,)), call({"city": "Rome", "unit": "k"}), "wrong type for argument 'unit' of 'get_weather'"),
        (ask("q", tools=(FLOATS,)), call({"x": 1, "o": {}}, "geo_at"), None),
        (ask("q", tools=(FLOATS,)), call({"x": "1"}, "geo_at"), "wrong type for argument 'x' of 'geo_at'"),
        (ask("q", tools=(WEATHER,), params={"tool_choice": "required"}), says("no"), "no tool call"),
        (ask("q", tools=(WEATHER,), params={"tool_choice": {"type": "any"}}), says("no"), "no tool call"),
        (
            ask("q", tools=(WEATHER, FLOATS), params={"tool_choice": {"type": "function", "function": {"name": "geo.at"}}}),
            call({"city": "Rome"}),
            "tool 'geo.at' not called",
        ),
        (ask("q", schema=PERSON), says('{"name": "Ann", "age": null}'), None),
        (ask("q", schema=PERSON), says('```json\n{"name": "Ann"}\n```'), None),
        (ask("q", schema=PERSON), says("Ann"), "not valid JSON"),
        (ask("q", schema=PERSON), says("[1]"), "not a JSON object"),
        (ask("q", schema=PERSON), says('{"age": 3}'), "missing key 'name'"),
        (ask("q", schema=PERSON), says('{"name": "Ann", "age": "3"}'), "wrong type for key 'age'"),
        (ask("q", schema=PERSON), call({"name": "Ann"}, "Person"), None),
    ],
)  # fmt: skip
def test_rejects(request_: Request, reply: Reply, reason: str | None) -> None:
    assert rejects(request_, reply) == reason
