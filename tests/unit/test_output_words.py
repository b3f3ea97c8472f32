"""Sentences that ask for a short answer, and the languages in which they do."""

from __future__ import annotations

import pytest

from thrift_plugins.budgeting.output_words import WORDINGS, language_of, says_how_long

ASKED = {
    "en": "How do I reset my password?",
    "de": "Wie setze ich mein Passwort zurück?",
    "fr": "Comment réinitialiser mon mot de passe ?",
    "es": "¿Cómo restablezco mi contraseña?",
    "pt": "Como faço para redefinir minha senha?",
    "it": "Come posso reimpostare la mia password?",
    "nl": "Hoe stel ik mijn wachtwoord opnieuw in?",
    "tr": "Şifremi nasıl sıfırlarım? Bu çok zor.",
    "ru": "Как мне сбросить пароль?",
    "ar": "كيف يمكنني إعادة تعيين كلمة المرور في هذا التطبيق؟",
    "hi": "मैं अपना पासवर्ड कैसे रीसेट करूँ?",
    "zh": "如何重置我的密码？",
    "zh-hant": "請問這個密碼要怎麼重設？",
    "ja": "パスワードをリセットする方法を教えてください。",
    "ko": "비밀번호를 어떻게 재설정하나요?",
}


def test_every_language_has_an_example():
    assert {*ASKED, ""} == set(WORDINGS)


@pytest.mark.parametrize("language", ASKED)
def test_a_question_shows_its_language(language):
    assert language_of([ASKED[language]]) == language


@pytest.mark.parametrize("language", [language for language in WORDINGS if language])
def test_our_own_sentences_are_seen_as_a_limit_and_in_their_language(language):
    wording = WORDINGS[language]
    assert says_how_long(wording.ask.format(n=80))
    assert wording.go_on.count("{tail}") == 1
    assert language_of([wording.go_on.format(tail="")]) in {language, ""}


@pytest.mark.parametrize(
    "text",
    [
        "Jak mogę zresetować hasło?", "Як мені скинути пароль і що робити?", "چگونه رمز عبور خود را تغییر دهم؟",
        "รีเซ็ตรหัสผ่านอย่างไร", "hej, jag vill veta hur det är", "ok", "", "def f(x): return x", "12345 😀", "\ud800",
    ],
)  # fmt: skip
def test_other_languages_are_not_taken_for_ours(text):
    assert language_of([text]) == ""


def test_a_turn_that_shows_no_language_is_in_that_of_the_turns_before():
    assert language_of(["ok", "Wie setze ich mein Passwort zurück?", ASKED["en"]]) == "de"


@pytest.mark.parametrize(
    "text",
    [
        "Summarise it in 50 words.", "at most 3 sentences", "in one sentence", "a 500-word essay", "in 2 Sätzen", "in drei Sätzen",
        "en 100 mots", "用200字概括", "不超过50个字", "用一句话回答", "100文字以内で", "50단어 이내", "한 문장으로", "не более 50 слов",
        "en una frase", "em 3 parágrafos", "in 20 parole", "in 3 zinnen", "en fazla 40 kelime", "في 50 كلمة", "50 शब्दों में",
    ],
)  # fmt: skip
def test_a_prompt_that_says_how_long_is_seen(text):
    assert says_how_long(text)


@pytest.mark.parametrize(
    "text", ["3.5 percent of 20 users", "the 2nd line", "GPT-4 in 2024", "有3点疑问", "3시에 만나요", *ASKED.values()]
)
def test_a_prompt_that_does_not_say_how_long_is_seen(text):
    assert not says_how_long(text)


def test_only_the_ends_of_a_long_text_are_read():
    document = "It was a long report with many parts. " * 200
    assert not says_how_long(document + "It had 500 words. " + document)
    assert says_how_long(document + "Sum it up in 50 words.")


def test_a_length_is_told_in_the_languages_own_units():
    assert WORDINGS["en"].length(83, None) == 83
    assert WORDINGS["zh"].length(100, None) == 170
    assert WORDINGS["ja"].length(50, None) == 110
    assert WORDINGS["en"].length(None, 140) == 100
    assert all(wording.length(1, None) >= 1 and wording.length(None, 1) >= 1 for wording in WORDINGS.values())
