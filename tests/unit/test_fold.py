"""What folding makes one, and what it never does."""

from __future__ import annotations

import pytest

from thrift_plugins.text.fold import as_asked, bytes_matter, fold

SAME = """
How do I reset my password? | how do I reset my password
How do I reset my password? | How  do I reset my  password ?
How do I reset my password? | how do i reset my password??
What is digital marketing? | what is digital marketing
What is digital marketing? | What is digital marketing???
Why is it slow, and how can I fix it? | why is it slow, and how can I fix it??
What is the capital of France? | what is the capital of France
Where is my order? | where is my order
Why does my phone get hot? | why does my phone get hot
When is the office open? | when is the office open ?
Who is the president of Brazil? | who is the president of Brazil
Which is better for beginners? | which is better for beginners?
How much does it cost? | how much does it cost
How many users can I add? | how many users can I add
How to cook rice? | how to cook rice
Can I change my plan? | can i change my plan
Should I go to college? | should i go to college
Is it safe to drink tap water? | is it safe to drink tap water
Are there any discounts? | are there any discounts
Does it work offline? | does it work offline
Do you ship to Canada? | do you ship to canada
Will there be a second season? | will there be a second season
What's the best phone? | what\u2019s the best phone
What's the best phone? | What's the best phone
Explain how vaccines work. | explain how vaccines work
Tell me about black holes. | Tell me about black holes
Describe the water cycle. | describe the water cycle
I lost my card. What do I do? | I lost my card. What do I do
What is love? Does it last long? | what is love? does it last long
What language is spoken in India? | what language is spoken in india
How can I learn English? | how can i learn english
How does YouTube make money? | how does youtube make money
What's new on Facebook? | what's new on facebook
Who was president in 2016? | who was president in 2016
How do I get over someone I've never talked to? | how do I get over someone I've never talked to
Ｗｈａｔ　ｉｓ　ｌｏｖｅ？ | what is love
怎么重置密码？ | 怎么重置密码
怎么重置密码？ | 怎么重置密码?
请问如何申请退款？ | 请问如何申请退款
什么是机器学习？ | 什么是机器学习
为什么天空是蓝色的？ | 为什么天空是蓝色的
会员可以退款吗？ | 会员可以退款吗
如何使用 Python 编程？ | 如何使用Python编程
退货，怎么办理？ | 退货,怎么办理？
営業時間は何時からですか？ | 営業時間は何時からですか
送料はいくらですか。 | 送料はいくらですか
Wie kann ich mein Konto kündigen? | wie kann ich mein Konto kündigen?
Comment puis-je payer ? | comment puis-je payer?
Как удалить аккаунт? | как удалить аккаунт?
Wo ist der caf\u00e9? | wo ist der cafe\u0301?
"""

