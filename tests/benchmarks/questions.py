"""Questions as people put to a help desk, a shop, a doctor's site or a search box: any number of them, all different.

Made of word lists of our own, so that an index can be measured on text that clusters as real questions do: many ask
about the same thing in other words, more about other things in the same words.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

_FRAMES = (
    "How do I {act} my {thing} {when}?",
    "How can I {act} a {quality} {thing} {where}?",
    "What is the best way to {act} a {thing} {where}?",
    "Why does my {quality} {thing} {fail} {when}?",
    "Is it safe to {act} the {thing} {when}?",
    "Can {who} {act} a {quality} {thing} {where}?",
    "Where can {who} {act} a {thing} {when}?",
    "What should {who} know before they {act} a {quality} {thing}?",
    "Do {who} need a permit to {act} a {thing} {where}?",
    "How much does it cost to {act} a {quality} {thing} {where}?",
    "My {thing} started to {fail} {when}, what now?",
    "Which {quality} {thing} would you recommend for {who} {where}?",
    "What happens to my {thing} if I {act} it {when}?",
    "How long does it take to {act} a {quality} {thing} {when}?",
    "Tell me how {who} usually {act} their {thing} {where}.",
    "Are {who} allowed to {act} their {thing} {when}?",
    "What is the difference between a {quality} {thing} and an ordinary one for {who}?",
    "Who pays when the {thing} begins to {fail} {where}?",
    "Should I {act} or replace my {quality} {thing} {when}?",
    "I want to {act} a {thing} for {who}, what do I need {where}?",
)
_WORDS = {
    "act": (
        "repair renew insure cancel return ship register transfer upgrade clean store sell rent inspect calibrate "
        "install configure back up reset unlock translate print scan exchange refund deliver paint move dispose of"
    ).replace("back up", "back-up").replace("dispose of", "dispose-of").split(),
    "thing": (
        "passport laptop bicycle boiler phone mortgage subscription invoice router dishwasher visa contract password "
        "database printer tyre greenhouse violin pension licence camera fridge spreadsheet tent server scholarship "
        "kayak prescription warranty lawnmower sofa drone microscope guitar parcel voucher domain thermostat "
        "backpack helmet telescope aquarium chimney carpet keyboard lease certificate account website battery"
    ).split(),
    "quality": (
        "second-hand broken new leased expired foreign large small cheap vintage shared damaged wireless electric "
        "digital temporary lost stolen duplicate custom heavy fragile solar waterproof"
    ).split(),
    "fail": (
        "leak overheat freeze squeak expire crash vibrate smell rust flicker disconnect crack stall slip beep shrink"
    ).split(),
    "who": (
        "students tourists pensioners nurses freelancers children teachers farmers tenants landlords drivers parents "
        "beginners founders volunteers employees pilots musicians"
    ).split(),
    "where": tuple(
        "in " + place
        for place in (
            "Germany Japan Brazil Kenya Canada Norway Portugal Vietnam Mexico Poland Iceland Chile Egypt Ireland "
            "Scotland Bavaria Ontario Queensland Tuscany Lisbon Osaka Nairobi Toronto Bergen Hanoi Kraków"
        ).split()
    ),
    "when": tuple(
        "during a power cut|after a software update|before a long trip|in winter|over the weekend|while travelling "
        "abroad|without a receipt|on a tight budget|after two years|before it expires|at short notice|with a child "
        "around|in heavy rain|when the shop is closed|after moving house|without an account|during an audit|on a "
        "public holiday|at night|for the first time".split("|")
    ),
}  # fmt: skip


def questions(count: int, seed: int = 0) -> Iterator[str]:
    """`count` different questions, the same for the same seed."""
    chance = random.Random(seed)
    seen: set[int] = set()
    made = 0
    while made < count:
        text = chance.choice(_FRAMES).format_map({slot: chance.choice(words) for slot, words in _WORDS.items()})
        if (mark := hash(text)) not in seen:
            seen.add(mark)
            made += 1
            yield text


def reworded(question: str, seed: int = 0) -> str:
    """The same question as somebody else would type it: a greeting or a closing word, a polite turn, small letters."""
    chance = random.Random(f"{seed}{question}")
    body = question[0].lower() + question[1:].rstrip("?.")
    return chance.choice(
        (
            f"hi, {body}?",
            f"could you please tell me {body}",
            f"{body}? thanks",
            f"quick question: {body}?",
            f"i would like to know {body}",
        )
    )
