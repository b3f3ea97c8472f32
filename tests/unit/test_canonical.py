"""What decides an answer, as JSON, and what has no such form."""

from __future__ import annotations

import math
from enum import Enum
from types import FunctionType
from typing import Any

import pytest
from pydantic import BaseModel, SecretStr

from thrift_plugins.canonical import NoCanonicalForm, decisive, plain


class Colour(Enum):
    RED = "red"


class Point(BaseModel):
    x: int = 1


def named(value: int) -> int:
    return value


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (None, None),
        (True, True),
        (0.1, 0.1),
        ("é", "é"),
        ((1, [2, {"a": 3}]), [1, [2, {"a": 3}]]),
        ({3: "x"}, {"3": "x"}),
        ({"b", "a"}, ["a", "b"]),
        (Colour.RED, "red"),
        (Point(x=2), ["Point", {"x": 2}]),
        (Point, Point.model_json_schema()),
    ],
)
def test_what_has_a_form(value: Any, form: Any):
    assert plain(value) == form


@pytest.mark.parametrize(
    "value", [object(), lambda x: x, math.nan, math.inf, b"bytes", [object()], {"a": {"b": object()}}, int, len, 1j]
)
def test_what_has_none_is_never_guessed(value: Any):
    with pytest.raises(NoCanonicalForm):
        plain(value)


def test_a_function_is_known_by_its_name_and_by_what_it_does():
    assert plain(named)[:2] == [__name__, "named"]
    other = FunctionType((lambda: "changed").__code__, {}, "named")
    other.__module__, other.__qualname__ = named.__module__, named.__qualname__
    assert plain(other)[:2] == plain(named)[:2]
    assert plain(other) != plain(named)


def test_two_functions_of_one_name_inside_others_have_none():
    def inner() -> None: ...

    with pytest.raises(NoCanonicalForm):
        plain(inner)


def test_transport_credentials_and_tracing_do_not_decide():
    settings = {
        "model": "gpt-4o", "temperature": 0, "stop": ["x"], "seed": None,
        "openai_api_key": SecretStr("k"), "api_key": "k", "auth_token": "t", "client_secret": "s", "db_password": "p",
        "timeout": 5, "max_retries": 2, "default_headers": {"Authorization": "k"}, "http_client": object(),
        "callbacks": [object()], "tags": ["a"], "metadata": {"x": object()}, "stream": True, "user": "ann",
    }  # fmt: skip
    assert decisive(settings) == {"model": "gpt-4o", "temperature": 0, "stop": ["x"]}


def test_the_output_limit_decides_although_it_ends_in_tokens():
    assert decisive({"max_tokens": 5, "max_completion_tokens": 6}) == {"max_tokens": 5, "max_completion_tokens": 6}
