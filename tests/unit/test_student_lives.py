"""Who answers in each state of a student, for which share of requests, and how a student comes from one state into the next."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests import distillation_kit as kit
from thrift_plugins.distillation.certificate import certified
from thrift_plugins.distillation.life import Compared, Life, Terms
from thrift_plugins.distillation.serving import Manner, Students
from thrift_plugins.distillation.student import Student
from thrift_plugins.distillation.training import Material, train
from thrift_plugins.stores.open import open_store
from thrift_plugins.teaching import School, change_life, life_key, make_current, read_life, versions
from thrift_plugins.types import Message, Reply, Request, Scope, Tier, Usage

TEACHER = Tier(kit.TEACHER, kit.TEACHER)


@pytest.fixture(scope="module")
def student() -> Student:
    return replace(train(kit.TASK, Material.of(kit.examples(300, "")), None), version="v1")


def students(student: Student, manner: Manner, **life: Any) -> Students:
    made = Students({kit.TASK: student}, Terms(), manner)
    own = Life("v1", Terms(), **life)
    made.adopt(kit.TASK, own, 0.0)
    return made


def request(name: object, text: str = "hello, I just lost my card today 7") -> Request:
    message = Message("user", kit.PROMPT + text)
    return Request(f"call {name}", 0.0, kit.TEACHER, (message,), scope=Scope(feature=kit.TASK))


def reply(model: str) -> Reply:
    return Reply("card_lost", Usage(9, 1, source="provider"), finish_reason="stop", model=model)


# Shares -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "manner", "share"),
    [
        ("canary", Manner(audit=0.02, canary=0.2), 0.2),
        ("canary", Manner(audit=0.3, canary=0.2), 0.2),
        ("canary", Manner(audit=0.1, canary=1.0), 0.9),
        ("active", Manner(audit=0.02), 0.98),
        ("active", Manner(audit=1.0), 0.0),
        ("shadow", Manner(), 0.0),
    ],
)
def test_a_student_answers_its_share_and_the_teacher_is_compared_on_the_rest(
    student: Student, state: Any, manner: Manner, share: float
):
    asked = students(student, manner, state=state, threshold=0.1)
    acts = Counter(verdict.act for at in range(3_000) if (verdict := asked.consider(request(at), TEACHER)))
    assert acts["answer"] / 3_000 == pytest.approx(share, abs=0.03)
    assert acts["answer"] + acts["compare"] == 3_000


def test_equal_requests_are_equal_in_every_comparison(student: Student):
    opinion = student.opinion(request("a"))
    assert opinion.familiar != round(opinion.familiar, 4)
    asked = students(student, Manner(), state="active", strange=round(opinion.familiar, 4), threshold=round(opinion.chance, 4))
    verdicts = [asked.consider(request(at), TEACHER) for at in range(40)]
    assert {one.act for one in verdicts if one} <= {"answer", "compare"}
    assert asked.lives()[kit.TASK].requests == [40, 0]


def test_a_student_looks_at_the_requests_of_the_tenants_that_are_named(student: Student):
    asked = students(student, Manner(audit=1e-9, tenants=["acme"]), state="active", threshold=0.1)
    for tenant, answers in (("acme", True), ("other", False), ("", False)):
        named = replace(request(1), scope=Scope(tenant, feature=kit.TASK))
        assert (asked.consider(named, TEACHER) is not None) is answers


# Teachers ---------------------------------------------------------------------------------------------------------------


def test_a_deployment_with_a_name_of_its_own_is_the_teacher_if_it_answers_as_that(student: Student):
    asked = students(student, Manner(audit=1e-9), state="active", threshold=0.1)
    deployed = Tier("our-deployment", "our-deployment")
    first = asked.consider(request(1), deployed)
    assert first is not None
    assert (first.act, first.reply) == ("compare", None)
    assert asked.compare(first, reply("gpt-4o-2024-08-06"), 0.0) is True
    second = asked.consider(request(2), deployed)
    assert second is not None
    assert second.act == "answer"
    assert asked.lives()[kit.TASK].state == "active"


@pytest.mark.parametrize("answered", ["gpt-4.1", ""])
def test_another_teacher_ends_it_once_it_has_answered(student: Student, answered: str):
    asked = students(student, Manner(audit=1e-9), state="active", threshold=0.1)
    verdict = asked.consider(request(1), Tier("x", "gpt-4.1"))
    assert verdict is not None
    assert asked.compare(verdict, reply(answered), 0.0) is None
    assert asked.lives()[kit.TASK].why == "another teacher: gpt-4.1, and it follows gpt-4o"
    assert asked.urgent
    asked.drain(kit.TASK)
    later = asked.consider(request(2), Tier("x", "gpt-4.1"))
    assert later is not None
    asked.compare(later, reply(answered), 0.0)
    assert not asked.urgent, "it is told once, and not with every call"


# Up ---------------------------------------------------------------------------------------------------------------------


def test_whoever_looks_often_is_not_lucky_more_often():
    """A student that is wrong a little more than is promised, wherever it is equally sure: it must hardly ever go up."""
    promoted = 0
    for seed in range(150):
        life, chance = Life("v", Terms(worth=0.0)), random.Random(seed)
        for _ in range(3_300):
            if life.state != "shadow":
                break
            life.take(Compared(0.9, right=chance.random() > 0.042, familiar=chance.random()), 0.0)
        promoted += life.state != "shadow"
    assert promoted <= 4


def test_looks_are_rarer_each_time_and_say_what_they_found():
    life = Life("v", Terms(shadow=100))
    looked: list[int] = []
    for at in range(1_700):
        before = life.looks
        life.take(Compared(0.5, right=at % 2 > 0, familiar=0.5), 0.0)
        if life.looks > before:
            looked.append(at + 1)
    assert looked == [100, 200, 400, 800, 1600]
    assert "96% agreement can be promised for 0%" in life.why
    assert Life.read(life.told(), life.terms).looks == 5
    life.restart("by hand", 0.0)
    assert life.looks == 0


def test_a_shadow_may_be_longer_than_what_is_remembered_else():
    life = Life("v", Terms(shadow=4_500))
    for _ in range(4_499):
        life.take(Compared(0.9, right=True, familiar=0.5), 0.0)
    assert life.state == "shadow"
    life.take(Compared(0.9, right=True, familiar=0.5), 0.0)
    assert life.state == "canary"


def test_what_is_promised_in_the_shadow_is_less_sure_the_oftener_it_was_looked_at():
    life = Life("v", Terms())
    life.compared = [(at / 400, at > 40, 0.5) for at in range(400)]
    first = life.certificate()
    life.looks = 2
    assert first.confidence == pytest.approx(1 - 0.01 * 2 / 3)
    assert life.certificate().confidence > first.confidence
    assert life.certificate().coverage <= first.coverage <= certified([(c, r) for c, r, _ in life.compared], 0.96).coverage


# Trusted ----------------------------------------------------------------------------------------------------------------


def test_a_student_that_is_trusted_watches_for_news_too(student: Student, tmp_path: Path):
    student.save(tmp_path / "a.student")
    asked = Students({kit.TASK: replace(Student.load(tmp_path / "a.student"), version="v1")}, Terms(), Manner(audit=1e-9))
    assert asked.trust(kit.TASK, 0.0)
    for at, (text, _) in enumerate(kit.texts(400, seed=6)):
        asked.consider(request(at, text), TEACHER)
    assert asked.lives()[kit.TASK].state == "active"
    for at in range(400):
        asked.consider(request(at, f"which planets have rings, and why {at}"), TEACHER)
    assert asked.lives()[kit.TASK].why.startswith("new kinds of requests")


def test_a_student_that_has_learnt_from_what_a_router_chose_is_not_trusted(student: Student):
    made = replace(student, about={**student.about, "routed": 300})
    assert not Students({kit.TASK: made}, Terms(), Manner()).trust(kit.TASK, 0.0)


# Versions ---------------------------------------------------------------------------------------------------------------


def test_who_has_served_is_known_without_a_clock(tmp_path: Path):
    for version in ("v1", "v2", "v3"):
        make_current(tmp_path, kit.TASK, version)
    assert versions(tmp_path, kit.TASK) == ["v3", "v2", "v1"]
    make_current(tmp_path, kit.TASK, "v2", instead=True)  # rolled back
    assert versions(tmp_path, kit.TASK) == ["v2", "v1"]
    make_current(tmp_path, kit.TASK, "v1")  # trained anew, with the same result
    assert versions(tmp_path, kit.TASK) == ["v1", "v2"]


# Shared -----------------------------------------------------------------------------------------------------------------


def test_what_a_person_wants_is_not_undone_by_a_worker_that_was_writing(student: Student, tmp_path: Path):
    """Two processes' stores: the worker has read the life, and writes it back after the person has had a word."""
    url = f"sqlite:///{tmp_path}/s.db"
    store = open_store(url)
    school = School(students(student, Manner(), state="active", threshold=0.1), store, lambda: 1.0)
    key, terms = life_key(kit.TASK, "v1"), Terms()
    claim = store.claim(key)
    assert claim is not None

    def rolled_back(life: Life) -> Life:
        life.demote("by hand", 2.0)
        return life

    def later() -> None:
        assert store.put(key, b"{}", claim=claim)

    class Elsewhere:
        """The same store as another process sees it: the claim of the first is not its own."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def claim(self, name: str) -> Any:
            return None if writing.is_alive() else store.claim(name)

    writing = threading.Timer(0.2, later)
    writing.start()
    other: Any = Elsewhere()
    assert change_life(other, kit.TASK, "v1", terms, rolled_back).state == "demoted"
    writing.join()
    school.exchange()
    assert school.students.lives()[kit.TASK].why == "by hand"
    assert read_life(store, kit.TASK, "v1", terms).state == "demoted"
    store.close()
