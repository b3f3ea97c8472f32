"""The closed lists that folding a question rests on. What is not in them keeps its spelling."""

from __future__ import annotations

import re
from collections.abc import Mapping


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


OPENERS = _words("""
what how why where when who which whose whom what's how's why's where's when's who's whats hows
is are was were do does did can could should would has have had am isn't aren't wasn't don't doesn't didn't can't
couldn't shouldn't wouldn't hasn't haven't won't weren't might i'm i've i'd i'll it's that's there's
the an my our your his their this that these those there it we you they he she if in on at for from with by of to
as and or but so because while during before after about between please
explain tell show give list describe define compare suggest recommend find help let
was wie warum wieso weshalb wer wen wem wo wohin woher wann welche welcher welches kann können ist sind gibt
comment pourquoi quel quelle quels quelles où quand combien est-ce
cómo qué cuál cuáles cuándo dónde cuánto cuántos quién puedo como qual quais quando onde quanto quem posso
come perché quale quanto posso
как что почему зачем где когда кто какой какая какие какое сколько можно ли
""")
"""First words whose capital says nothing but that a sentence begins. No word of another meaning when capitalised, such
as "May", "Will", "Polish" or "Who" within a sentence, and none that is written in capitals throughout."""

BEFORE_A_VERB = _words("""
what how why where when who which whose there that this these those you we they
wie was wer wo comment pourquoi quand combien que quem como
""")
"""Those of them that no name is where a verb follows."""

QUESTION_WORDS = _words("what how why where when who which whose whom what's how's why's where's when's who's whats")
"""Openers of a question."""

CONTRACTED = _words("what's how's why's where's when's who's whats")
"""With the verb in them."""

DEGREES = _words("much many long far often old big tall fast high deep soon quickly")
"""What "how" may stand before."""

VERBS = _words("""
is are was were do does did can could should would will has have am might
isn't aren't wasn't weren't don't doesn't didn't can't couldn't shouldn't wouldn't won't hasn't haven't
""")
"""The verbs that open a question or follow its question word."""

FINITE = VERBS | _words("""
must may cannot varies depends matters remains differs becomes seems makes goes helps hurts wins
""")
JOINTS = _words("that who which there it if when where what how why and or but because this he she they you we i")
"""Words after which a second verb is a clause's own."""
CONDITIONS = _words("had were should")
"""They open a condition too ("should you need help"), of which the other half tells."""
CONSEQUENCES = _words("would could might will please call contact let just then")

PRONOUNS = _words("i you we they he she it there anyone someone anybody somebody")
SUBJECTS = PRONOUNS | _words("the a an my your our his her their this that these those any all")
NARROW_SUBJECTS = _words("i you we they he she")
NARROW_VERBS = _words("do have has am don't might")
"""They open an order or a statement too ("do the dishes"), unless a pronoun follows."""

ORDERS = _words("explain describe define compare list recommend suggest outline")
ORDER_PAIRS = frozenset({("tell", "me"), ("show", "me"), ("give", "me"), ("help", "me")})

HANGING = _words(
    "of for by with is are the a an to in on at called named mean means meaning like and or than from about"
)
"""Last words after which a mark may be what is asked about: "what is the name of ?"."""

ABBREVIATIONS = _words("""
etc inc ltd co corp dept approx vs jr sr st dr mr mrs ms prof no vol fig ave blvd gov sen rep est min max sec
jan feb mar apr jun jul aug sept sep oct nov dec tel ext dist
""")
"""A dot after them is theirs."""

FORM_WORDS = _words("""
symbol symbols character characters punctuation punctuate letter letters capitalize capitalise capitalized capitalised
capitalization uppercase lowercase caps spaces whitespace spell spells spelled spelt spelling misspelled typo typos typed
regex ascii unicode sentence sentences grammar grammatical grammatically phrase word words verb verbs noun pronoun comma
apostrophe hyphen mark marks period sign translate translated translation pronounce pronounced pronunciation acronym
abbreviation rewrite rephrase paraphrase proofread correct correctly quote quoted quotes string strings code variable
written sql html json match matches matched pattern patterns wildcard glob operator operators
""")
"""A question that speaks of writing itself is about its own bytes."""

MATHS_WORDS = _words("""
number numbers imaginary complex loop index matrix sum integral equation function array formula value values power current
unit vector exponent root roman numeral series limit element row column range step variable iteration
""")
"""Where a lone "i" may be no pronoun."""

BEFORE_I = _words("do am have don't if can could should would did may must can't might")
AFTER_A_VARIABLE = _words("be equal equals take mean stand represent range start is does has increment")
AFTER_I = _words("am have want need should would do don't did can't know think like use feel love")
"""The pronoun "i" is known by the verb beside it; after a word that a variable may have too, only by others."""