# Each pair means two things, or may: in a case, a mark, a space, a character, a word.
DIFFERENT = """
What is the US? | What is the us?
what is an apple pie | what is an Apple pie
Is polish hard to remove? | Is Polish hard to remove?
How do I buy turkey? | How do I buy Turkey?
Where does china break? | Where does China break?
Is amazon deep? | Is Amazon deep?
What is a shell? | What is a Shell?
Who are the who? | Who are the Who?
How do I use excel? | How do I use Excel?
Where are windows made? | Where are Windows made?
What is a word? | What is a Word?
What is java? | What is Java?
What is rust? | What is Rust?
What is swift? | What is Swift?
How is go played? | How is Go played?
what is it | what is IT
is it hard to learn it | is it hard to learn IT
what is aids | what is AIDS
how do cats behave | how do CATS behave
what does who say | what does WHO say
what is pin | what is PIN
what is a pod | what is a POD
how tall is bill | how tall is Bill
who is frank | who is Frank
how do I mark papers | how do I Mark papers
when is march | when is March
is may good | is May good
where is jordan | where is Jordan
who is chad | who is Chad
what is mercury | what is Mercury
what is saturn | what is SATURN
what is a mustang | what is a Mustang
how fast is a jaguar | how fast is a Jaguar
what is a bush | what is a Bush
who is rose | who is Rose
how do I see the sun | how do I see the Sun
what is a mandarin | what is a Mandarin
what is an android | what is an Android
how heavy is lead | how heavy is Lead
is 5 mW a lot | is 5 MW a lot
is 5 mb a lot | is 5 MB a lot
is 5 Mb a lot | is 5 MB a lot
how much is 3 k | how much is 3 K
what is 10 c | what is 10 C
how long is 5 m | how long is 5 M
how strong is 2 pa | how strong is 2 Pa
what is a ph | what is a PH
what is co | what is Co
what is CO | what is Co
what is no | what is No
what is i | what is I
what values can i take | what values can I take
what does i mean | what does I mean
is i a number | is I a number
how do i increment in a loop | how do I increment in a loop
what is the sum over i | what is the sum over I
what is x | what is X
is P equal to NP | is p equal to np
what is a b c | what is a B c
print('A') | Print('a')
print('A') | print('a')
print("A") | print("a")
what does print('a') do | what does print('A') do
what does "yes" mean | what does "Yes" mean
what does 'yes' mean | what does 'Yes' mean
what does ‘yes’ mean | what does ‘Yes’ mean
what does “yes” mean | what does “Yes” mean
what is `ls -a` | what is `ls -A`
what is `a b` | what is `a  b`
what does "a b" mean | what does "a  b" mean
what does 'a b' mean | what does 'a  b' mean
what does "stop." mean | what does "stop" mean
what is user_name | what is User_name
what is userName | what is username
what does getUser return | what does GetUser return
what does os.path do | what does OS.path do
what is a.b | what is a.B
open https://x.org/A | open https://x.org/a
is x.org/A. up | is x.org/A up
what is in /tmp/A | what is in /tmp/a
what is in C:\\A | what is in c:\\a
email Ann@x.org | email ann@x.org
what is #FFF | what is #fff
what is $HOME | what is $home
what is -A | what is -a
what is --Force | what is --force
is a < b | is a > b
is A == B | is a == b
is x = 1 | is x == 1
what is 1.5 | what is 15
what is 1,5 | what is 1 5
what is 1,500 | what is 1500
what is 2 - 1 | what is 2 -1
what is 2^3 | what is 23
what is 2² | what is 22
what is H₂O | what is H2O
what is x² | what is x2
what is ½ | what is 1⁄2
what is ﬁ | what is fi
what is Ⅷ | what is VIII
what is ① | what is 1
what is ℃ | what is °C
what is µ | what is mu
what is 5% | what is 5
what is 5 $ | what is 5
what is 12:30 | what is 1230
what is a-b | what is a b
is it re-sent | is it resent
is it a black-bird | is it a blackbird
can not | cannot
do I need it | don't I need it
is it safe | is it not safe
is it safe | isn't it safe
its big | it's big
were late | we're late
well done | we'll done
wont do | won't do
id like it | I'd like it
can you ill | can you I'll
a nice day | an ice day
some times it rains | sometimes it rains
every day use | everyday use
may be late | maybe late
what is a lot | what is alot
all ready now | already now
in to it | into it
no where to go | nowhere to go
You did it. | You did it?
You did it | You did it?
You did it! | You did it?
You are coming. | You are coming?
Let's eat, grandma | Let's eat grandma
No, thanks | No thanks
I am fine. | I am fine?
He left. | He left?
Done. | Done?
Done | Done?
Really. | Really?
Why not. | Why not?
What a day. | What a day?
How nice. | How nice?
How lovely she is. | How lovely she is?
How I love you. | How I love you?
How much I love you. | How much I love you?
How many times I told you. | How many times I told you?
What I want is peace. | What I want is peace?
What you need is rest. | What you need is rest?
What books I read is my business. | What books I read is my business?
What is done is done. | What is done is done?
Who knows. | Who knows?
Which is why I left. | Which is why I left?
Where I live. | Where I live?
When I was young. | When I was young?
Do the dishes. | Do the dishes?
Do it now please. | Do it now please?
Have the report ready. | Have the report ready?
Have a nice day. | Have a nice day?
May the force be with you. | May the force be with you?
Will is coming home. | Will is coming home?
Mark is coming home. | Mark is coming home?
The sky is blue. | The sky is blue?
The capital of France is | The capital of France is.
The capital of France is | The capital of France is?
The answer is | The answer is...
Once upon a time | Once upon a time...
What is next | What is next...
What is next | What is next!
What is next? | What is next?!
Help me! | Help me?
Stop | Stop!
Stop. | Stop!
Great | Great!
Great! | Great!!
Wait... | Wait.
Wait… | Wait.
Translate good morning | Translate good morning.
Translate: hello | Translate: Hello
translate hello to French | translate Hello to French
Repeat hello. | Repeat hello
Say hello. | Say hello
Rewrite this text. | Rewrite this text
Is this sentence right? | is this sentence right?
Is this word a verb. | Is this word a verb?
What is the symbol ? | what is the symbol
What is the name of ? | what is the name of
What is the name of . | what is the name of ?
What does ? mean | What does mean
What does . mean | What does mean
How many letters are there? | how many letters are there?
Is it spelled right? | is it spelled right?
What is wrong with the spaces  here | what is wrong with the spaces here
Is uppercase what it is? | is uppercase what it is?
What is Apple Inc. | What is Apple Inc
Who is John Jr. | Who is John Jr
Where is St. | Where is St
What is version 2. | What is version 2
## Title | Title
- item | item
* item | item
**bold** | bold
1. one | 1 one
  indented | indented: no
    return x | return x:
{"a": 1} | {"A": 1}
[a] | [A]
(a) | (A)
a;b | a; b
a|b | a|B
a & b | a && b
a/b | a/B
a\u200bb | ab
a\u200db | ab
a\u00adb | ab
\u202eabc | abc
rеset it | reset it
Ａ和A的区别 | A和A的区别
全角Ａ是什么 | 全角A是什么
？和?有什么不同 | ?和?有什么不同
这是什么标点？ | 这是什么标点
你知道是谁。 | 你知道是谁？
怎么都行。 | 怎么都行？
谁知道。 | 谁知道？
什么都可以。 | 什么都可以？
我知道这是什么。 | 我知道这是什么？
我不知道为什么。 | 我不知道为什么？
他来了。 | 他来了？
他来了 | 他来了？
好的。 | 好的？
可以。 | 可以？
不要。 | 不要？
今天下雨 | 今天下雨？
你好！ | 你好？
没有问题 | 有没有问题
能退款 | 不能退款
五十 | 十五
上海 | 海上
日本は寒い。 | 日本は寒い？
そうですか。 | そうですか？
行きますか。 | 行きます。
はし | 橋
Kann ich sie sehen? | Kann ich Sie sehen?
Ich mag essen. | Ich mag Essen.
die Masse | die Maße
Is it good? Mark says so | Is it good? mark says so
What is matched by a? | what is matched by a
Straße | Strasse
ISI nedir | ısı nedir
İstanbul nerede | Istanbul nerede
ılık mı | ilik mi
sık | sik
schon gut | schön gut
ano nuevo | año nuevo
pêche | péché
A minor scale has which notes | a minor scale has which notes
A is what in hex | a is what in hex
Dove is good for my skin? | dove is good for my skin?
Chi is which letter | chi is which letter
He is a noble gas? | he is a noble gas?
In is a soft metal? | in is a soft metal?
As is toxic? | as is toxic?
At is the rarest element? | at is the rarest element?
Can is a band from Cologne? | can is a band from Cologne?
It is a film by whom | it is a film by whom
Help is a film with whom | help is a film with whom
Who is Christian | who is christian
How to choose depends on the budget. | How to choose depends on the budget?
How to cook rice matters a lot. | How to cook rice matters a lot?
What to do depends on you. | What to do depends on you?
What books are good depends on taste. | What books are good depends on taste?
What is done cannot be undone. | What is done cannot be undone?
What is said must be meant. | What is said must be meant?
What was said hurt me. | What was said hurt me?
What is left goes to charity. | What is left goes to charity?
Had I known I would have left. | Had I known I would have left?
Were I rich I would travel. | Were I rich I would travel?
Were it not for you. | Were it not for you?
Should you need help call us. | Should you need help call us?
Should they arrive late call me. | Should they arrive late call me?
这没有什么。 | 这没有什么？
其实没什么。 | 其实没什么？
这不是什么。 | 这不是什么？
不知怎么办。 | 不知怎么办？
不清楚是什么。 | 不清楚是什么？
多少有点担心。 | 多少有点担心？
能否成功取决于努力。 | 能否成功取决于努力？
是否参加由老师决定。 | 是否参加由老师决定？
如何选择取决于预算。 | 如何选择取决于预算？
如何沟通很重要。 | 如何沟通很重要？
为什么失败不重要。 | 为什么失败不重要？
怎么选要看预算。 | 怎么选要看预算？
What can go wrong will go wrong. | What can go wrong will go wrong?
What will be will be. | What will be will be?
What did not kill me made me stronger. | What did not kill me made me stronger?
What has been seen cannot be unseen. | What has been seen cannot be unseen?
How much money is enough varies. | How much money is enough varies?
What would help is sleep. | What would help is sleep?
What should have worked did not. | What should have worked did not?
What could go wrong did. | What could go wrong did?
How many people came surprised us. | How many people came surprised us?
Where is he going is my worry. | Where is he going is my worry?
Why do they fail puzzles me. | Why do they fail puzzles me?
Where there is smoke there is fire. | Where there is smoke there is fire?
When is enough enough. | When enough is enough?
Who dares wins. | Who dares wins?
Which was nice. | Which was nice?
Whom I love. | Whom I love?
行きますか。 | 行きますか！
何でもいいですか。 | 何でもいいです。
そうなんですか。 | そうなんですか？
いつでもできますか。 | いつでもできます。
誰かいますか | 誰がいますか
Is Polish easy? | Is polish easy?
what is a Big Mac | what is a big mac
what is Windows | what is windows
is Ruby easy to learn | is ruby easy to learn
what are Target hours | what are target hours
is Chase open | is chase open
is Subway healthy | is subway healthy
what is Meta | what is meta
is Slack down | is slack down
how do I use Teams | how do I use teams
how does Zoom work | how does zoom work
what is Signal | what is signal
how old is Will | how old is will
is Grant rich | is grant rich
What is Hope worth | what is hope worth
who is the Rock | who is the rock
who plays the Flash | who plays the flash
what did Job say | what did job say
How do I reset my password. | How do I reset my password?
How do I reset my password. | How do I reset my password
什么是机器学习。 | 什么是机器学习？
где мир | где Мир
все | всё
роман | Роман
"""

