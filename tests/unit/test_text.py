"""Lengths and signs in any script."""

from __future__ import annotations

import pytest

from thrift_plugins.text.features import Features, features
from thrift_plugins.text.lexicon import STEM_LETTERS, STEMS, WORDS
from thrift_plugins.text.scripts import Script, script_of, tally
from thrift_plugins.text.sentences import sentences
from thrift_plugins.types import Message


def read(text: str, system: str = "") -> Features:
    return features((Message("system", system), Message("user", text)))


@pytest.mark.parametrize(
    ("char", "script"),
    [
        ("a", Script.LATIN), ("é", Script.LATIN), ("ế", Script.LATIN), ("中", Script.HAN), ("の", Script.KANA), ("カ", Script.KANA),
        ("한", Script.HANGUL), ("ไ", Script.THAI), ("م", Script.ARABIC), ("ж", Script.CYRILLIC), ("क", Script.DEVANAGARI),
        ("ि", Script.DEVANAGARI), ("ω", Script.OTHER), ("𠀋", Script.HAN), ("3", None), ("。", None), (" ", None), ("🙂", None),
    ],
)  # fmt: skip
def test_script_of(char: str, script: Script | None) -> None:
    assert script_of(char) is script


def test_words_without_spaces_are_counted() -> None:
    english = tally("Please help me write a short email to my landlord about the broken heating").words
    for text in (
        "请帮我给房东写一封简短的邮件，说明暖气坏了",
        "暖房が壊れていることについて大家さんに短いメールを書いてください",
        "난방이 고장 났다고 집주인에게 짧은 이메일을 써 주세요",
        "ช่วยเขียนอีเมลสั้น ๆ ถึงเจ้าของบ้านเรื่องเครื่องทำความร้อนเสีย",
        "कृपया मकान मालिक को खराब हीटिंग के बारे में एक छोटा ईमेल लिखने में मदद करें",
    ):
        assert 0.5 * english < tally(text).words < 1.6 * english


def test_tokens_of_mixed_scripts_add_up() -> None:
    assert tally("hello 世界").tokens == pytest.approx(tally("hello").tokens + tally("世界").tokens)
    assert tally("").words == 0


def test_share_of_a_script() -> None:
    assert tally("中文ab").share(Script.HAN) == 0.5
    assert tally("").share(Script.HAN) == 0


@pytest.mark.parametrize(
    ("name", "texts"),
    {
        "reason": (
            "Prove that it converges", "请证明它收敛", "収束することを証明してください", "Beweise, dass sie konvergiert", "Démontrez que ça converge",
            "Demuestra que converge", "Demonstre que converge", "Докажите, что ряд сходится", "수렴함을 증명하세요", "أثبت أن المتسلسلة تتقارب",
            "सिद्ध कीजिए कि यह अभिसारी है",
        ),
        "explain": (
            "Why is the sky blue?", "为什么天空是蓝色的？", "なぜ空は青いのですか", "Warum ist der Himmel blau?", "Pourquoi le ciel est-il bleu ?",
            "Explica por qué el cielo es azul", "Explique a cor do céu", "Почему небо голубое?", "하늘이 파란 이유는?", "لماذا السماء زرقاء؟",
            "आसमान नीला क्यों है?",
        ),
        "quantity": (
            "How many are left?", "还剩多少？", "いくつ残っていますか", "Wie viele sind übrig, und wieviel kostet das?", "Combien en reste-t-il ?",
            "¿Cuántos quedan?", "Quantos restam?", "Сколько осталось?", "몇 개 남았나요?", "كم بقي؟", "कितने बचे हैं?",
        ),
        "expert": (
            "What dosage is safe for this patient?", "这个患者的安全剂量是多少？", "この患者の安全な用量は？", "Welche Dosierung ist sicher?",
            "Quelle posologie est sûre ?", "¿Qué dosis es segura?", "Qual dosagem é segura?", "Какая дозировка безопасна?",
            "이 환자에게 안전한 복용량은?", "ما هي جرعة آمنة؟", "सुरक्षित खुराक क्या है?",
        ),
        "lengthy": (
            "Write an essay", "写一篇论文", "エッセイを書いて", "Schreibe einen Aufsatz", "Écris un rapport", "Escribe un ensayo", "Escreva um relatório",
            "Напиши эссе", "에세이를 써 주세요", "اكتب مقالة", "एक निबंध लिखो",
        ),
        "code": (
            "Fix this Python script", "修复这段代码", "このコードを直して", "Debug das bitte in Python", "Corrige ce code", "Arregla este código",
            "Corrija este código", "Исправь этот код", "이 코드를 고쳐 줘", "أصلح هذا كود", "इस कोड को ठीक करो", "用python写",
        ),
    }.items(),
)  # fmt: skip
def test_a_sign_is_seen_in_every_language(name: str, texts: tuple[str, ...]) -> None:
    assert [text for text in texts if not getattr(read(text), name)] == []


