"""Answers that refuse, in many languages, texts of errors, and answers that only look like them."""

from __future__ import annotations

import pytest

from thrift_plugins.caching.refusals import refusal
from thrift_plugins.types import NO_USAGE, Message, Reply, Request, ToolCall

REQUEST = Request("1", 0.0, "m", (Message("user", "Hi"),))

REFUSED = """
I can't help with that.
I can’t assist with that request.
I'm sorry, but I can't help with that.
I’m sorry, but I can’t comply with that request.
I'm very sorry, but I am unable to provide that information.
Sorry, I can't do that.
Sorry, but I cannot discuss this topic.
I apologize, but I cannot fulfill this request.
I apologize for the confusion, but I'm not able to share that.
Unfortunately, I cannot assist you with this.
As an AI language model, I cannot provide medical advice.
I'm sorry, as an AI developed by a company, I can't answer that.
I cannot and will not help with this.
I won't be able to help you with that.
I will not write that.
I must decline to answer.
I have to decline.
I decline to answer this.
I'm unable to assist with that.
I am not able to create this content.
I understand you are upset, but I can't provide that.
"I can't help with that."
**I'm sorry, but I can't help with that.**
抱歉，我无法提供帮助。
很抱歉，我不能回答这个问题。
对不起，我没办法协助您完成这个请求。
我无法提供这方面的信息。
作为一个人工智能语言模型，我不能提供医疗建议。
抱歉，我無法協助您。
申し訳ありませんが、その質問にはお答えできません。
申し訳ございません。お手伝いできません。
죄송하지만 도와드릴 수 없습니다.
Es tut mir leid, aber dabei kann ich nicht helfen.
Leider kann ich Ihnen diese Information nicht geben.
Ich kann dir dabei leider nicht helfen.
Je suis désolé, mais je ne peux pas vous aider.
Désolé, je ne peux pas répondre à cette question.
Lo siento, pero no puedo ayudarte con eso.
Lo siento, no puedo proporcionar esa información.
Desculpe, mas não posso ajudar com isso.
Mi dispiace, ma non posso aiutarti.
Извините, но я не могу помочь с этим.
К сожалению, я не могу ответить на этот вопрос.
Przepraszam, ale nie mogę w tym pomóc.
Üzgünüm, bu konuda yardımcı olamam.
عذرًا، لا أستطيع مساعدتك في ذلك.
क्षमा करें, मैं इसमें आपकी मदद नहीं कर सकता।
Helaas kan ik je daar niet mee helpen.
Xin lỗi, tôi không thể giúp bạn việc này.
Maaf, saya tidak bisa membantu.
"""

ANSWERED = """
I can help with that.
I can't recommend this book enough.
I can't help but admire the plan.
I cannot stress enough how important backups are.
Sorry to hear that! You can return the item within 30 days.
I'm sorry for the delay; your order ships on Monday.
Unfortunately, the 2019 model has no USB-C port.
Unfortunately, your plan does not include this feature. Here is how to upgrade.
The function cannot be null.
Yes, you can assist others in the forum.
No.
Paris.
Refusing to answer is a right in many countries.
An apology letter should say what you are sorry for.
I understand. Here are the steps.
Errors are values in Go.
Error handling in Python uses try and except.
The error 404 means that a page was not found.
Rate limiting protects a service from too many requests.
Service level agreements state how often a service is up.
HTML is a markup language.
抱歉让您久等了，您的订单已发货。
您可以在设置中修改密码。
无法登录时，请先重置密码。
不能。
申し訳ありません、少々お待ちください。ご注文は発送済みです。
죄송합니다. 주문은 오늘 발송되었습니다.
Leider ist der Artikel ausverkauft.
Es tut mir leid, das zu hören! Hier ist die Anleitung.
Désolé pour l'attente, voici la réponse.
Lo siento mucho, aquí tienes la respuesta.
К сожалению, товара нет в наличии.
Ich kann Deutsch.
"""


@pytest.mark.parametrize("text", REFUSED.strip().split("\n"))
def test_refusals_are_known(text: str):
    assert refusal(REQUEST, Reply(text, NO_USAGE)) == "refused"
    assert refusal(REQUEST, Reply([{"type": "text", "text": text}], NO_USAGE)) == "refused"


@pytest.mark.parametrize("text", ANSWERED.strip().split("\n"))
def test_answers_are_not_taken_for_refusals(text: str):
    assert refusal(REQUEST, Reply(text, NO_USAGE)) is None


@pytest.mark.parametrize(
    "text",
    [
        "Error: connection reset", "Error code: 500 - {'error': 'x'}", "ERROR 503", "Exception: boom", "500 Internal Server Error",
        "Internal server error", "Service Unavailable", "Service is temporarily unavailable. Try again later.", "502 Bad Gateway",
        "Rate limit exceeded, retry in 3 s", "The request timed out.", "An unexpected error occurred. Please try again.",
        "An error has occurred", "Oops! Something went wrong.", "Traceback (most recent call last):\n  File",
        "<html><head><title>502 Bad Gateway</title></head></html>", "<!DOCTYPE html><html><head><title>Error</title></head></html>",
        "系统繁忙，请稍后再试", "服务器错误", "请求超时", '{"error": {"message": "overloaded", "code": 529}}', '{"error": "x", "status": 500}',
    ],
)  # fmt: skip
def test_texts_of_errors_are_known(text: str):
    assert refusal(REQUEST, Reply(text, NO_USAGE)) == "error text"


@pytest.mark.parametrize(
    "text",
    [
        "Error: " + "what it means is " * 40,
        '{"error": "x", "rows": [1]}',
        '{"error"',
        "<html><title>My shop</title></html>",
        "",
    ],
)
def test_what_explains_or_holds_an_error_is_none(text: str):
    assert refusal(REQUEST, Reply(text, NO_USAGE)) is None


def test_a_field_of_the_schema_may_be_called_error():
    wanted = Request("1", 0.0, "m", (), schema={"type": "object", "properties": {"error": {"type": "string"}}})
    assert refusal(wanted, Reply('{"error": "none found"}', NO_USAGE)) is None


def test_words_beside_a_tool_call_are_no_refusal():
    call = ToolCall("1", "get_x", {})
    assert refusal(REQUEST, Reply("Sorry, I can't do that alone.", NO_USAGE, (call,))) is None
