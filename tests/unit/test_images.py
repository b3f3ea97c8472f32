"""Sizes of images from their first bytes, and the published rules with the examples that go with them."""

from __future__ import annotations

import base64
import struct

import pytest

from thrift_plugins.tokens import count_messages
from thrift_plugins.tokens.images import rule_for, size_in, size_of
from thrift_plugins.types import Message

WIDTH, HEIGHT = 1_800, 2_400


def png(width, height):
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 6, 0, 0, 0)


def gif(width, height):
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\xf7\0\0"


def jpeg(width, height, before=b""):
    table = b"\xff\xc4" + struct.pack(">H", 6) + b"\0\1\2\3"
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 11, 8, height, width, 1) + b"\1\x11\0"
    return b"\xff\xd8" + before + table + frame


def webp(kind, body):
    return b"RIFF" + struct.pack("<I", 4 + 8 + len(body)) + b"WEBP" + kind + struct.pack("<I", len(body)) + body


def lossy(width, height):
    return webp(b"VP8 ", b"\x30\x01\x00\x9d\x01\x2a" + struct.pack("<HH", width, height) + b"\0" * 8)


def lossless(width, height):
    return webp(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\0" * 8)


def extended(width, height):
    sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    return webp(b"VP8X", b"\0\0\0\0" + sides + b"\0" * 8)


CAMERA = b"\xff\xe1" + struct.pack(">H", 20_002) + b"x" * 20_000


@pytest.mark.parametrize("image", [png, gif, jpeg, lossy, lossless, extended])
@pytest.mark.parametrize("size", [(1, 1), (WIDTH, HEIGHT), (16_383, 3)])
def test_sizes(image, size):
    assert size_of(image(*size)) == size
    encoded = base64.b64encode(image(*size)).decode()
    assert size_in(base64.urlsafe_b64encode(image(*size)).decode()) == size
    assert size_in(encoded) == size_in(f"data:image/x;base64,{encoded}") == size


def test_a_jpeg_whose_size_comes_late():
    assert size_of(jpeg(WIDTH, HEIGHT, CAMERA)) == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    "damaged",
    ["", "data:", "no image", "https://example.com/a.png", "é" * 40, "data:image/png;base64,AAAA", "data:image/png,"],
)
def test_what_is_no_image_has_no_size(damaged):
    assert size_in(damaged) is None


@pytest.mark.parametrize("image", [png, gif, jpeg, lossy, lossless, extended])
def test_images_that_are_cut_short_do_not_raise(image):
    whole = image(WIDTH, HEIGHT)
    for end in range(len(whole)):
        assert size_of(whole[:end]) in (None, (WIDTH, HEIGHT))


@pytest.mark.parametrize("image", [png, gif, jpeg, lossy])
def test_an_image_without_extent_has_no_size(image):
    assert size_of(image(0, 7)) is None


@pytest.mark.parametrize(
    ("model", "size", "detail", "tokens"),
    [
        ("gpt-4o", (1024, 1024), "high", 765),  # OpenAI's own examples
        ("gpt-4o", (2048, 4096), "high", 1105),
        ("openai/gpt-4o-2024-11-20", (4096, 8192), "low", 85),
        ("gpt-4o", (512, 512), "auto", 255),
        ("gpt-4o", None, "auto", 1445),
        ("gpt-4o-mini", (512, 512), "high", 2833 + 5667),
        ("gpt-5", (512, 512), "high", 210),
        ("o1", (512, 512), "high", 225),
        ("gpt-4.1-mini", (1024, 1024), "high", 1659),
        ("gpt-4.1-nano", (8000, 8000), "high", 3779),
        ("gpt-5.4", None, "original", 16_200),
        ("claude-sonnet-4-5", (1000, 1000), "auto", 1342),  # 1334 by Anthropic's example
        ("us.anthropic.claude-opus-4-6-v1", (4000, 4000), "auto", 1640),
        ("claude-opus-4-7", (4000, 4000), "auto", 4784),
        ("gemini-2.0-flash", (540, 360), "auto", 1_806),  # as billed
        ("gemini-2.5-flash", (384, 300), "auto", 258),
        ("gemini-2.0-flash", (960, 540), "auto", 258 + 6 * 258),  # Google's own example, and the whole
        ("google/gemini-3-flash-preview", (4000, 4000), "auto", 1150),
        ("somebody/else", (10, 10), "auto", 10_000),
    ],
)
def test_rules(model, size, detail, tokens):
    assert rule_for(model).tokens(size, detail) == tokens


def test_no_size_costs_more_than_the_largest_does():
    for model in ("gpt-4o", "gpt-4o-mini", "gpt-5", "gpt-5.4", "o4-mini", "claude-opus-4-8", "claude-3-haiku", "x"):
        rule = rule_for(model)
        dearest = rule.tokens(None, "high")
        for size in ((100, 100), (768, 2048), (2048, 2048), (8000, 8000), (20_000, 30)):
            assert rule.tokens(size, "high") <= dearest


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,%s", "detail": "high"}},
        {"type": "input_image", "image_url": "data:image/png;base64,%s", "detail": "high"},
        {"type": "image", "source_type": "base64", "mime_type": "image/png", "data": "%s"},
        {"type": "image", "base64": "%s", "mime_type": "image/png"},
        {"type": "image", "image": "%s", "image_mimetype": "image/png"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "%s"}},
        {"inlineData": {"mimeType": "image/png", "data": "%s"}},
        {"type": "media", "mime_type": "image/png", "data": "%s"},
    ],
)
def test_prompts_count_images_by_the_rule_in_any_dialect(block):
    encoded = base64.b64encode(png(1024, 1024) + b"\0" * 60).decode()

    def filled(value):
        if isinstance(value, dict):
            return {name: filled(inner) for name, inner in value.items()}
        return value.replace("%s", encoded)

    plain = count_messages([Message("user", [{"type": "text", "text": "What is this?"}])], "gpt-4o")
    blocks = [{"type": "text", "text": "What is this?"}, filled(block)]
    assert count_messages([Message("user", blocks)], "gpt-4o") == plain + 765