TASKS = (
    "gramma", "spelling", "spell-", "punctuat", "proofread", "typo", "uppercase", "upper case", "lowercase", "lower case",
    "capitali", "translat", "rewrite", "rephras", "paraphras", "verbatim", "word for word", "repeat ", "echo ", "transcri",
    "translitera", "encod", "extract", "highlight", "annotat", "sentiment", "emotion", "tone of", "regex", "tokeniz",
    "word count", " count the", "character", "language of", "the language", "exact text", "exact words",
    "rechtschreib", "orthogra", "tradui", "ortogra", "traduc", "traduz",
)  # fmt: skip
FOREIGN_TASKS = (
    "语法", "拼写", "标点", "校对", "错别字", "翻译", "译成", "改写", "润色", "原文", "情感", "语气", "大小写", "提取", "抽取", "逐字", "复述",
    "字数", "翻訳", "文法", "校正", "誤字", "번역", "문법", "맞춤법", "übersetz", "gramática", "орфограф", "граммат", "перевед", "перевод",
)  # fmt: skip
"""Parts of instructions under which the bytes of a user's text are what is worked on."""

HAN_FORM = re.compile(
    "全角|半角|标点|符号|问号|句号|逗号|感叹号|空格|大写|小写|字母|拼写|字符|代码|编码|语法|句子|词语|词性|单词|翻译|译成|改写|润色|缩写|拼音|"
    "記号|句読点|文字|文法|翻訳|例文|単語|漢字|汉字"
)
HAN_QUESTION = re.compile(
    "(?:请问)?(?:如何|怎么|怎样|为什么|为何|什么是|哪里|哪些|哪个|哪种|多少|是否|能否|可否|有没有|能不能|可不可以|需不需要|要不要|会不会)|"
    ".*吗$|.*(?:(?<!不)是什么|有哪些|是多少|怎么办|怎么做)$"
)
HAN_STATEMENT = re.compile(
    "[都也]|不管|无论|随便|知道|明白|记得|告诉|忘|懂|理解|可能$|好$|不知|清楚|看看|猜|多少有[点些]|取决|决定|在于|重要|关键|无关|难说|要看|得看|很难|不难|我|你|他|她|它|谁"
)
"""Words with which a question word may stand in a statement: "怎么都行", "我知道这是什么"."""

KANA_WORDS = re.compile("何|どう|どこ|いつ|なぜ|誰|いくら|どの|どれ|どんな")
KANA_ENDS = ("ですか", "ますか", "でしょうか", "ましたか", "ませんか")

NAMES: Mapping[str, str] = {
    name: name.lower()
    for name in _words("""
    Afghanistan Africa African Albania Algeria America American Americans Angola Arabic Argentina Armenia Asia Asian Athens
    Atlanta Auckland Australia Australian Austria Azerbaijan Bahrain Baghdad Bangalore Bangkok Bangladesh Barcelona Beijing
    Belarus Belgium Berlin Bolivia Britain British Bulgaria California Cambodia Cameroon Canada Canadian
    Chennai Chicago Colombia Copenhagen Croatia Cuba Czech Delhi Denmark Dubai Dublin Edinburgh Egypt Egyptian England
    English Estonia Ethiopia Europe European Finland Finnish Florida Germany Ghana Greece Guatemala Gujarat Hindi Honduras
    Hyderabad Iceland India Indian Indians Indonesia Iran Iranian Iraq Ireland Israel Israeli Istanbul Italian Italy Jakarta
    Jamaica Japanese Jerusalem Johannesburg Kazakhstan Kenya Kerala Kolkata Korean Kuwait Kyoto Latvia Lebanon Lisbon
    Lithuania London Luxembourg Madrid Malaysia Manchester Melbourne Mexican Mexico Michigan Moldova Mongolia
    Montreal Moscow Mozambique Mumbai Munich Myanmar Nairobi Nepal Netherlands Nigeria Norway Norwegian Osaka Oslo
    Pakistan Pakistani Palestine Paraguay Paris Pennsylvania Peru Philadelphia Philippines Poland Portugal Portuguese
    Prague Punjab Qatar Romania Russia Russian Rwanda Sanskrit Santiago Scotland Scottish Seattle Senegal Seoul Serbia
    Shenzhen Singapore Slovakia Slovenia Somalia Spain Spanish Sudan Sweden Swedish Switzerland Sydney Syria Taipei
    Taiwan Tamil Tanzania Tehran Telugu Texas Thailand Tokyo Toronto Tunisia Uganda Ukraine Ukrainian Uruguay Uzbekistan
    Vancouver Venezuela Vienna Vietnam Vietnamese Warsaw Wikipedia Yemen Zambia Zimbabwe Zurich
    Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February April June July September October November
    December Christmas Christianity Muslim Muslims Islam Islamic Buddhism Buddhist Hinduism Hindu Judaism Jewish
    Facebook Google Instagram WhatsApp YouTube Gmail LinkedIn Netflix Spotify Quora Reddit Pinterest Snapchat TikTok
    Microsoft Samsung Toyota Honda Walmart Alibaba Airbnb PayPal WordPress JavaScript TypeScript Linux
    Coursera Udemy Ethereum Bluetooth Obama Einstein Shakespeare Hitler Gandhi
    """)
}
"""Names that in small letters are no other word. Not among them: Polish, Turkey, China, Jordan, Apple, Amazon, Java."""