SHAPED = [
    ("Line one\nLine two", "Line one Line two"),
    ("Line one\nLine two", "Line one\n\nLine two"),
    ("a\tb", "a b"),
    ("> quote", "quote"),
    ("if x:\n  y", "if x:\n    y"),
]


def pairs(listed: str) -> list[tuple[str, str]]:
    found = []
    for line in listed.strip("\n").split("\n"):
        one, _, other = line.partition(" | ")
        found.append((one, other))
    return found


@pytest.mark.parametrize(("one", "other"), pairs(SAME))
def test_spellings_of_one_question_meet(one: str, other: str):
    assert fold(one) == fold(other)


@pytest.mark.parametrize(("one", "other"), pairs(DIFFERENT) + SHAPED)
def test_what_may_differ_in_meaning_stays_apart(one: str, other: str):
    assert one != other
    assert fold(one) != fold(other)


def test_there_are_enough_of_them_and_no_two_of_their_texts_meet_that_should_not():
    apart = pairs(DIFFERENT)
    assert len(apart) >= 200
    assert not [pair for pair in apart if fold(pair[0]) == fold(pair[1])]


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):  return x", "SELECT  *  FROM Users;", "What  is 'a  b'", "see  https://a.b/C", "What is\nthis?", "What is\tthis?", "What  is “this”?", "Is  5%  a lot?", "Is  it (really)  so?", "a_b  c",
        "What does getName  return?", "How many letters  are there?", "这是什么标点  符号？", "x" * 601 + "  ?", "", " ", "?", "...", " ? ",
    ],
)  # fmt: skip
def test_what_is_not_plain_prose_keeps_every_byte_or_loses_only_the_spaces_around_it(text: str):
    assert fold(text) in (text, text.strip(" "))


