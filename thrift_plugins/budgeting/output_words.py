# ruff: noqa: RUF001 - letters of other alphabets are the point
"""How to ask for a short answer, and for the rest of a cut one, in the language of the prompt; and which one that is.

Written for this package from general knowledge of the languages. A sentence names no person and has no form of address,
so that it does not change the tone of an answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from thrift_plugins.text.scripts import WORD, Script, tally


class Wording(NamedTuple):
    """A language's sentences.

    Attributes:
        ask: asks for an answer of at most `{n}` words, or characters where a language has no spaces.
        go_on: asks for the rest of an answer, from its last words on, which are `{tail}`.
        units: such words or characters for one word of English.
        tokens: tokens of each, on the high side.
    """

    ask: str
    go_on: str
    units: float = 1.0
    tokens: float = 2.0

    def length(self, words: int | None, tokens: int | None) -> int:
        """A target in this language's units, rounded to two digits.

        Args:
            words: English words, or
            tokens: tokens, where they are None.
        """
        exact = words * self.units if words is not None else (tokens or 0) / self.tokens
        if words is not None and self.units == 1.0:
            return words
        step: int = 10 ** max(0, len(str(int(exact))) - 2)
        return max(1, round(exact / step) * step)


WORDINGS: Final[Mapping[str, Wording]] = {
    "en": Wording(
        "Keep your answer to {n} words or fewer.",
        "Your answer was cut off. Give the rest of it and nothing else, and begin with exactly its last words: {tail}",
        tokens=1.4,
    ),
    "zh": Wording(
        "请将回答控制在{n}字以内。",
        "回答被截断了。请只输出剩余部分，并且一字不差地从最后这几个字开始：{tail}",
        units=1.7,
        tokens=1.0,
    ),
    "zh-hant": Wording(
        "請將回答控制在{n}字以內。",
        "回答被截斷了。請只輸出剩餘部分，並且一字不差地從最後這幾個字開始：{tail}",
        units=1.7,
        tokens=1.2,
    ),
    "ja": Wording(
        "回答は{n}文字以内でお願いします。",
        "回答が途中で切れました。残りの部分だけを、次の最後の言葉から正確に始めて出力してください：{tail}",
        units=2.2,
        tokens=1.0,
    ),
    "ko": Wording(
        "답변은 {n}단어 이내로 작성해 주세요.",
        "답변이 중간에 끊겼습니다. 나머지 부분만 출력하되, 다음의 마지막 말에서 정확히 시작해 주세요: {tail}",
        tokens=2.6,
    ),
    "de": Wording(
        "Antwort in höchstens {n} Wörtern.",
        "Die Antwort wurde abgeschnitten. Nur noch den Rest ausgeben, beginnend mit genau diesen letzten Wörtern: {tail}",
    ),
    "fr": Wording(
        "Réponse en {n} mots au maximum.",
        "La réponse a été coupée. Donner seulement la suite, en commençant exactement par ces derniers mots : {tail}",
    ),
    "es": Wording(
        "Respuesta en {n} palabras como máximo.",
        "La respuesta se cortó. Dar solo el resto, empezando exactamente por estas últimas palabras: {tail}",
    ),
    "pt": Wording(
        "Resposta em no máximo {n} palavras.",
        "A resposta foi cortada. Dar apenas o resto, começando exatamente por estas últimas palavras: {tail}",
    ),
    "it": Wording(
        "Risposta in massimo {n} parole.",
        "La risposta è stata interrotta. Fornire solo il resto, iniziando esattamente da queste ultime parole: {tail}",
    ),
    "nl": Wording(
        "Antwoord in hoogstens {n} woorden.",
        "Het antwoord is afgebroken. Alleen de rest geven, te beginnen met precies deze laatste woorden: {tail}",
    ),
    "tr": Wording(
        "Yanıt en fazla {n} kelime olsun.",
        "Yanıt yarıda kesildi. Yalnızca kalan kısım verilsin ve tam olarak şu son sözcüklerle başlasın: {tail}",
        tokens=2.8,
    ),
    "ru": Wording(
        "Длина ответа: не более {n} слов.",
        "Ответ был обрезан. Нужно вывести только его остаток, начиная в точности с этих последних слов: {tail}",
        tokens=2.6,
    ),
    "ar": Wording(
        "الإجابة في حدود {n} كلمة على الأكثر.",
        "انقطعت الإجابة. المطلوب بقيتها فقط، بدءًا من هذه الكلمات الأخيرة بالضبط: {tail}",
        tokens=2.8,
    ),
    "hi": Wording(
        "उत्तर अधिकतम {n} शब्दों में दें।",
        "उत्तर बीच में कट गया। केवल शेष भाग दें, और ठीक इन अंतिम शब्दों से शुरू करें: {tail}",
        tokens=2.6,
    ),
    "": Wording(
        "Keep your answer to {n} words or fewer. This note does not change the language of the answer.",
        "Your answer was cut off. Give the rest of it in the same language and nothing else, and begin with exactly its "
        "last words: {tail}",
        tokens=3.0,
    ),
}
"""By language; "" where none of them was recognised."""

# Words that nearly every text of a language has, and that its neighbours here have not.
_COMMON: Final[Mapping[str, frozenset[str]]] = {
    language: frozenset(words.split())
    for language, words in {
        "en": "the and of is are what how you your with this that it for does do can please my from which i to be when "
        "why who was were or have has not should would could about",
        "de": "der das und ist nicht ein eine einen wie ich wir sie mit für auf dem den zu von im es bitte kann sind wird "
        "warum welche auch aber oder bei mein",
        "fr": "le les est et des du une pour dans avec sur qui je vous nous mon ma ce cette quel quelle comment pourquoi "
        "pas sont au aux où à être c'est merci",
        "es": "el los las es y una por para con del cómo qué cuál cuáles mi se su está son puedo pero más hay al quién "
        "dónde cuándo lo muy",
        "pt": "o os um uma é e do da dos das em não para com que meu minha você como qual quais são está ao na no eu "
        "mais por onde quando isso",
        "it": "il lo gli è e di che non per con una sono della del nel come cosa quale quali mio mia questo questa perché "
        "dove quando si posso ho più alla",
        "nl": "het een en van is niet hoe wat ik je jij mijn voor met dat deze dit zijn waarom welke kan op te aan ook maar "
        "naar wordt of heb",
        "tr": "ve bir bu için ile ne nasıl mi mı mu mü neden değil çok daha var hangi olan ben benim nedir kadar gibi "
        "olarak nerede",
        "ru": "и в не на что как это я с по для мне мой или но вы если бы где когда какой какая какие почему от из так",
        "ar": "في من على إلى ما هل كيف هذا هذه التي الذي أن عن مع لماذا هو هي أو متى أين لا",
        "hi": "है हैं का की के में को से और क्या कैसे यह मैं मेरा मेरी पर नहीं क्यों एक लिए हो",
    }.items()
}
_OF_LATIN: Final = ("en", "de", "fr", "es", "pt", "it", "nl", "tr")
_OF_SCRIPT: Final[Mapping[Script, tuple[str, ...]]] = {
    Script.LATIN: _OF_LATIN,
    Script.CYRILLIC: ("ru",),
    Script.ARABIC: ("ar",),
    Script.DEVANAGARI: ("hi",),
}
_FOREIGN_LETTERS: Final = frozenset("іїєґўћђљњџјѓќъپچژگکیٹڈڑےںąęłśźżćńěřůčšžđőűățșåæøð")
"""Letters of neighbours that are none of ours: Ukrainian, Serbian, Persian, Urdu, Polish, Czech, Hungarian, Danish..."""

_TRADITIONAL: Final = frozenset("們這個來說國時會為麼對與請問學實現經過還開關應該點樣電話將從")
_SOME_HITS: Final = 2
_EDGE: Final = 600  # characters read at each end of a text: tasks are put before or after the material
_HAN_SHARE, _KANA_SHARE, _SCRIPT_SHARE = 0.3, 0.1, 0.5


def edges(text: str) -> str:
    """The beginning and the end of a text."""
    return text if len(text) <= 2 * _EDGE else f"{text[:_EDGE]}\n{text[-_EDGE:]}"


def language_of(texts: Sequence[str]) -> str:
    """The language of the first text that shows one, as a key of `WORDINGS`."""
    return next((found for text in texts if (found := _language(edges(text)))), "")


def _language(text: str) -> str:
    size = tally(text)
    if size.share(Script.KANA) >= _KANA_SHARE:
        return "ja"
    if size.share(Script.HANGUL) >= _HAN_SHARE:
        return "ko"
    if size.share(Script.HAN) >= _HAN_SHARE:
        return "zh-hant" if len(_TRADITIONAL.intersection(text)) >= _SOME_HITS else "zh"
    script = max(_OF_SCRIPT, key=size.share)
    lowered = text.lower()
    if size.share(script) < _SCRIPT_SHARE or not _FOREIGN_LETTERS.isdisjoint(lowered):
        return ""
    found = WORD.findall(lowered)
    hits = {language: sum(word in _COMMON[language] for word in found) for language in _OF_SCRIPT[script]}
    first, *others = sorted(hits, key=lambda language: -hits[language])
    clear = not others or hits[first] > hits[others[0]]
    return first if clear and hits[first] >= min(_SOME_HITS, len(found)) > 0 else ""


_NUMBERED = (
    "words?|sentences?|paragraphs?|lines?|characters?|chars?|tokens?|pages?|bullets?|bullet points?"
    "|wörtern?|worte?n?|sätzen?|absätzen?|zeichen|zeilen|seiten?|stichpunkten?"
    "|mots?|phrases?|paragraphes?|caractères|lignes"
    "|palabras?|frases?|oraciones|párrafos?|caracteres|líneas"
    "|palavras?|parágrafos?|linhas|parole|frasi|paragrafi|caratteri|righe"
    "|woorden|zinnen|alinea's|tekens|regels|kelime(?:yle|den)?|cümle(?:yle)?|paragraf|karakter"
    "|слова?|словами|словах|предложени[еяйю]м?и?х?|абзац[аеов]*|символ[аов]*"
    "|كلمات|كلمة|جمل|جملة|فقرات|حرفا?|शब्दों|शब्द|वाक्यों|वाक्य|अनुच्छेद"
)
_NUMBERED_UNSPACED = r"字|个字|個字|句话|句話|文字|文で|行で|단어|문장|글자|문단|자\s?(?:이내|내외|이하|정도|로)"
_SAID = (
    "one sentence|a single sentence|one word|a single word|one paragraph|one line|two sentences|three sentences"
    "|einem satz|einem wort|zwei sätzen|drei sätzen|une phrase|un mot|deux phrases|trois phrases"
    "|una frase|una sola frase|una palabra|una oración|dos frases|uma frase|uma palavra|duas frases|una parola|due frasi"
    "|één zin|een zin|één woord|tek cümle|tek kelime|bir cümle|одном предложении|одним предложением|одним словом"
    "|двух предложениях|جملة واحدة|كلمة واحدة|जملتين|एक वाक्य|एक शब्द"
)
_LENGTH: Final = re.compile(
    rf"\d[\s\-]?(?:{_NUMBERED})\b|[\d一二两三四五六七八九十百千]\s?(?:{_NUMBERED_UNSPACED})"
    rf"|\b(?:{_SAID})\b|一言で|ひとことで|한\s?문장|한\s?단어|두\s?문장|세\s?문장"
)


def says_how_long(text: str) -> bool:
    """Whether a prompt itself says how long the answer is to be. In doubt it does: then nobody contradicts it."""
    return _LENGTH.search(edges(text).lower()) is not None