@pytest.mark.parametrize(
    "text",
    [
        "Pick one.\nA. red\nB. blue\nC. green", "Which of the following is a metal?", "The capital of Peru is ____.",
        "下列哪一项正确", "（A）红 （B）蓝 （C）绿", "次のうち正しいものはどれか", "다음 중 옳은 것을 고르시오", "Welche der folgenden Aussagen stimmt?",
        "Что из перечисленных верно?\nА) да\nБ) нет\nВ) оба", "¿Cuál de las siguientes es falsa?", "① 하나 ② 둘 ③ 셋",
    ],
)  # fmt: skip
def test_exam_form(text: str) -> None:
    assert read(text).exam


@pytest.mark.parametrize("text", ["Hello", "你好", "See section B. It is short.", "Translate 'good morning' into French."])
def test_no_exam_form(text: str) -> None:
    assert not read(text).exam


def test_labels_of_bullets_and_of_commas() -> None:
    assert read("hi", system="Use one of:" + "".join(f"\n- label_{n}" for n in range(20))).labels == 20
    assert read("Labels: " + ", ".join(f"label_{n}" for n in range(15))).labels == 15
    prose = ", ".join(f"and then the story went on and on with many more words, part {n}" for n in range(12))
    assert read(prose).labels < 10


def test_unknown_languages_are_not_familiar() -> None:
    assert not read("Fizetek, ha megmondod, mennyibe kerül").familiar
    assert not read("Αποδείξτε ότι συγκλίνει").familiar
    for hard in (
        "Доведіть, що корінь з двох ірраціональний", "ثابت کنید که ریشه دوم دو گنگ است", "Bewijs dat wortel twee irrationaal is",
        "Dokažte, že odmocnina ze dvou je iracionální", "Todista, että kahden neliöjuuri on irrationaalinen",
        "Thibitisha kwamba mzizi wa mbili si namba wiana",
    ):  # fmt: skip
        assert not read(hard).familiar
    for known in (
        "Где моя посылка и когда её привезут?", "ما هي عاصمة فرنسا من فضلك؟", "मेरा पार्सल कहाँ है?", "Dov'è il mio pacco oggi?",
        "你们的营业时间是什么？",
    ):  # fmt: skip
        assert read(known).familiar
    assert read("Wo ist mein Paket geblieben?").familiar
    assert read("Kubernetes Jenkins").familiar


def test_only_a_bounded_part_is_read() -> None:
    long = "word " * 400_000
    assert read(long).tokens == pytest.approx(read("word " * 4_000).tokens * 100, rel=0.02)
    assert read(long + "Prove it.").reason == 1
    assert read("Prove it. " + long).reason == 1


def test_features_stop_at_the_last_user_turn() -> None:
    turn = (Message("user", "Where is my parcel?"),)
    assert features(turn) == features((*turn, Message("assistant", ""), Message("tool", "prove " * 99, tool_call_id="1")))
    assert features(()) == Features()
    assert features((Message("system", "Say hello."),)).turns == 1


def test_lexicon_has_no_word_that_cannot_match() -> None:
    assert all(len(stem) == STEM_LETTERS and stem == stem.lower() for stem in STEMS)
    assert all(word == word.lower() and word.isprintable() for word in WORDS)


@pytest.mark.parametrize(
    "pieces",
    [
        ("Mr. Smith came at 3.5 p.m. on foot. ", "He left! ", "Really?! ", 'He said "Stop." ', "(Yes.) and so on."),
        ("今天下雨。", "「居ない。」", "来吗？", "S.！", "好！", "！", "再见"),
        ("A line\n", "another, without an end\n\n", "the U.S. Army\n", "  ```\nx. Y = 1.\n```\n", "Last."),
        ("e.g. this is one sentence.",),
    ],
)  # fmt: skip
def test_where_sentences_end(pieces: tuple[str, ...]) -> None:
    text = "".join(pieces)
    assert [text[a:b] for a, b in sentences(text)] == list(pieces)