@pytest.mark.parametrize(
    ("spelt", "whole"),
    [
        ("What is digital marketing", "what is digital marketing?"),
        ("what is  digital marketing??", "what is digital marketing?"),
        ("What is digital marketing!", "what is digital marketing!"),
        ("I lost my card. What do I do", "I lost my card. What do I do?"),
        ("Write a poem about the sea", "Write a poem about the sea"),
        ("Explain how vaccines work.", "explain how vaccines work"),
        ("怎么重置密码", "怎么重置密码?"),
        ("", ""),
    ],
)
def test_a_question_without_its_mark_can_be_read_with_one(spelt: str, whole: str):
    assert as_asked(spelt) == whole


@pytest.mark.parametrize(
    ("instructions", "matter"),
    [
        ("You answer questions of visitors. Answer in plain English.", False),
        ("Be brief. Answer in one sentence of at most 20 words.", False),
        ("你是客服助手，请简短回答。", False),
        ("Du bist ein freundlicher Assistent.", False),
        ("", False),
        ("Correct the GRAMMAR of what the user writes.", True),
        ("Fix spelling and punctuation.", True),
        ("Translate the user's text into French.", True),
        ("Classify the sentiment of the message.", True),
        ("Repeat what the user says word for word.", True),
        ("Extract all names from the text.", True),
        ("请将用户的话翻译成英文。", True),
        ("ユーザーの文章を校正してください。", True),
        ("Übersetze ins Englische.", True),
        ("Исправь орфографию.", True),
        ("x" * 60_000, True),
    ],
)
def test_instructions_that_work_on_spelling_are_known(instructions: str, matter: bool):
    assert bytes_matter(instructions) is matter
